"""Ports in the pod whose connections are carried to the other side, with their real destination."""

from __future__ import annotations

import errno
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from pytest_egress.backends.agent.inside.ports import SourcePorts
from pytest_egress.backends.agent.inside.tunnel import Tunnels
from pytest_egress.probe.prober import connect

__all__ = ["Listening"]

_SO_ORIGINAL_DST = 80  # of Linux's netfilter, for IPv4 and IPv6 alike
_BIND_TIMEOUT = 10.0  # seconds that the agent before this one may take to be gone
_RETRY = 0.1
_BACKLOG = 512


class Listening:
    """Listens where it is told to, and dials what it is told to.

    Args:
        send: sends a message to the other side.
        ports: gives connections their source ports.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None], ports: SourcePorts) -> None:
        self._ports = ports
        self.tunnels = Tunnels(send)
        self._send = send
        self._numbers = itertools.count(2, 2)  # the other side has the odd ones

    def listen(self, request: dict[str, Any]) -> dict[str, Any]:
        """Listen on ``address`` and each of ``ports``; connections are told under ``name``."""
        listeners = [_bind(request["address"], port) for port in request["ports"]]
        for listener in listeners:
            arguments = (listener, request["name"])
            threading.Thread(target=self._accept, args=arguments, daemon=True).start()
        return {"ports": [it.getsockname()[1] for it in listeners]}

    def dial(self, request: dict[str, Any]) -> dict[str, Any]:
        """Connect to ``address`` and ``port`` for the other side's connection ``tunnel``.

        With ``path``, to that Unix socket.
        """
        if request.get("path"):
            self.tunnels.add(request["tunnel"], _unix(request["path"], request["timeout"]))
            return {"source": ""}
        sock = connect(
            request["address"], request["port"], request["timeout"], bind=self._ports.bind
        )
        source = _text(sock.getsockname())
        self.tunnels.add(request["tunnel"], sock)
        return {"source": source}

    def _accept(self, listener: socket.socket, name: str) -> None:
        while True:
            try:
                sock, peer = listener.accept()
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE}:
                    time.sleep(_RETRY)
                    continue
                return
            number = next(self._numbers)
            address, port = _original(sock)
            self._send({"accepted": name, "t": number, "peer": _text(peer), "to": [address, port]})
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.tunnels.add(number, sock)


def _unix(path: str, timeout: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(address: str, port: int) -> socket.socket:
    deadline = time.monotonic() + _BIND_TIMEOUT
    while True:
        try:
            return socket.create_server((address, port), backlog=_BACKLOG)
        except OSError as error:  # noqa: PERF203  it is tried a few times at most
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY)


def _original(sock: socket.socket) -> tuple[str, int]:
    """Where the client wanted to go before it was redirected here."""
    try:
        data = sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
    except (AttributeError, OSError):  # it was not redirected, or this is not Linux
        address, port = sock.getsockname()[:2]
        return str(address), int(port)
    port, packed = struct.unpack_from("!2xH4s", data)
    return socket.inet_ntoa(packed), port


def _text(address: Any) -> str:
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
