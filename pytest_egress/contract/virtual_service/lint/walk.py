"""Walking over the routes of a VirtualService: those of the mesh, and where each leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Path
from pytest_egress.contract.virtual_service.lint.declared import MESH
from pytest_egress.contract.virtual_service.resource import (
    Destination,
    HttpMatch,
    HttpRoute,
    HttpRouteDestination,
    L4Match,
    RouteDestination,
    TcpRoute,
    TlsMatch,
    TlsRoute,
    VirtualService,
)

__all__ = [
    "ANYONE",
    "Caller",
    "Match",
    "Route",
    "callers",
    "destinations",
    "for_mesh",
    "in_mesh",
    "mesh_matches",
    "routes",
    "warning",
]

Match: TypeAlias = HttpMatch | TlsMatch | L4Match
Route: TypeAlias = HttpRoute | TlsRoute | TcpRoute


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a match is for, as far as istiod decides when it programs a proxy."""

    port: int
    gateways: frozenset[str]
    labels: Mapping[str, str]
    namespace: str

    def includes(self, other: Caller) -> bool:
        """Whether everyone that ``other`` is for is also meant here."""
        return (
            self.port in {0, other.port}
            and (not self.gateways or (bool(other.gateways) and other.gateways <= self.gateways))
            and (not self.labels or self.labels.items() <= other.labels.items())
            and self.namespace in {"", other.namespace}
        )

    def meets(self, other: Caller) -> bool:
        """Whether some sidecar is meant by both."""
        return (
            0 in {self.port, other.port, self.port - other.port}
            and ("" in {self.namespace, other.namespace} or self.namespace == other.namespace)
            and all(other.labels.get(key, value) == value for key, value in self.labels.items())
        )


ANYONE = Caller(0, frozenset(), {}, "")


def in_mesh(service: VirtualService) -> bool:
    """Whether sidecars follow it; a delegate is followed through another one."""
    return bool(service.hosts) and (not service.gateways or MESH in service.gateways)


def routes(service: VirtualService) -> Iterator[tuple[str, int, Route]]:
    """Every route with its protocol (``http``, ``tls``, ``tcp``) and index."""
    listed: tuple[tuple[str, Sequence[Route]], ...] = (
        ("http", service.http),
        ("tls", service.tls),
        ("tcp", service.tcp),
    )
    for protocol, found in listed:
        for i, route in enumerate(found):
            yield protocol, i, route


def callers(match: Match) -> Caller:
    """Whom a match is for."""
    gateways = frozenset(match.gateways)
    if gateways and isinstance(match, HttpMatch):
        return Caller(match.port, gateways, {}, "")  # istiod looks no further then
    return Caller(match.port, gateways, match.source_labels, match.source_namespace)


def for_mesh(caller: Caller) -> bool:
    """Whether sidecars are among those that a match is for."""
    return not caller.gateways or MESH in caller.gateways


def mesh_matches(route: Route) -> list[Caller]:
    """Whom among the sidecars a route is for; empty when it is for gateways only."""
    if not route.match:
        return [ANYONE]
    return [it for it in map(callers, route.match) if for_mesh(it)]


def destinations(service: VirtualService) -> Iterator[tuple[str, Route, Destination, Path]]:
    """Every destination and mirror with its protocol, its route and its path."""
    for protocol, i, route in routes(service):
        path: Path = ("spec", protocol, i)
        targets: Sequence[HttpRouteDestination | RouteDestination] = route.route
        for j, target in enumerate(targets):
            yield protocol, route, target.destination, (*path, "route", j, "destination")
        if isinstance(route, HttpRoute):
            if route.mirror is not None:
                yield protocol, route, route.mirror, (*path, "mirror")
            for j, mirror in enumerate(route.mirrors):
                yield protocol, route, mirror.destination, (*path, "mirrors", j, "destination")


def warning(service: VirtualService, rule: str, message: str, path: Path) -> Problem:
    """A warning about the value at ``path``."""
    return Problem("warning", message, service.at(*path), rule)
