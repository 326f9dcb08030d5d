"""A tunnel inside TLS: what comes out of it is a connection of its own, perhaps TLS again."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from pytest_egress.upstream.forward import relay
from pytest_egress.upstream.link import Link

__all__ = ["inside"]


@contextlib.contextmanager
def inside(link: Link) -> Iterator[None]:
    """Let ``link`` be the connection inside the tunnel, for as long as the block lasts.

    TLS that is made from another TLS connection's bytes needs a socket of its own: a second
    thread passes the bytes between the two.
    """
    if not link.tls:
        yield
        return
    outer = link.sock
    inner, ours = socket.socketpair()
    link.other, link.sock, link.tls = outer, ours, False
    pump = threading.Thread(
        target=_pump, args=(outer, inner), name="pytest-egress-tunnel", daemon=True
    )
    pump.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            link.sock.close()
        pump.join()
        link.other, link.sock, link.tls = None, outer, True


def _pump(outer: socket.socket, inner: socket.socket) -> None:
    with inner, contextlib.suppress(OSError):
        relay(outer, inner)
