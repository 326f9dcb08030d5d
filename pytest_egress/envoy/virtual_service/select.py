"""Which VirtualServices a workload sees, in istiod's order, and where they lead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import MeshConfig
from pytest_egress.contract.virtual_service.resource import Destination, VirtualService
from pytest_egress.envoy.exports import is_visible
from pytest_egress.envoy.imports import Imports
from pytest_egress.envoy.names import is_wildcard, subset_of
from pytest_egress.envoy.services import Service
from pytest_egress.envoy.virtual_service.merge import (
    MergedVirtualService,
    exported_namespaces,
    merge_virtual_services,
)

__all__ = [
    "HostIndex",
    "destination_services",
    "import_virtual_services",
    "most_specific",
    "visible_virtual_services",
]

_MESH = "mesh"


def visible_virtual_services(
    contract: Contract, namespace: str, gateway: str = _MESH
) -> list[MergedVirtualService]:
    """The VirtualServices that are bound to ``gateway`` and exported to ``namespace``.

    First those that the namespace keeps to itself, then those exported to it by name, then the
    public ones, the oldest first each. ``*`` wins over everything, then ``~`` hides from everyone.
    One that names the gateway twice, which it can in several ways, is there twice.
    """
    private: list[MergedVirtualService] = []
    exported: list[MergedVirtualService] = []
    public: list[MergedVirtualService] = []
    for merged in merge_virtual_services(contract):
        bound = [merged] * (merged.service.gateways or (_MESH,)).count(gateway)
        if not bound:
            continue
        names = exported_namespaces(merged.service, contract.mesh)
        if "*" in names:
            public += bound
        elif "~" not in names and namespace in names:
            own = merged.service.metadata.namespace == namespace
            (private if own else exported).extend(bound)
    return private + exported + public


def import_virtual_services(
    visible: Iterable[MergedVirtualService], imports: Imports
) -> tuple[MergedVirtualService, ...]:
    """Those of which a Sidecar's egress listener imports at least one host."""
    return tuple(
        it
        for it in visible
        if any(
            imports.match_virtual_host(it.service.metadata.namespace, host)
            for host in it.service.hosts
        )
    )


def destination_services(
    virtual_services: Iterable[MergedVirtualService],
    services: Iterable[Service],
    namespace: str,
    mesh: MeshConfig,
) -> Iterator[tuple[Service, set[int]]]:
    """The services that VirtualServices send a namespace's workloads to, with the ports named.

    Port 0 stands for a destination without port. A host of the namespace itself counts first,
    exported or not, else the oldest one that is visible; a Kubernetes Service before others.
    """
    by_host: dict[str, dict[str, Service]] = {}
    for service in sorted(services, key=lambda it: not it.of_kubernetes):
        by_host.setdefault(service.host, {}).setdefault(service.namespace, service)
    for merged in virtual_services:
        wanted: dict[str, set[int]] = {}
        for destination in _destinations(merged.service, namespace):
            wanted.setdefault(destination.host, set()).add(destination.port)
        for host, ports in wanted.items():
            known = by_host.get(host, {})
            found = known.get(namespace) or next(
                (it for it in known.values() if is_visible(it, namespace, mesh)), None
            )
            if found is not None:
                yield found, ports


def _destinations(service: VirtualService, namespace: str) -> Iterator[Destination]:
    for route in service.http:
        sources = [it.source_namespace for it in route.match if it.source_namespace]
        if sources and namespace not in sources:
            continue
        yield from (it.destination for it in route.route)
        if route.mirror is not None:
            yield route.mirror
        yield from (it.destination for it in route.mirrors)
    for tcp in service.tcp:
        yield from (it.destination for it in tcp.route)
    for tls in service.tls:
        yield from (it.destination for it in tls.route)


def most_specific(
    virtual_services: Sequence[MergedVirtualService], hosts: Iterable[str]
) -> Mapping[str, MergedVirtualService]:
    """The VirtualService that matches each host best: its exact name, else the longest wildcard.

    Of several with one pattern the first in order counts.
    """
    patterns: dict[str, MergedVirtualService] = {}
    for merged in virtual_services:
        for pattern in merged.service.hosts:
            patterns.setdefault(pattern, merged)
    wildcards = sorted(filter(is_wildcard, patterns), key=lambda it: (-len(it), it))
    found: dict[str, MergedVirtualService] = {}
    for host in hosts:
        best = patterns.get(host)
        if best is None:
            name = host[1:] if is_wildcard(host) else host
            best = next((patterns[it] for it in wildcards if name.endswith(it[1:])), None)
        if best is not None:
            found[host] = best
    return found


class HostIndex:
    """VirtualServices by host, for the services that they speak for."""

    def __init__(self, virtual_services: Sequence[MergedVirtualService]) -> None:
        """``virtual_services`` are in istiod's order, which is kept."""
        self._virtual_services = virtual_services
        self._exact: dict[str, list[int]] = {}
        self._wildcards: dict[str, list[int]] = {}
        for place, merged in enumerate(virtual_services):
            for host in merged.service.hosts:
                hosts = self._wildcards if is_wildcard(host) else self._exact
                hosts.setdefault(host, []).append(place)

    def matching(self, host: str) -> Sequence[MergedVirtualService]:
        """Those of which a host covers ``host`` or is covered by it."""
        if is_wildcard(host):
            found = {
                place
                for hosts in (self._exact, self._wildcards)
                for other, places in hosts.items()
                if subset_of(host, other) or subset_of(other, host)
                for place in places
            }
        else:
            found = set(self._exact.get(host, ()))
            for pattern, places in self._wildcards.items():
                if subset_of(host, pattern):
                    found.update(places)
        return [self._virtual_services[place] for place in sorted(found)]
