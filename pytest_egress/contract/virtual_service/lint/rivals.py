"""VirtualServices that get in each other's way, or in the way of what a host has without them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_egress.contract.kubernetes.inferred import full_name
from pytest_egress.contract.position import Problem
from pytest_egress.contract.syntax import TLS_PROTOCOLS
from pytest_egress.contract.virtual_service.hosts import is_subset
from pytest_egress.contract.virtual_service.lint.declared import Declared
from pytest_egress.contract.virtual_service.lint.walk import (
    Caller,
    callers,
    for_mesh,
    in_mesh,
    mesh_matches,
    routes,
    warning,
)
from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["age", "lint_replaced", "lint_rivals", "same_audience"]


def lint_rivals(services: Iterable[VirtualService]) -> Iterator[Problem]:
    """Two for one host: sidecars do not merge them, the first one counts."""
    seen: dict[tuple[str, str], list[VirtualService]] = defaultdict(list)
    ranked = sorted((it for it in services if in_mesh(it)), key=age)
    for service in ranked:
        for i, host in enumerate(service.hosts):
            name = full_name(host, service.metadata.namespace).lower()
            for protocol in ("http", "tcp"):
                mine = list(_mesh_callers(service, protocol))
                if not mine:
                    continue
                first = next(
                    (
                        other
                        for other in seen[protocol, name]
                        if same_audience(other, service)
                        and any(a.meets(b) for a in _mesh_callers(other, protocol) for b in mine)
                    ),
                    None,
                )
                seen[protocol, name].append(service)
                if first is None:
                    continue
                taken = f"{first.metadata.namespace}/{first.metadata.name}"
                message = (
                    f'{protocol} calls to "{host}" are routed by VirtualService {taken} at '
                    f"{first.at('spec', 'hosts')} already: sidecars take the older one (the first "
                    "by name where no creationTimestamp is given) and do not merge the two"
                )
                yield warning(service, "lint/virtual-service-rival", message, ("spec", "hosts", i))
                break


@dataclass(slots=True)
class _Replaced:
    """A port of a declared host whose own route gives way to tls routes."""

    service: VirtualService
    index: int
    names: set[str]


def lint_replaced(services: Iterable[VirtualService], declared: Declared) -> Iterator[Problem]:
    """Where a tls route applies to a host, istiod leaves out the host's own route."""
    found: dict[tuple[str, int], _Replaced] = {}
    for service in services:
        matches = [
            (i, match)
            for i, route in enumerate(service.tls)
            for match in route.match
            if in_mesh(service) and for_mesh(callers(match))
        ]
        for host in (
            {host for name in service.hosts for host in declared.meant(name)} if matches else ()
        ):
            for number, protocol in declared.hosts[host].items():
                applied = [(i, m) for i, m in matches if m.port in {0, number}]
                if protocol in TLS_PROTOCOLS and applied:
                    one = found.setdefault((host, number), _Replaced(service, applied[0][0], set()))
                    one.names.update(name for _, match in applied for name in match.sni_hosts)
    for (host, number), one in sorted(found.items()):
        if not any(is_subset(host, name) for name in one.names):
            listed = ", ".join(sorted(one.names))
            message = (
                f'tls routes ({listed}) apply to "{host}" too and take the place of its own route: '
                f'on port {number} no other name passes. Add a tls match with sniHosts: ["{host}"]'
            )
            yield warning(
                one.service,
                "lint/virtual-service-replaced-host",
                message,
                ("spec", "tls", one.index),
            )


def _mesh_callers(service: VirtualService, protocol: str) -> Iterator[Caller]:
    for kind, _, route in routes(service):
        if kind == protocol:
            for match in route.match:
                # with a network of its own a tcp route leaves room for others
                if getattr(match, "destination_subnets", ()):
                    continue
                caller = callers(match)
                if for_mesh(caller):
                    yield caller
            if not route.match:
                yield from mesh_matches(route)


def same_audience(one: VirtualService, other: VirtualService) -> bool:
    """Whether both are public, or both meant for some one namespace.

    One for a namespace beside another for everyone is a way to override it.
    """
    here, there = _audience(one), _audience(other)
    if here is None or there is None:
        return here is there
    return bool(here & there)


def _audience(service: VirtualService) -> frozenset[str] | None:
    """The namespaces it is exported to; None for all."""
    names = service.export_to
    if not names or "*" in names:
        return None
    return frozenset(service.metadata.namespace if name == "." else name for name in names)


def age(service: VirtualService) -> tuple[float, str, str]:
    """The order in which istiod takes VirtualServices."""
    metadata = service.metadata
    return metadata.creation_timestamp, metadata.name, metadata.namespace
