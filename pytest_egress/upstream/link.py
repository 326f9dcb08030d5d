"""One connection to the outside: where it arrived, and the plain things that are done with it."""

from __future__ import annotations

import contextlib
import socket
import struct

from pytest_egress.upstream.conduct import Effect
from pytest_egress.upstream.places import Place, Slot
from pytest_egress.upstream.pool import Address, Wire
from pytest_egress.upstream.record import Connection
from pytest_egress.upstream.rules import Scope
from pytest_egress.upstream.site import Site

__all__ = ["CHUNK", "Link", "peer_left"]

CHUNK = 65536
_KEPT = 65536


class Link(Wire):
    """A connection that arrived at a place; how it is answered is a subclass's matter.

    Attributes:
        record: what is told of it.
        place: where it arrived.
        tenants: the hosts to whom the place belongs.
        address: the simulated address; None when the place stands for several.
        port: the simulated port; 0 when it is not known.
        tls: whether a handshake has been made.
        other: the connection to the user's server, while bytes are forwarded.
        aborted: whether it was ended from another thread.
    """

    def __init__(
        self, site: Site, sock: socket.socket, client: Address, place: Place, slot: Slot
    ) -> None:
        super().__init__(sock)
        sock.setblocking(True)
        with contextlib.suppress(OSError):  # macOS refuses when the peer has gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.site = site
        self.place = place
        self.tenants = site.zone.tenants_of(place)
        self.address = place.address
        self.port = place.real_port(slot)
        self.tls = False
        self.other: socket.socket | None = None
        self.aborted = False
        self.record = Connection(
            client=f"{client[0]}:{client[1]}",
            place="{}:{}".format(*sock.getsockname()),
            address=self.address,
            port=self.port,
            tenants=self.tenants,
        )
        site.journal.add_connection(self.record)

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self.site.journal.ended(self.record)

    def abort(self) -> None:
        """Make every blocking call on the connection return, from another thread."""
        self.aborted = True
        super().abort()
        if self.other is not None:
            with contextlib.suppress(OSError):
                self.other.shutdown(socket.SHUT_RDWR)

    def effect(self, *asked: str) -> Effect:
        """Return what holds for this connection, or for a request in it that asks for ``asked``."""
        return self.site.rules.effect(self.names(*asked), self.address, self.port)

    def names(self, *asked: str) -> tuple[str, ...]:
        """Return the hosts that this connection, or a request in it, is for."""
        return self.tenants.meant(*asked)

    def falls_in(self, scope: Scope) -> bool:
        """Whether ``scope`` is about this connection."""
        names = self.names(self.record.sni, self.record.asked)
        return scope.covers(names, self.address, self.port)

    def delay(self) -> None:
        """Wait before a raw answer, if a script says so."""
        names = self.names(self.record.sni)
        self.pause(self.site.rules.delay(names, self.address, self.port))

    def speaks(self, protocol: str) -> None:
        """Note in the record that ``protocol`` is spoken."""
        self.record.protocol = "+".join(filter(None, (self.record.protocol, protocol)))

    def receive(self) -> bytes:
        """Return the next bytes, empty at the end, and keep them in the record."""
        data = self.sock.recv(CHUNK)
        self.keep(data)
        return data

    def keep(self, data: bytes) -> None:
        """Keep ``data`` in the record."""
        if len(self.record.received) < _KEPT:
            self.record.received = (self.record.received + data)[:_KEPT]

    def pause(self, seconds: float) -> None:
        """Wait as a script said; a stop of the outside ends it."""
        if seconds > 0:
            self.site.stopping.wait(seconds)

    def silence(self) -> None:
        """Read and never answer, until the peer closes."""
        while self.receive():
            continue

    def reset(self, *, patience: float = 0.0) -> None:
        """Reset the connection, after its first bytes or ``patience`` seconds."""
        if patience:
            self.sock.settimeout(patience)
            with contextlib.suppress(TimeoutError):
                self.receive()
        # A linger time of zero makes close send RST in place of FIN.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def peer_left(error: OSError) -> bool:
    """Whether an error says that the peer went away in the middle, with TLS or without it."""
    # By name: ssl is not imported where nobody speaks TLS.
    return isinstance(error, ConnectionError) or type(error).__name__ == "SSLEOFError"
