"""Places: the loopback addresses and ports that stand for simulated ones, and what listens there.

For each simulated port there is one loopback port, the same on every place, since a proxy that
resolves a name gets the address from a name server but the port from its configuration. Where the
system has only 127.0.0.1 (macOS), a place of its own differs by its port in place of its address.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pytest_egress.errors import BackendError
from pytest_egress.upstream.door import Door, State, bind
from pytest_egress.upstream.pool import Acceptor, Address

__all__ = ["Place", "Places", "Slot", "distinct_loopback"]

_NETWORK = ipaddress.IPv4Network("127.88.0.0/13")
_ONLY = "127.0.0.1"
_MOST_SOCKETS = 8192


@dataclass(frozen=True, slots=True)
class Slot:
    """What a loopback port stands for.

    Attributes:
        port: the simulated port; 0 on an original destination: the port that was asked for.
        original: it belongs to places of original destinations (ORIGINAL_DST clusters).
    """

    port: int
    original: bool = False


@dataclass(eq=False, slots=True)
class Place:
    """One loopback address.

    Attributes:
        ip: the loopback address.
        address: the simulated address it stands for; None: several.
        host: the host it belongs to, when that is not known by the address (a wildcard).
        port: the simulated port it stands for, on the place of an original destination.
        every_port: it answers on every port that is in use, not only on those asked for here.
    """

    ip: str
    address: str | None = None
    host: str | None = None
    port: int = 0
    every_port: bool = True
    doors: dict[Slot, Door] = field(default_factory=dict)

    def real_port(self, slot: Slot) -> int:
        """Return the simulated port that ``slot`` stands for here; 0: not known."""
        return slot.port or self.port


def distinct_loopback() -> bool:
    """Whether addresses other than 127.0.0.1 can be bound, as on Linux but not on macOS."""
    with socket.socket() as sock:
        try:
            sock.bind((str(_NETWORK[1]), 0))
        except OSError:
            return False
        return True


class Places:
    """Every place of one outside.

    Args:
        acceptor: waits on the listening sockets.
        accepted: gets each connection, its client, and the place and slot it came in at.
        state: says whether a place listens, refuses or hangs at a slot.
        distinct: whether places have addresses of their own.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        accepted: Callable[[socket.socket, Address, Place, Slot], None],
        state: Callable[[Place, Slot], State],
        *,
        distinct: bool,
    ) -> None:
        self.distinct = distinct
        self._acceptor = acceptor
        self._accepted = accepted
        self._state = state
        self._numbers: dict[Slot, int] = {}
        self._used = 1
        self._by_loopback: dict[tuple[str, int], tuple[Place, Slot]] = {}
        self.default = Place(str(_NETWORK[1]) if distinct else _ONLY)
        self._places = [self.default]
        #: Told of each address and port of loopback at which something answers from now on.
        self.watchers: list[Callable[[str, int], None]] = []

    def __iter__(self) -> Iterator[Place]:
        return iter(list(self._places))

    def slots(self) -> list[Slot]:
        """Return every slot that has a loopback port."""
        return list(self._numbers)

    def number(self, slot: Slot) -> int:
        """Return the loopback port for ``slot``; every place that must listen there does.

        Raises:
            BackendError: a socket cannot be bound.
        """
        known = self._numbers.get(slot)
        if known is not None:
            return known
        number = self._open(self.default, slot, 0)
        self._numbers[slot] = number
        for place in self._places:
            if place is not self.default and place.every_port and not slot.original:
                self.listen(place, slot)
        return number

    def add(
        self,
        address: str | None = None,
        *,
        host: str | None = None,
        port: int = 0,
        every_port: bool = True,
    ) -> Place:
        """Make a new place; with ``every_port``, it listens wherever the default one does."""
        if self.distinct:
            self._used += 1
            if self._used >= _NETWORK.num_addresses - 1:
                raise BackendError(f"the simulated outside has used up {_NETWORK}")
            ip = str(_NETWORK[self._used])
        else:
            ip = _ONLY
        place = Place(ip, address, host, port, every_port)
        self._places.append(place)
        if every_port:
            self.widen(place)
        return place

    def widen(self, place: Place) -> None:
        """Let ``place`` answer on every port that is in use, now and later."""
        place.every_port = True
        for slot in list(self._numbers):
            if not slot.original:
                self.listen(place, slot)

    def listen(self, place: Place, slot: Slot) -> tuple[str, int]:
        """Return where ``place`` answers for ``slot``; it does when this returns."""
        number = self.number(slot)
        door = place.doors.get(slot)
        if door is None:
            number = self._open(place, slot, number if self.distinct else 0)
        else:
            number = door.number
        return place.ip, number

    def refresh(self, place: Place) -> None:
        """Bring the sockets of ``place`` into the state they should be in."""
        for slot, door in place.doors.items():
            door.become(self._state(place, slot))

    def find(self, ip: str, number: int) -> tuple[Place, Slot] | None:
        """Return the place and slot behind a loopback address and port."""
        return self._by_loopback.get((ip, number))

    def open(self) -> list[tuple[str, int]]:
        """Return every loopback address and port at which something answers."""
        return list(self._by_loopback)

    def room(self) -> int:
        """Return how many more sockets may listen before they take a quarter of all files."""
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        share = _MOST_SOCKETS if most == resource.RLIM_INFINITY else most // 4
        return min(share, _MOST_SOCKETS) - len(self._by_loopback)

    def close(self) -> None:
        """Close every socket."""
        for place in self._places:
            for door in place.doors.values():
                door.close()
            place.doors.clear()
        self._by_loopback.clear()

    def _open(self, place: Place, slot: Slot, number: int) -> int:
        def accepted(sock: socket.socket, client: Address) -> None:
            self._accepted(sock, client, place, slot)

        reserved = bind(place.ip, number)
        door = Door(self._acceptor, reserved, accepted)
        place.doors[slot] = door
        self._by_loopback[place.ip, door.number] = (place, slot)
        door.become(self._state(place, slot))
        for watcher in self.watchers:
            watcher(place.ip, door.number)
        return door.number
