"""Which hosts and services the routes of a VirtualService are for, on one port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_egress.contract.resources import Workload
from pytest_egress.contract.virtual_service.resource import Destination
from pytest_egress.envoy.names import is_wildcard, subset_of
from pytest_egress.envoy.protocols import HTTP, SNIFFED
from pytest_egress.envoy.routed import RoutedHosts, RoutedService
from pytest_egress.envoy.scope import EgressScope, Scope
from pytest_egress.envoy.services import ServicePort
from pytest_egress.envoy.virtual_service.http_routes import RouteContext, build_http_routes
from pytest_egress.envoy.virtual_service.merge import MergedVirtualService
from pytest_egress.envoy.virtual_service.select import most_specific

__all__ = ["destination_hash", "routed_hosts"]


def routed_hosts(
    scope: Scope,
    egress: EgressScope,
    registry: Mapping[str, RoutedService],
    port: int,
    workload: Workload,
) -> list[RoutedHosts]:
    """What the VirtualServices of an egress listener route on ``port``, in their order.

    A VirtualService speaks for the services that its hosts match. Hosts without service count
    beside these, and on port 80 also alone.
    """

    def ports_of(host: str) -> tuple[ServicePort, ...] | None:
        service = registry.get(host)
        return service.ports if service is not None else None

    def hash_of(destination: Destination) -> dict[str, Any] | None:
        return destination_hash(scope, destination)

    context = RouteContext(
        port, workload.namespace, workload.labels, ports_of, hash_of, scope.retries
    )
    best = most_specific(egress.virtual_services, {it.host for it in egress.services})
    found: list[RoutedHosts] = []
    for merged in egress.virtual_services:
        routes = build_http_routes(merged, context)
        if not routes:
            continue
        hosts, services = _separate(merged, registry, best)
        by_port: dict[int, list[RoutedService]] = {}
        for service in services:
            for it in service.ports:
                if it.protocol in HTTP or it.protocol == SNIFFED:
                    by_port.setdefault(it.number, []).append(service)
        if not by_port and port == 80:
            by_port[port] = []
        found += (
            RoutedHosts(
                number,
                tuple(of_port),
                tuple(route for route, _ in routes),
                tuple(rule for _, rule in routes),
                hosts,
            )
            for number, of_port in by_port.items()
        )
    return found


def destination_hash(scope: Scope, destination: Destination) -> dict[str, Any] | None:
    """What a DestinationRule wants the endpoint of an HTTP destination chosen by."""
    rule = scope.rules.get(destination.host)
    if rule is None:
        return None
    from pytest_egress.envoy.traffic_policy.effective import route_hash
    from pytest_egress.envoy.traffic_policy.hashing import route_hash_policy

    key = route_hash(rule, destination.subset, destination.port or None)
    return route_hash_policy(key) if key is not None else None


def _separate(
    merged: MergedVirtualService,
    registry: Mapping[str, RoutedService],
    best: Mapping[str, MergedVirtualService],
) -> tuple[tuple[str, ...], list[RoutedService]]:
    """The hosts that no service has, and the services that the others match.

    A wildcard takes the services that no other VirtualService matches better.
    """
    alone: list[str] = []
    services: list[RoutedService] = []
    wildcards: list[str] = []
    for host in merged.service.hosts:
        name = host.lower()
        if is_wildcard(name):
            wildcards.append(name)
        elif name in registry:
            services.append(registry[name])
        else:
            alone.append(host)
    for wildcard in wildcards:
        matched = [
            (host, it)
            for host, it in registry.items()
            if subset_of(host, wildcard) or subset_of(wildcard, host)
        ]
        services += (it for host, it in matched if best.get(host) is merged)
        if not matched:
            alone.append(wildcard)
    return tuple(alone), services
