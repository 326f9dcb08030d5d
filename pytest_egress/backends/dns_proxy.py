"""The DNS proxy of Istio's agent: it answers for the hosts of the name table, others it asks on.

What it knows a host by is worked out once, as the agent does (``pkg/dns/client``): the host itself,
for a Kubernetes Service its short names too, and each followed by the pod's first search domain,
which is an alias.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping

from pytest_egress.envoy.name_table import Name
from pytest_egress.probe import DnsAnswer, Resolver

__all__ = ["AgentResolver"]

_DOMAIN = "svc.cluster.local"
_TTL = 30


class AgentResolver:
    """Resolves names as a pod with DNS capture does.

    Args:
        names: the name table.
        namespace: the pod's.
        upstream: whom the agent asks for names that it does not know.
    """

    def __init__(self, names: Mapping[str, Name], namespace: str, upstream: Resolver) -> None:
        self._upstream = upstream
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._aliases: dict[str, str] = {}
        search = f"{namespace}.{_DOMAIN}."
        for host, name in names.items():
            spellings = set(_spellings(host, name, namespace))
            for known in spellings:
                self._addresses[known] = name.addresses
                expanded = known + search
                if not known.endswith(search) and expanded not in spellings:
                    self._aliases[expanded] = known

    def lookup(self, name: str, family: int, timeout: float) -> DnsAnswer:
        """Answer from the table, else upstream's answer unchanged.

        A known host without an address of the family is NOERROR and empty: a client that asks for
        both would take NXDOMAIN for the answer to both.
        """
        asked = name.lower().removesuffix(".") + "."
        known = next((it for it in _patterns(asked) if self._knows(it)), None)
        if known is None:
            return self._upstream.lookup(name, family, timeout)
        target = self._aliases.get(known, known)
        addresses = tuple(_of_family(self._addresses.get(target, ()), family))
        cnames = (target.removesuffix("."),) if addresses and target != known else ()
        return DnsAnswer(name, "NOERROR", addresses, cnames, _TTL if addresses else None)

    def _knows(self, name: str) -> bool:
        return name in self._addresses or name in self._aliases


def _spellings(host: str, name: Name, namespace: str) -> Iterator[str]:
    """The names, each with its last dot, that a host is known by."""
    full = host.lower().removesuffix(".") + "."
    if not name.kubernetes:
        yield full
    elif not host.endswith("."):
        yield full
        if host.endswith(_DOMAIN):
            short, own = name.kubernetes
            yield f"{short}.{own}."
            yield f"{short}.{own}.svc."
            if own == namespace:
                yield f"{short}."


def _patterns(name: str) -> Iterator[str]:
    """The name, then the wildcards around it, the nearest first."""
    yield name
    rest = name
    while rest.count(".") > 1:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"


def _of_family(addresses: Iterable[str], family: int) -> Iterator[str]:
    for address in dict.fromkeys(addresses):
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        if family in {socket.AF_UNSPEC, kind}:
            yield address
