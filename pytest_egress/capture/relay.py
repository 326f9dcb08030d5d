"""A door on loopback for libraries that open their connections in native code.

What connects to it is led through the capture; the library has to be told its address.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

__all__ = ["Relay", "abort", "pump"]

_BUFFER = 1 << 16
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


class Relay:
    """Listens on 127.0.0.1 and leads each connection to one address of the outside.

    Args:
        dial: opens a captured connection and takes note of it.

    Attributes:
        port: where it listens.
    """

    def __init__(self, dial: Callable[[], socket.socket]) -> None:
        self._dial = dial
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="egress-relay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more; connections that are there go on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(2)

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                outer = self._dial()
            except OSError:
                abort(inner)
                inner.close()
                continue
            threading.Thread(
                target=pump, args=(inner, outer), name="egress-relay-pump", daemon=True
            ).start()


def pump(inner: socket.socket, outer: socket.socket) -> None:
    """Carry bytes both ways until both have ended, then close the two; resets are passed on."""
    back = threading.Thread(target=_carry, args=(outer, inner), name="egress-pump", daemon=True)
    back.start()
    _carry(inner, outer)
    back.join()
    inner.close()
    outer.close()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(_BUFFER):
            if not _sent(sink, data):
                # What the sink has said before it went is still on its way back.
                _end(source, socket.SHUT_RD)
                return
    except OSError:
        abort(sink)
    else:
        _end(sink, socket.SHUT_WR)


def _sent(sink: socket.socket, data: bytes) -> bool:
    try:
        sink.sendall(data)
    except OSError:
        return False
    return True


def _end(end: socket.socket, way: int) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(way)


def abort(end: socket.socket) -> None:
    """Have the close of a socket be a reset, and wake whoever reads from it.

    A shutdown of the sending side would say an orderly end first: a TLS library calls that by
    another error. A Unix socket knows no reset.
    """
    if end.family == socket.AF_UNIX:
        _end(end, socket.SHUT_RDWR)
        return
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    _end(end, socket.SHUT_RD)
