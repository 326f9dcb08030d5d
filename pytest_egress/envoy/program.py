"""Compiling a contract for one workload into the configuration that istiod would push."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import ServiceEntry, Workload
from pytest_egress.envoy.cluster_draft import ClusterContext
from pytest_egress.envoy.clusters import (
    allow_any_dynamic_dns_cluster,
    fixed_clusters,
    scope_clusters,
)
from pytest_egress.envoy.instances import Registry
from pytest_egress.envoy.listener_map import ListenerEntry, listener_entries
from pytest_egress.envoy.listeners import listener, virtual_outbound
from pytest_egress.envoy.name_table import Name, name_table
from pytest_egress.envoy.names import cluster_name
from pytest_egress.envoy.routes import RouteConfiguration, build_routes
from pytest_egress.envoy.scope import Scope, build_scope
from pytest_egress.envoy.services import convert_services

if TYPE_CHECKING:
    from pytest_egress.envoy.destination_rules import MergedRule
    from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["Program", "cluster_origins", "compile_contract"]


@dataclass(frozen=True, slots=True)
class Program:
    """The outbound half of a sidecar's configuration: Envoy v3 JSON with proto field names.

    Parts of it are shared between resources; treat all of it as immutable.

    Attributes:
        listeners: LDS, in order of arrival, ``virtualOutbound`` last.
        routes: RDS, those that the listeners name.
        clusters: CDS; those of STATIC entries are of type EDS.
        endpoints: EDS, one ``ClusterLoadAssignment`` per cluster of type EDS.
        origins: cluster name to the entries that declare it, the deciding one first.
        shaped: cluster name to the DestinationRules that shape it.
        patient: names of clusters whose connect timeout a DestinationRule gives.
        listener_origins: listener name to the entries that put a chain or a route on it.
        route_rules: the rule of a VirtualService that made a route, by the names of its route
            configuration and virtual host and its place there.
        chain_rules: the same of a filter chain, by listener name and place (-1: the default).
        names: with DNS capture, the hosts that the agent answers for.
    """

    listeners: tuple[dict[str, Any], ...]
    routes: tuple[dict[str, Any], ...]
    clusters: tuple[dict[str, Any], ...]
    endpoints: tuple[dict[str, Any], ...]
    origins: Mapping[str, tuple[ServiceEntry, ...]]
    shaped: Mapping[str, MergedRule]
    patient: frozenset[str]
    listener_origins: Mapping[str, tuple[ServiceEntry, ...]]
    route_rules: Mapping[tuple[str, str, int], Rule]
    chain_rules: Mapping[tuple[str, int], Rule]
    names: Mapping[str, Name] = field(default_factory=dict)

    def rule(self, text: str) -> Rule | None:
        """The rule that is written so (``shop/weather http[0]``)."""
        rules = (*self.route_rules.values(), *self.chain_rules.values())
        return next((rule for rule in rules if str(rule) == text), None)


def compile_contract(contract: Contract, workload: Workload) -> Program:
    """The configuration that istiod 1.31 would push to the sidecar of ``workload``.

    A pure function of valid resources. Left out: Istio's own extensions (``istio.stats``,
    ``istio.alpn``, metadata exchange), ``istio`` filter metadata, tracing without provider, and
    access logs.
    """
    services = convert_services(contract, workload)
    registry = Registry(contract, services)
    scope = build_scope(contract, workload, services)
    entries = listener_entries(scope, registry, workload, contract.mesh)
    configurations = build_routes(_route_names(entries), scope, workload)
    context = ClusterContext(contract.mesh, workload, registry)
    services_clusters = scope_clusters(scope, context)
    clusters = [*services_clusters.clusters, *fixed_clusters(context)]
    if scope.policy.mode == "ALLOW_ANY_DYNAMIC_DNS":
        clusters.append(allow_any_dynamic_dns_cluster(context))
    return Program(
        listeners=(
            *(listener(entry, scope.policy, workload, contract.mesh) for entry in entries),
            virtual_outbound(scope.policy, workload, contract.mesh),
        ),
        routes=tuple(it.to_json() for it in configurations),
        clusters=tuple(clusters),
        endpoints=tuple(services_clusters.endpoints),
        origins=cluster_origins(scope),
        shaped=services_clusters.shaped,
        patient=frozenset(services_clusters.patient),
        listener_origins={entry.name: tuple(entry.origins.values()) for entry in entries},
        route_rules=_route_rules(configurations),
        chain_rules=_chain_rules(entries),
        names=name_table(scope, registry) if workload.dns_capture else {},
    )


def _route_names(entries: Iterable[ListenerEntry]) -> Iterable[str]:
    """Each route configuration that a chain asks for, once."""
    return dict.fromkeys(
        chain.routes.name for entry in entries for chain in entry.chains if chain.routes
    )


def cluster_origins(scope: Scope) -> dict[str, tuple[ServiceEntry, ...]]:
    """The visible entries that declare each cluster's host and port, in its namespace."""
    found: dict[str, dict[int, ServiceEntry]] = {}
    owners = {service.host: service for service in scope.services}
    for egress in scope.egress:
        for service in egress.services:
            if owners[service.host].namespace != service.namespace:
                continue
            for port in service.ports:
                name = cluster_name(service.host, port.number)
                found.setdefault(name, {})[id(service.entry)] = service.entry
    for service in scope.services:
        # One that no egress listener imports, but a VirtualService leads to.
        for port in service.ports:
            name = cluster_name(service.host, port.number)
            found.setdefault(name, {id(service.entry): service.entry})
    return {name: tuple(entries.values()) for name, entries in found.items()}


def _route_rules(configurations: Iterable[RouteConfiguration]) -> dict[tuple[str, str, int], Rule]:
    return {
        (configuration.name, host.name, index): rule
        for configuration in configurations
        for host in configuration.hosts
        for index, rule in enumerate(host.rules)
        if rule is not None
    }


def _chain_rules(entries: Iterable[ListenerEntry]) -> dict[tuple[str, int], Rule]:
    """By the places that ``listener`` gives the chains: one that matches all is the default."""
    found: dict[tuple[str, int], Rule] = {}
    for entry in entries:
        default = [it for it in entry.chains if it.matches_all][-1:]
        others = [it for it in entry.chains if not it.matches_all]
        placed = list(enumerate(others or default))
        if others:
            placed += [(-1, it) for it in default]
        found |= {(entry.name, index): it.rule for index, it in placed if it.rule is not None}
    return found
