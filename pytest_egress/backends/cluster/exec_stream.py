"""The streams of a pod's containers: WebSockets of the API server's exec and attach."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

__all__ = ["AttachStream", "ExecStream", "read_all"]

_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_STREAMS = ("stdin", "stdout", "stderr")
_CLOSE = 255  # of the protocol's version 5: a channel ends, the others go on
_HALF_CLOSING = "v5.channel.k8s.io"
_PROTOCOLS = f"{_HALF_CLOSING},v4.channel.k8s.io"
_PIECE = 32768  # bytes of one message: what every part on the way takes


class _Channels:
    """A WebSocket whose messages begin with the number of their channel.

    Args:
        configuration: the client library's.
        headers: that say who asks.
        path: at the API server.
        query: of the request.
        timeout: seconds that each answer may take until the stream is there.

    Raises:
        OSError: there is no connection.
        websocket.WebSocketException: the API server refuses it.
    """

    def __init__(
        self,
        configuration: Any,
        headers: Mapping[str, str],
        path: str,
        query: Iterable[tuple[str, str]],
        timeout: float,
    ) -> None:
        server = str(configuration.host).replace("http", "ws", 1)
        url = f"{server}{path}?{urlencode(list(query))}"
        self._ws = _connect(configuration, url, headers, timeout)
        self._ws.settimeout(None)
        # Whatever captures this process's sockets must not meet what is waited for here.
        self._socket: socket.socket = self._ws.sock
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._status = ""

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        from websocket import WebSocketException

        try:
            for start in range(0, len(data), _PIECE):
                self._ws.send_binary(bytes([_STDIN]) + data[start : start + _PIECE])
        except WebSocketException as error:
            raise OSError(str(error)) from error

    def parts(self) -> Iterator[tuple[int, bytes]]:
        """What comes on standard output and error, each part with its descriptor: 1 or 2.

        Raises:
            OSError: the connection is lost.
        """
        from websocket import ABNF, WebSocketException

        while True:
            try:
                opcode, data = self._ws.recv_data()
            except (WebSocketException, ValueError) as error:
                if self._status or "closed" in str(error):
                    return
                raise OSError(str(error)) from error
            if opcode == ABNF.OPCODE_CLOSE:
                return
            channel, content = data[0] if data else _STDOUT, data[1:]
            if channel in {_STDOUT, _STDERR} and content:
                yield channel, bytes(content)
            elif channel == _STATUS:
                self._status = _message(content)
                return

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


class ExecStream(_Channels):
    """A `Stream` over exec.

    Args:
        configuration: the client library's.
        headers: that say who asks.
        pod: its path at the API server.
        container: in it.
        argv: program and arguments.
        timeout: seconds that each answer may take until the command has started.

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
        timeout: float,
    ) -> None:
        query = [("command", it) for it in argv]
        query += [("container", container), *((it, "true") for it in _STREAMS)]
        super().__init__(configuration, headers, f"{pod}/exec", query, timeout)
        self._complaint = b""

    def read(self) -> bytes:
        """Return the bytes that come next, empty at the end."""
        for descriptor, data in self.parts():
            if descriptor == _STDOUT:
                return data
            self._complaint = (self._complaint + data)[-_PIECE:]
        return b""

    def complaint(self) -> str:
        """What the command has said on standard error, and how it ended."""
        said = self._complaint.decode("utf-8", "replace").strip()
        return "\n".join(filter(None, (said, self._status)))


class AttachStream(_Channels):
    """The input, or the outputs, of a container that runs.

    Args:
        configuration: the client library's.
        headers: that say who asks.
        pod: its path at the API server.
        container: in it.
        timeout: seconds that each answer may take until the stream is there.
        feed: whether it is its input.

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
        timeout: float,
        *,
        feed: bool,
    ) -> None:
        wanted = _STREAMS[:1] if feed else _STREAMS[1:]
        query = [("container", container), *((it, str(it in wanted).lower()) for it in _STREAMS)]
        super().__init__(configuration, headers, f"{pod}/attach", query, timeout)

    def end_input(self) -> None:
        """End the container's input, all that was sent before comes first."""
        from websocket import WebSocketException

        try:
            if self._ws.subprotocol == _HALF_CLOSING:
                self._ws.send_binary(bytes([_CLOSE, _STDIN]))
            else:
                self._ws.send_close()
        except WebSocketException as error:
            raise OSError(str(error)) from error


def _connect(configuration: Any, url: str, headers: Mapping[str, str], timeout: float) -> Any:
    """Open a WebSocket; the client library's own way to it waits for ever.

    Its generated API is not used either: to import it takes as long as a probe of a hundred hosts.
    """
    import ssl

    from kubernetes.stream.ws_client import websocket_proxycare
    from websocket import WebSocket

    tls: dict[str, Any] = {"cert_reqs": ssl.CERT_NONE}
    if configuration.verify_ssl:
        # Without a CA of the cluster's own those of the system count.
        authority = {"ca_certs": configuration.ssl_ca_cert} if configuration.ssl_ca_cert else {}
        tls = {"cert_reqs": ssl.CERT_REQUIRED, **authority}
    if configuration.assert_hostname is not None:
        tls["check_hostname"] = configuration.assert_hostname
    for key, value in (
        ("certfile", configuration.cert_file),
        ("keyfile", configuration.key_file),
        ("server_hostname", configuration.tls_server_name),
    ):
        if value:
            tls[key] = value
    header = [f"{key}: {value}" for key, value in headers.items()]
    options: dict[str, Any] = {"header": [*header, f"sec-websocket-protocol: {_PROTOCOLS}"]}
    if configuration.proxy or configuration.proxy_headers:
        options = websocket_proxycare(options, configuration, url, dict(headers))
    found = WebSocket(sslopt=tls, skip_utf8_validation=False)
    try:
        found.connect(url, timeout=timeout, **options)
    except BaseException:
        found.shutdown()
        raise
    return found


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
