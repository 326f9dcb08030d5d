"""The stream of a command in a pod: one WebSocket of the API server's exec."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

__all__ = ["ExecStream", "read_all"]

_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_STREAMS = ("stdin", "stdout", "stderr")
_PIECE = 32768  # bytes of one message: what every part on the way takes


class ExecStream:
    """A `Stream` over exec.

    Args:
        configuration: the client library's.
        headers: that say who asks.
        pod: its path at the API server.
        container: in it.
        argv: program and arguments.

    Raises:
        OSError: there is no connection.
        websocket.WebSocketException: the API server refuses it.
    """

    def __init__(
        self,
        configuration: Any,
        headers: Mapping[str, str],
        pod: str,
        container: str,
        argv: Sequence[str],
    ) -> None:
        # Not the generated API: to import it takes as long as a probe of a hundred hosts.
        from kubernetes.stream.ws_client import create_websocket

        query = [("command", it) for it in argv]
        query += [("container", container), *((it, "true") for it in _STREAMS)]
        server = str(configuration.host).replace("http", "ws", 1)
        url = f"{server}{pod}/exec?{urlencode(query)}"
        self._ws = create_websocket(configuration, url, dict(headers))
        self._ws.settimeout(None)
        # Whatever captures this process's sockets must not meet what is waited for here.
        self._socket: socket.socket = self._ws.sock
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._complaint = b""
        self._status = ""

    def read(self) -> bytes:
        """Return the bytes that come next, empty at the end."""
        from websocket import ABNF, WebSocketException

        while True:
            try:
                opcode, data = self._ws.recv_data()
            except (WebSocketException, ValueError) as error:
                if self._status or "closed" in str(error):
                    return b""
                raise OSError(str(error)) from error
            if opcode == ABNF.OPCODE_CLOSE:
                return b""
            channel, content = data[0] if data else _STDOUT, data[1:]
            if channel == _STDOUT and content:
                return bytes(content)
            if channel == _STDERR:
                self._complaint = (self._complaint + content)[-_PIECE:]
            elif channel == _STATUS:
                self._status = _message(content)
                return b""

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        from websocket import WebSocketException

        try:
            for start in range(0, len(data), _PIECE):
                self._ws.send_binary(bytes([_STDIN]) + data[start : start + _PIECE])
        except WebSocketException as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        """End the stream; the command sees the end of its input."""
        with contextlib.suppress(OSError):
            # Not SSLSocket.shutdown, which would end the encryption and not the connection.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the connection; nobody reads it any more."""
        with contextlib.suppress(Exception):  # it is gone in one way or the other
            self._ws.shutdown()
        self._socket.close()

    def complaint(self) -> str:
        """What the command has said on standard error, and how it ended."""
        said = self._complaint.decode("utf-8", "replace").strip()
        return "\n".join(filter(None, (said, self._status)))


def read_all(stream: ExecStream, timeout: float) -> str:
    """What a command writes to its standard output until it ends.

    Raises:
        OSError: it has not ended within ``timeout`` seconds.
    """
    timer = threading.Timer(timeout, stream.close)
    timer.start()
    data = b""
    try:
        while more := stream.read():
            data += more
    finally:
        timer.cancel()
        stream.close()
        stream.release()
    return data.decode("utf-8", "replace")


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content).get("message", ""))
    except ValueError:
        return content.decode("utf-8", "replace")
