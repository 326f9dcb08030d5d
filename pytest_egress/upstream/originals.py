"""Places for original destinations: what ORIGINAL_DST and PassthroughCluster traffic reaches.

Such a cluster dials the address that the pod asked for. The proxy is told a loopback address in
its stead, but its configuration knows one port only, whatever the pod's was. So each pair of
address and port has a loopback address here, and all of them answer on the same loopback port.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from pytest_egress.upstream.places import Place, Places, Slot

__all__ = ["Originals"]

_MOST = 128
_LEAST = 8


class Originals:
    """The places of original destinations; the one unused for longest is reused.

    Args:
        places: where they are opened.
        room: says how many more sockets may be.
    """

    def __init__(self, places: Places, room: Callable[[], int]) -> None:
        self._places = places
        self._room = room
        self._by_destination: OrderedDict[tuple[str, int], Place] = OrderedDict()

    def place(self, address: str, port: int) -> Place:
        """Return the place that stands for ``address`` and ``port``; it answers there."""
        if not self._places.distinct:
            return self._places.default
        key = (address, port)
        place = self._by_destination.get(key)
        if place is not None:
            self._by_destination.move_to_end(key)
            return place
        if len(self._by_destination) < min(_MOST, max(self._room(), _LEAST)):
            place = self._places.add(address, port=port, every_port=False)
        else:
            _, place = self._by_destination.popitem(last=False)
            place.address, place.port = key
            self._places.refresh(place)
        self._by_destination[key] = place
        for slot in self._places.slots():
            if slot.original:
                self._places.listen(place, slot)
        return place

    def number(self, override: int) -> int:
        """Return the loopback port on which they answer as ``override``, or (0) as their port."""
        slot = Slot(override, original=True)
        number = self._places.number(slot)
        for place in self._by_destination.values():
            self._places.listen(place, slot)
        return number
