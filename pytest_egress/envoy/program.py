"""Compiling a contract for one workload into the configuration that istiod would push."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import ServiceEntry, Workload
from pytest_egress.envoy.clusters import (
    allow_any_dynamic_dns_cluster,
    fixed_clusters,
    service_clusters,
)
from pytest_egress.envoy.instances import Registry
from pytest_egress.envoy.listener_map import ListenerEntry, listener_entries
from pytest_egress.envoy.listeners import listener, virtual_outbound
from pytest_egress.envoy.names import cluster_name
from pytest_egress.envoy.routes import build_routes
from pytest_egress.envoy.scope import Scope, build_scope
from pytest_egress.envoy.services import convert_services

__all__ = ["Program", "compile_contract"]


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
        listener_origins: listener name to the entries that put a chain or a route on it.
    """

    listeners: tuple[dict[str, Any], ...]
    routes: tuple[dict[str, Any], ...]
    clusters: tuple[dict[str, Any], ...]
    endpoints: tuple[dict[str, Any], ...]
    origins: Mapping[str, tuple[ServiceEntry, ...]]
    listener_origins: Mapping[str, tuple[ServiceEntry, ...]]


def compile_contract(contract: Contract, workload: Workload) -> Program:
    """The configuration that istiod 1.31 would push to the sidecar of ``workload``.

    A pure function of valid resources. Left out: Istio's own extensions (``istio.stats``,
    ``istio.alpn``, metadata exchange), ``istio`` filter metadata, tracing without provider, and
    access logs.
    """
    services = convert_services(contract, workload)
    registry = Registry(contract, services)
    scope = build_scope(contract, workload, services)
    entries = listener_entries(scope, registry)
    clusters: list[dict[str, Any]] = []
    endpoints: list[dict[str, Any]] = []
    for service in scope.services:
        for cluster, assignment in service_clusters(service, registry):
            clusters.append(cluster)
            if assignment is not None:
                endpoints.append(assignment)
    clusters.extend(fixed_clusters())
    if scope.policy.mode == "ALLOW_ANY_DYNAMIC_DNS":
        clusters.append(allow_any_dynamic_dns_cluster(dns_capture=workload.dns_capture))
    return Program(
        listeners=(
            *(listener(entry, scope.policy, workload) for entry in entries),
            virtual_outbound(scope.policy, workload),
        ),
        routes=tuple(build_routes(_route_names(entries), scope, workload)),
        clusters=tuple(clusters),
        endpoints=tuple(endpoints),
        origins=_cluster_origins(scope),
        listener_origins={entry.name: tuple(entry.origins.values()) for entry in entries},
    )


def _route_names(entries: Iterable[ListenerEntry]) -> Iterable[str]:
    """Each route configuration that a chain asks for, once."""
    return dict.fromkeys(
        chain.routes.name for entry in entries for chain in entry.chains if chain.routes
    )


def _cluster_origins(scope: Scope) -> dict[str, tuple[ServiceEntry, ...]]:
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
    return {name: tuple(entries.values()) for name, entries in found.items()}
