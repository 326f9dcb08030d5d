"""Clusters (CDS) and the endpoints of those that Istio serves over EDS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_egress.envoy.cluster_draft import ClusterContext, ClusterDraft, http_options
from pytest_egress.envoy.endpoints import dns_localities, eds_assignment
from pytest_egress.envoy.forward_proxy import (
    ALLOW_ANY_CACHE,
    allow_any_dns_cache,
    dns_cache,
    forward_proxy_cluster_type,
)
from pytest_egress.envoy.protocols import HTTP2, SNIFFED
from pytest_egress.envoy.scope import Scope
from pytest_egress.envoy.services import Service
from pytest_egress.envoy.traffic_policy.apply import apply_traffic_policy, limit_connections

if TYPE_CHECKING:
    from pytest_egress.contract.destination_rule.resource import Subset, TrafficPolicy
    from pytest_egress.envoy.destination_rules import MergedRule

__all__ = [
    "ScopeClusters",
    "allow_any_dynamic_dns_cluster",
    "fixed_clusters",
    "scope_clusters",
    "service_clusters",
]

_DYNAMIC_PROTOCOLS = ("HTTP", "TLS", "GRPC", "HTTP2")
_ADS = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
_RESOLVER = {
    "name": "envoy.network.dns_resolver.cares",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3"
        ".CaresDnsResolverConfig",
        "udp_max_queries": 100,
    },
}
_PASSTHROUGH_OPTIONS: dict[str, Any] = {
    "common_http_protocol_options": {"idle_timeout": "300s"},
    "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
}


@dataclass(slots=True)
class ScopeClusters:
    """The clusters of all services that a proxy knows, in istiod's order.

    Attributes:
        clusters: CDS.
        endpoints: EDS.
        shaped: cluster name to the DestinationRules that shape it.
        patient: names of clusters whose connect timeout a DestinationRule gives.
    """

    clusters: list[dict[str, Any]] = field(default_factory=list)
    endpoints: list[dict[str, Any]] = field(default_factory=list)
    shaped: dict[str, MergedRule] = field(default_factory=dict)
    patient: set[str] = field(default_factory=set)


def scope_clusters(scope: Scope, context: ClusterContext) -> ScopeClusters:
    """The clusters of the services in ``scope``, with their endpoints."""
    found = ScopeClusters()
    for service in scope.services:
        for draft, assignment in service_clusters(service, scope.rules.get(service.host), context):
            found.clusters.append(draft.cluster)
            if assignment is not None:
                found.endpoints.append(assignment)
            if draft.rule is not None:
                found.shaped[draft.name] = draft.rule
            if draft.patient:
                found.patient.add(draft.name)
    return found


def service_clusters(
    service: Service, rule: MergedRule | None, context: ClusterContext
) -> Iterator[tuple[ClusterDraft, dict[str, Any] | None]]:
    """The finished clusters of one service, each with its EDS answer where it is of type EDS.

    A port has one cluster of its own and one for each subset of the service's DestinationRule. A
    DNS cluster without endpoints is left out, as is a DYNAMIC_DNS port of a protocol that Envoy's
    dynamic forward proxy does not serve.
    """
    for port in service.ports:
        if port.protocol == "UDP":
            continue
        draft = ClusterDraft(service, port, rule)
        if service.dynamic_wildcard:
            if port.protocol not in _DYNAMIC_PROTOCOLS:
                continue
            _dynamic_cluster(draft)
        elif not _service_cluster(draft, _discovery_type(service, context), context):
            continue
        policy = _own_policy(draft, context)
        declared = rule.traffic_policy if rule is not None else None
        apply_traffic_policy(draft, policy, declared, context)
        yield _finished(draft, context)
        if rule is not None and not draft.dynamic:
            for subset in rule.subsets:
                built = _subset_cluster(draft, subset, policy, context)
                if built is not None:
                    yield _finished(built, context)


def fixed_clusters(context: ClusterContext) -> tuple[dict[str, Any], ...]:
    """``BlackHoleCluster``, which has no endpoint, and ``PassthroughCluster``.

    The latter takes the connection pool of ``meshConfig.defaultTrafficPolicy``.
    """
    blackhole = {
        "name": "BlackHoleCluster",
        "alt_stat_name": "BlackHoleCluster;",
        "type": "STATIC",
        "connect_timeout": context.connect_timeout,
    }
    passthrough = {
        "name": "PassthroughCluster",
        "alt_stat_name": "PassthroughCluster;",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "typed_extension_protocol_options": http_options(_PASSTHROUGH_OPTIONS),
    }
    default = context.mesh.default_traffic_policy
    limit_connections(passthrough, default.connection_pool if default else None, None, context)
    return blackhole, passthrough


def allow_any_dynamic_dns_cluster(context: ClusterContext) -> dict[str, Any]:
    """``AllowAnyDynamicDNSCluster``: undeclared HTTP of mode ALLOW_ANY_DYNAMIC_DNS (Istio 1.31)."""
    cache = allow_any_dns_cache(ALLOW_ANY_CACHE, dns_capture=context.workload.dns_capture)
    cluster = {
        "name": "AllowAnyDynamicDNSCluster",
        "alt_stat_name": "AllowAnyDynamicDNSCluster;",
        "cluster_type": forward_proxy_cluster_type(cache, insecure=True),
        "lb_policy": "CLUSTER_PROVIDED",
        "typed_extension_protocol_options": http_options(_PASSTHROUGH_OPTIONS),
    }
    limit_connections(cluster, None, None, context)
    return cluster


def _own_policy(draft: ClusterDraft, context: ClusterContext) -> TrafficPolicy | None:
    default = context.mesh.default_traffic_policy
    if draft.rule is None and default is None:
        return None
    from pytest_egress.envoy.traffic_policy.effective import cluster_policy

    return cluster_policy(draft.rule, draft.port.number, default)


def _subset_cluster(
    own: ClusterDraft, subset: Subset, policy: TrafficPolicy | None, context: ClusterContext
) -> ClusterDraft | None:
    """The cluster of a subset of ``own``'s service, None where it would have no endpoints."""
    from pytest_egress.envoy.traffic_policy.effective import passes_through, subset_cluster_policy

    draft = ClusterDraft(own.service, own.port, own.rule, subset.name)
    discovery = own.cluster["type"]
    if passes_through(subset.traffic_policy):
        discovery = "ORIGINAL_DST"
    if not _service_cluster(draft, discovery, context):
        return None
    merged = subset_cluster_policy(policy, subset.traffic_policy, own.port.number)
    apply_traffic_policy(draft, merged, subset.traffic_policy, context)
    return draft


