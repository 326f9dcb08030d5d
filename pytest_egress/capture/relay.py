"""A door on loopback for libraries that open their connections in native code.

What connects to it is led through the capture; the library has to be told its address.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Relay"]

_BUFFER = 1 << 16


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
                inner.close()
                continue
            for pair in ((inner, outer), (outer, inner)):
                threading.Thread(
                    target=_pump, args=pair, name="egress-relay-pump", daemon=True
                ).start()


def _pump(source: Any, sink: Any) -> None:
    """Carry bytes one way until they end; a reset is passed on as the end of both."""
    try:
        while data := source.recv(_BUFFER):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
