"""Passes the bytes of a connection on to a server that the user runs, and its bytes back."""

from __future__ import annotations

import contextlib
import selectors
import socket

from pytest_egress.upstream.conduct import Forward
from pytest_egress.upstream.link import CHUNK, Link, peer_left
from pytest_egress.upstream.pool import dial

__all__ = ["forward", "relay"]

_MOST_WAITING = 1 << 20  # bytes that one side may be ahead of the other


def forward(link: Link, conduct: Forward, data: bytes = b"") -> None:
    """Connect to the user's server and pass bytes both ways until both sides have ended.

    Args:
        link: the connection.
        conduct: where to.
        data: what was read of the connection already.
    """
    link.delay()
    link.record.forwarded = True
    link.speaks("forward")
    server = _connect(conduct)
    if server is None:
        link.record.problem = f"the server behind to() does not answer: {conduct.addresses}"
        link.reset()
        return
    with server:
        link.other = server
        try:
            if link.aborted:  # before there was another connection to end
                return
            end = _End(server, data)
            try:
                _pass(_End(link.sock), end)
            except OSError as error:
                if not (end.said and peer_left(error)) or link.aborted:
                    raise
        finally:
            link.other = None


def relay(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes both ways until both sides have ended."""
    _pass(_End(one), _End(other))


def _connect(conduct: Forward) -> socket.socket | None:
    for host, port in conduct.addresses:
        server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            dial(server, (host, port))
        except OSError:
            server.close()
            continue
        return server
    return None


class _End:
    """One side: its socket, and the bytes that are waiting to be sent to it."""

    def __init__(self, sock: socket.socket, waiting: bytes = b"") -> None:
        sock.setblocking(False)
        self.sock = sock
        self.waiting = bytearray(waiting)
        self.said = False  # it has sent something
        self.ended = False  # it sends nothing more
        self.told = False  # it knows that the other sends nothing more

    def read(self) -> bytes | None:
        """Return what it sent, empty at its end, None when there is nothing yet."""
        try:
            data = self.sock.recv(CHUNK)
        except OSError as error:
            if _would_block(error):
                return None
            raise
        self.said = self.said or bool(data)
        return data

    def flush(self) -> None:
        """Send it as much as it takes."""
        while self.waiting:
            try:
                sent = self.sock.send(self.waiting[:CHUNK])
            except OSError as error:
                if _would_block(error):
                    return
                raise
            del self.waiting[:sent]

    def pending(self) -> bool:
        """Whether TLS holds bytes that no select would tell of."""
        pending = getattr(self.sock, "pending", None)
        return bool(pending and pending())


def _would_block(error: OSError) -> bool:
    if isinstance(error, BlockingIOError):
        return True
    import ssl

    return isinstance(error, (ssl.SSLWantReadError, ssl.SSLWantWriteError))


def _pass(client: _End, server: _End) -> None:
    with selectors.DefaultSelector() as selector:
        while not (client.told and server.told):
            for end, other in ((client, server), (server, client)):
                if not end.ended and len(other.waiting) < _MOST_WAITING:
                    data = end.read()
                    end.ended = data == b""
                    other.waiting += data or b""
                other.flush()
                if end.ended and not other.waiting and not other.told:
                    other.told = True
                    # TLS has no half of its own to close: there the whole connection ends.
                    with contextlib.suppress(OSError):  # it has gone; reading from it says how
                        socket.socket.shutdown(other.sock, socket.SHUT_WR)
            _wait(selector, client, server)


def _wait(selector: selectors.BaseSelector, client: _End, server: _End) -> None:
    """Wait until something can be read or sent."""
    registered = []
    for end, other in ((client, server), (server, client)):
        events = selectors.EVENT_WRITE if end.waiting else 0
        if not end.ended and len(other.waiting) < _MOST_WAITING:
            if end.pending():
                break
            events |= selectors.EVENT_READ
        if events:
            selector.register(end.sock, events)
            registered.append(end.sock)
    else:
        if registered:
            selector.select()
    for sock in registered:
        selector.unregister(sock)