def _finished(
    draft: ClusterDraft, context: ClusterContext
) -> tuple[ClusterDraft, dict[str, Any] | None]:
    """The cluster and, for type EDS, its endpoints."""
    cluster = draft.finish()
    if cluster.get("type") != "EDS":
        return draft, None
    cluster["eds_cluster_config"] = {"eds_config": _ADS, "service_name": draft.name}
    return draft, eds_assignment(draft, context)


def _discovery_type(service: Service, context: ClusterContext) -> str:
    resolution = service.resolution
    if resolution == "DNS":
        return "LOGICAL_DNS" if service.races_connections else "STRICT_DNS"
    if resolution == "DNS_ROUND_ROBIN":
        return "LOGICAL_DNS"
    # A gateway's connections have no original destination.
    return "ORIGINAL_DST" if resolution == "NONE" and not context.router else "EDS"


def _service_cluster(draft: ClusterDraft, discovery: str, context: ClusterContext) -> bool:
    """Begin a cluster of that type; False where it cannot be for lack of endpoints."""
    cluster = draft.cluster = _base(draft)
    cluster["type"] = discovery
    if discovery in {"STRICT_DNS", "LOGICAL_DNS"}:
        draft.localities = dns_localities(draft, context)
        if not draft.localities:
            return False
        cluster["dns_refresh_rate"] = context.dns_refresh_rate
        cluster["dns_jitter"] = "0.100s"
        cluster["respect_dns_ttl"] = True
        cluster["dns_lookup_family"] = "ALL" if draft.service.races_connections else "V4_ONLY"
        cluster["typed_dns_resolver_config"] = _RESOLVER
    elif discovery == "ORIGINAL_DST":
        override = _target_port(draft)
        if override:
            cluster["original_dst_lb_config"] = {"upstream_port_override": override}
    _speak(draft, context)
    return True


def _dynamic_cluster(draft: ClusterDraft) -> None:
    draft.dynamic = True
    cluster = draft.cluster = _base(draft)
    cluster["cluster_type"] = forward_proxy_cluster_type(dns_cache(draft.service.host))
    cluster["lb_policy"] = "CLUSTER_PROVIDED"
    if draft.port.protocol in HTTP2:
        draft.speak_http2()


def _base(draft: ClusterDraft) -> dict[str, Any]:
    name = draft.name
    return {"name": name, "alt_stat_name": f"{name};"}


def _speak(draft: ClusterDraft, context: ClusterContext) -> None:
    """The HTTP version towards the upstream; Envoy's own choice is HTTP/1.1."""
    if draft.port.protocol in HTTP2:
        draft.speak_http2()
    elif draft.port.protocol == SNIFFED and not context.router:
        draft.speak_as_client()


def _target_port(draft: ClusterDraft) -> int:
    """The port override of an ORIGINAL_DST cluster; the last one wins, 0 means none.

    Only the ports of the service's own entry count: one merged in from another entry has none.
    """
    service = draft.service
    if service.resolution != "NONE":
        return 0
    targets = [it.target_port for it in service.entry.ports if it.number == draft.port.number]
    return next((target for target in reversed(targets) if target), 0)
