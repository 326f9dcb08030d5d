"""What every name resolves to, and which place stands for it.

There are two kinds of view of one answer. Those of the pod and of a proxy in a pod of its own give
simulated addresses, as production's name servers would; the view of a proxy on this machine gives
the loopback addresses that stand for them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pytest_egress.upstream.conduct import Lookup
from pytest_egress.upstream.names import Names, is_address, patterns
from pytest_egress.upstream.places import Place, Places
from pytest_egress.upstream.rules import Rules
from pytest_egress.upstream.tenants import NOBODY, Tenants

__all__ = ["Reply", "View", "Zone"]

#: Who asks: the pod, the proxy of this machine, or one in a pod of its own, far from loopback.
View = Literal["pod", "proxy", "far"]

TTL = 300  # seconds
_CHANGING_TTL = 1
_MOST_NAMES = 200  # of one certificate
_SERVFAIL = 2


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a name server.

    Attributes:
        rcode: the response code of RFC 1035; None: no answer is sent.
        addresses: IPv4 addresses.
        ttl: seconds.
        lasting: the next lookup will get the same, until a script says otherwise.
    """

    rcode: int | None
    addresses: tuple[str, ...] = ()
    ttl: int = TTL
    lasting: bool = True


class Zone:
    """Resolves names in both views; the caller holds ``lock`` around every call that changes it.

    Attributes:
        generation: increases when something that a running proxy may have kept has become untrue.
    """

    def __init__(
        self, names: Names, rules: Rules, places: Places, errors: list[BaseException]
    ) -> None:
        self.lock = threading.RLock()
        self.generation = 0
        self._names = names
        self._rules = rules
        self._places = places
        self._errors = errors
        self._by_address: dict[str, Place] = {}
        self._by_wildcard: dict[str, Place] = {}
        self._dedicated: set[str] = set()
        self._endpoints: Mapping[str, tuple[str, ...]] = {}
        # What proxies were told: by name, and the addresses that were located on the shared place.
        self._told: dict[str, tuple[str, ...] | Lookup | None] = {}
        self._shared: set[str] = set()
        self._turns: dict[tuple[View, str], int] = {}

    def reply(self, view: View, name: str, *, wanted: bool = True) -> Reply:
        """Return the answer for ``name`` in ``view``.

        Args:
            view: who asks.
            name: in lower case, without its last dot.
            wanted: A records were asked for; of any other type there are none.
        """
        with self.lock:
            lookup = self._rules.lookup(name)
            if view != "pod":
                self._told.pop(name, None)  # the last one told stands last
                self._told[name] = self._promise(name)
            if not wanted:
                return Reply(lookup.rcode if lookup else 0)
            if lookup is None or lookup.rcode != 0:
                return self._constant(view, name, lookup)
            turn = self._turns.get((view, name), 0)
            self._turns[view, name] = turn + 1
            addresses = lookup.answers[min(turn, len(lookup.answers) - 1)]
            lasting = len(lookup.answers) == 1
            return Reply(
                0, self._seen(view, name, addresses), TTL if lasting else _CHANGING_TTL, lasting
            )

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return every address of ``name`` at any time: those it resolves to, its endpoints'."""
        lookup = self._rules.lookup(name)
        if lookup is not None:
            found = list(lookup.addresses)
        elif name.startswith("*."):
            found = []
        else:
            found = [name if is_address(name) else self._names.address(name)]
        for endpoint, hosts in self._endpoints.items():
            if name in hosts and endpoint != name:
                found.extend((endpoint,) if is_address(endpoint) else self.addresses(endpoint))
        return tuple(dict.fromkeys(found))

    def known_address(self, name: str) -> str | None:
        """Return the first address of ``name`` if it has been asked for already."""
        lookup = self._rules.lookup(name)
        if lookup is not None and lookup.addresses:
            return lookup.addresses[0]
        return self._names.known(name)

    def tenants_at(self, address: str | None) -> Tenants:
        """Return the hosts that stand at ``address``."""
        if address is None:
            return NOBODY
        named = self._rules.pointing_at(address)
        name = self._names.name(address)
        if name is not None and self._rules.lookup(name) is None:
            named.append(name)
        served = [host for end in (address, *named) for host in self._endpoints.get(end, ())]
        return Tenants(tuple(named), tuple(host for host in served if host not in named))

    def tenants_of(self, place: Place) -> Tenants:
        """Return the hosts to whom ``place`` belongs."""
        if place.host is not None:
            return Tenants((place.host,))
        return self.tenants_at(place.address)

    def told_of(self, place: Place) -> tuple[str, ...]:
        """Return the names that proxies of this machine were last told to find at ``place``."""
        with self.lock:
            names = [
                name
                for name, told in self._told.items()
                if isinstance(told, tuple) and place.ip in told
            ]
        return tuple(names[-_MOST_NAMES:])

    def place_of(self, address: str) -> Place | None:
        """Return the place that stands for ``address``, None where that is the shared one."""
        place = self._by_address.get(address)
        if place is not None:
            return place
        for host in self.tenants_at(address):
            for pattern in patterns(host):
                if pattern in self._by_wildcard:
                    return self._by_wildcard[pattern]
        return None

    def share(self, address: str) -> Place:
        """Let the shared place stand for ``address``, and remember that a proxy was told so."""
        self._shared.add(address)
        return self._places.default

    def own(self, address: str, *, every_port: bool = True) -> Place:
        """Return the place that stands for ``address`` alone, made now if there is none."""
        place = self._by_address.get(address)
        if place is None:
            place = self._by_address[address] = self._places.add(address, every_port=every_port)
            if address in self._shared:
                self._shared.discard(address)
                self.generation += 1
        elif every_port and not place.every_port:
            self._places.widen(place)
        return place

    def dedicate(self, host: str) -> None:
        """Give ``host`` (name, wildcard or address) places of its own, for all its addresses."""
        lookup = self._rules.lookup(host)
        if host.startswith("*."):
            if host not in self._by_wildcard:
                self._by_wildcard[host] = self._places.add(host=host)
        elif host not in self._dedicated:
            self._dedicated.add(host)
            self.own(host if is_address(host) else self._names.address(host))
        if lookup is not None:
            for address in lookup.addresses:
                self.own(address)

    def serve(self, endpoints: Mapping[str, tuple[str, ...]]) -> bool:
        """Let each endpoint (address or name) be one of its hosts; return whether that is new."""
        if self._endpoints is endpoints or self._endpoints == endpoints:
            return False
        self._endpoints = endpoints
        return True

    def assign(self, host: str, address: str) -> bool:
        """Let ``host`` resolve to ``address`` from now on; return whether that is a change."""
        if self._names.known(host) == address:
            return False
        self._names.assign(host, address)
        if host in self._dedicated:
            self.own(address)
        return True

    def has_own(self, host: str) -> bool:
        """Whether ``host`` has been given places of its own."""
        return host in self._dedicated or host in self._by_wildcard

    def recheck(self, host: str) -> None:
        """Raise the generation if proxies were told otherwise of what ``host`` covers."""
        for name, told in tuple(self._told.items()):
            if (is_address(host) or host in patterns(name)) and told != self._promise(name):
                del self._told[name]
                self.generation += 1

    def restart(self, host: str) -> None:
        """Let scripted lookups of what ``host`` covers begin again with their first answer."""
        for key in [key for key in self._turns if host in patterns(key[1])]:
            del self._turns[key]

    def _promise(self, name: str) -> tuple[str, ...] | Lookup | None:
        """What a proxy that asks for ``name`` relies on from then on."""
        lookup = self._rules.lookup(name)
        if lookup is not None and (lookup.rcode != 0 or len(lookup.answers) > 1):
            return lookup
        if lookup is not None:
            return self._seen("proxy", name, lookup.answers[0])
        return self._constant("proxy", name, None).addresses

    def _constant(self, view: View, name: str, lookup: Lookup | None) -> Reply:
        if lookup is not None:
            return Reply(lookup.rcode)
        try:
            address = name if is_address(name) else self._names.address(name)
        except LookupError as error:
            self._errors.append(error)
            return Reply(_SERVFAIL)
        return Reply(0, self._seen(view, name, (address,)))

    def _seen(self, view: View, name: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Return how ``addresses`` of ``name`` look in ``view``."""
        if view != "proxy":
            return addresses
        return tuple(dict.fromkeys(self._place_of(name, address).ip for address in addresses))

    def _place_of(self, name: str, address: str) -> Place:
        place = self._by_address.get(address)
        if place is not None:
            return place
        for pattern in patterns(name):
            if pattern in self._by_wildcard:
                return self._by_wildcard[pattern]
        return self._places.default
