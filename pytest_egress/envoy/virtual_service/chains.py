"""The ``tls`` and ``tcp`` rules of VirtualServices as filter chains of one service port."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_egress.contract.resources import Workload
from pytest_egress.contract.virtual_service.resource import (
    Destination,
    L4Match,
    RouteDestination,
    TlsMatch,
)
from pytest_egress.envoy.chains import (
    Chain,
    network_filters,
    split_tcp_proxy,
    tcp_chain,
    tcp_proxy,
)
from pytest_egress.envoy.names import labels_match
from pytest_egress.envoy.protocols import TLS
from pytest_egress.envoy.scope import Scope
from pytest_egress.envoy.services import Service, ServicePort
from pytest_egress.envoy.virtual_service.http_routes import destination_cluster
from pytest_egress.envoy.virtual_service.merge import MergedVirtualService
from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["route_filters", "routed_chains"]


@dataclass(frozen=True, slots=True)
class _Place:
    """One service port on one listener, as rules are asked about it."""

    port: ServicePort
    cidrs: tuple[str, ...]
    scope: Scope
    workload: Workload

    def concerns(self, match: TlsMatch | L4Match) -> bool:
        """The part of a match that is known beforehand: gateways, port, source."""
        return (
            (not match.gateways or "mesh" in match.gateways)
            and labels_match(match.source_labels, self.workload.labels)
            and match.port in {0, self.port.number}
            and match.source_namespace in {"", self.workload.namespace}
        )


def route_filters(
    merged: MergedVirtualService,
    route: Sequence[RouteDestination],
    port: ServicePort,
    scope: Scope,
) -> tuple[dict[str, Any], ...]:
    """The network filters that lead from a listener's port to a rule's destinations."""

    def cluster(destination: Destination) -> str:
        service = scope.by_host.get(destination.host)
        ports = service.ports if service is not None else None
        return destination_cluster(destination, ports, port.number)

    clusters = [(cluster(it.destination), it.weight) for it in route]
    first = route[0].destination
    shaping = scope.rules.get(first.host)
    if len(clusters) == 1:
        proxy = tcp_proxy(clusters[0][0], shaping, first.subset)
    else:
        metadata = merged.declared.metadata
        prefix = f"{metadata.name}.{metadata.namespace}"
        proxy = split_tcp_proxy(prefix, [it for it in clusters if it[1]], shaping)
    return network_filters(port.protocol, proxy)


def routed_chains(
    service: Service,
    port: ServicePort,
    bind: str,
    cidrs: tuple[str, ...],
    matching: Sequence[MergedVirtualService],
    scope: Scope,
    workload: Workload,
) -> list[Chain]:
    """The chains of a service port: those of rules, then its own unless a rule takes all.

    ``matching`` are the VirtualServices of which a host matches the service's.
    """
    place = _Place(port, cidrs, scope, workload)
    if port.protocol in TLS:
        chains = _tls(matching, place)
        takes_all = bool(chains)
    else:
        chains, takes_all = _tcp(matching, place)
    if not takes_all:
        chains.append(tcp_chain(service, port, bind, cidrs, scope.rules.get(service.host)))
    return chains


def _tls(virtual_services: Iterable[MergedVirtualService], place: _Place) -> list[Chain]:
    """One chain per match; of two that ask for the same the first counts.

    Subnets of a match are taken over by the later ones that name none, as istiod does.
    """
    chains: list[Chain] = []
    handled: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
    cidrs = place.cidrs
    for merged in virtual_services:
        for index, tls in enumerate(merged.service.tls):
            if not tls.route:
                continue
            for match in filter(place.concerns, tls.match):
                if match.destination_subnets and place.port.number:
                    cidrs = match.destination_subnets
                asked = (match.sni_hosts, match.destination_subnets)
                if asked not in handled:
                    handled.add(asked)
                    filters = route_filters(merged, tls.route, place.port, place.scope)
                    rule = Rule(merged.declared, "tls", index)
                    chains.append(Chain(match.sni_hosts, cidrs, filters=filters, rule=rule))
    return chains


def _tcp(
    virtual_services: Iterable[MergedVirtualService], place: _Place
) -> tuple[list[Chain], bool]:
    """The chains of rules, and whether they leave nothing to the service itself.

    The first rule that asks for no subnet ends the list. The subnets of all matches of a rule
    make one chain.
    """
    chains: list[Chain] = []
    takes_all = False
    for merged in virtual_services:
        for index, tcp in enumerate(merged.service.tcp):
            if not tcp.route:
                continue
            rule = Rule(merged.declared, "tcp", index)
            filters = route_filters(merged, tcp.route, place.port, place.scope)
            matches = [it for it in tcp.match if place.concerns(it)]
            any_address = any(not it.destination_subnets or not place.port.number for it in matches)
            if not tcp.match or any_address:
                chains.append(Chain(cidrs=place.cidrs, filters=filters, rule=rule))
                return chains, True
            subnets = tuple(sorted(it for match in matches for it in match.destination_subnets))
            if subnets:
                chains.append(Chain(cidrs=subnets, filters=filters, rule=rule))
                takes_all = takes_all or subnets == tuple(sorted(place.cidrs))
    return chains, takes_all
