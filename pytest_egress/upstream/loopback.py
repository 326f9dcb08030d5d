"""Where the simulated addresses and ports are on loopback, and what stands behind a place there."""

from __future__ import annotations

from collections.abc import Callable

from pytest_egress.upstream.names import check_address, check_port
from pytest_egress.upstream.originals import Originals
from pytest_egress.upstream.places import Places, Slot
from pytest_egress.upstream.zone import Zone

__all__ = ["Loopback"]


class Loopback:
    """The map of the places; see `Outside` for what each of these is asked for.

    Args:
        zone: knows who has a place.
        places: where they are.
    """

    def __init__(self, zone: Zone, places: Places) -> None:
        self._zone = zone
        self._places = places
        self._originals = Originals(places, places.room)

    def port_for(self, port: int) -> int:
        """The port that stands for ``port`` on every place."""
        with self._zone.lock:
            return self._places.number(Slot(check_port(port)))

    def locate(self, address: str, port: int, *, dedicated: bool) -> tuple[str, int]:
        """Where an address and port are; it answers there."""
        address, slot = check_address(address), Slot(check_port(port))
        with self._zone.lock:
            place = self._zone.place_of(address)
            if place is None and dedicated and self._places.room() > 1:
                place = self._zone.own(address, every_port=False)
            return self._places.listen(place or self._zone.share(address), slot)

    def original(self, address: str, port: int) -> str:
        """The address that stands for an original destination."""
        key = (check_address(address), check_port(port))
        with self._zone.lock:
            return self._originals.place(*key).ip

    def original_port(self, override: int) -> int:
        """The port of places for original destinations."""
        port = check_port(override) if override else 0
        with self._zone.lock:
            return self._originals.number(port)

    def watch(self, watcher: Callable[[str, int], None]) -> Callable[[], None]:
        """Tell of every address and port that answers; returns what ends that."""
        with self._zone.lock:
            self._places.watchers.append(watcher)
            for where in self._places.open():
                watcher(*where)

        def end() -> None:
            with self._zone.lock:
                if watcher in self._places.watchers:
                    self._places.watchers.remove(watcher)

        return end

    def real(self, address: str, port: int) -> tuple[str, int] | None:
        """What stands behind an address and port; None if several, or nothing."""
        found = self._places.find(address, port)
        if found is None:
            return None
        place, slot = found
        return None if place.address is None else (place.address, place.real_port(slot))
