"""A traffic policy on a cluster: pool, outliers, balance, TLS, in the order that istiod keeps.

What is the same for every cluster without policy is here; the blocks of a policy have modules of
their own, imported where a contract has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_egress.envoy.cluster_draft import ClusterContext, ClusterDraft
from pytest_egress.envoy.protocols import HTTP
from pytest_egress.envoy.traffic_policy.limits import NO_LIMIT

if TYPE_CHECKING:
    from pytest_egress.contract.destination_rule.resource import (
        ConnectionPool,
        LoadBalancer,
        RetryBudget,
        TrafficPolicy,
    )

__all__ = ["apply_traffic_policy", "limit_connections"]

_NO_LIMITS = {
    "thresholds": [
        {
            "max_connections": NO_LIMIT,
            "max_pending_requests": NO_LIMIT,
            "max_requests": NO_LIMIT,
            "max_retries": NO_LIMIT,
        }
    ]
}
_NO_PANIC: dict[str, Any] = {"healthy_panic_threshold": {}}


def apply_traffic_policy(
    draft: ClusterDraft,
    policy: TrafficPolicy | None,
    declared: TrafficPolicy | None,
    context: ClusterContext,
) -> None:
    """Shape a cluster.

    Args:
        draft: the cluster; changed.
        policy: what counts for its port and subset.
        declared: what the rule, or its subset, says at its top; only automatic TLS asks for it.
        context: what all clusters share.
    """
    pool = policy.connection_pool if policy is not None else None
    if _upgrades_to_http2(draft, pool, context):
        draft.speak_http2()
    budget = policy.retry_budget if policy is not None else None
    limit_connections(draft.cluster, pool, budget, context)
    if pool is not None:
        from pytest_egress.envoy.traffic_policy.connection_pool import apply_http_pool

        draft.patient = pool.tcp is not None and pool.tcp.connect_timeout is not None
        apply_http_pool(draft, pool)
    if policy is not None and policy.outlier_detection is not None:
        from pytest_egress.envoy.traffic_policy.outliers import apply_outlier_detection

        apply_outlier_detection(draft, policy.outlier_detection)
    if not draft.dynamic:
        _balance(draft, policy.load_balancer if policy is not None else None, context)
    _originate_tls(draft, policy, declared, context)
    if policy is not None and policy.proxy_protocol is not None:
        from pytest_egress.envoy.traffic_policy.proxy_protocol import wrap_transport_sockets

        wrap_transport_sockets(draft.cluster, policy.proxy_protocol)
    if draft.cluster.get("type") == "ORIGINAL_DST":
        draft.cluster["lb_policy"] = "CLUSTER_PROVIDED"


def limit_connections(
    cluster: dict[str, Any],
    pool: ConnectionPool | None,
    budget: RetryBudget | None,
    context: ClusterContext,
) -> None:
    """The connect timeout, circuit breakers and TCP keepalive of a cluster."""
    cluster["connect_timeout"] = context.connect_timeout
    if pool is None and budget is None and context.mesh.tcp_keepalive is None:
        cluster["circuit_breakers"] = _NO_LIMITS
        return
    from pytest_egress.envoy.traffic_policy.connection_pool import apply_pool

    apply_pool(cluster, pool, budget, context.mesh.tcp_keepalive)


def _upgrades_to_http2(
    draft: ClusterDraft, pool: ConnectionPool | None, context: ClusterContext
) -> bool:
    """A rule may upgrade any port, the mesh's policy those of plain HTTP."""
    http = pool.http if pool is not None else None
    if http is not None:
        if http.use_client_protocol:
            return False
        if http.h2_upgrade_policy != "DEFAULT":
            return http.h2_upgrade_policy == "UPGRADE"
    return draft.port.protocol in HTTP and context.mesh.h2_upgrade_policy == "UPGRADE"


def _balance(draft: ClusterDraft, lb: LoadBalancer | None, context: ClusterContext) -> None:
    cluster = draft.cluster
    # Panic mode would send traffic to endpoints that are known to be unhealthy.
    cluster.setdefault("common_lb_config", _NO_PANIC)
    plain = lb is None and "outlier_detection" not in cluster
    if not plain or draft.service.traffic_distribution or context.mesh.prefers_localities:
        from pytest_egress.envoy.traffic_policy.locality import prefer_localities

        prefer_localities(draft, lb, context)
    if cluster["type"] == "ORIGINAL_DST":
        return
    if lb is None:
        cluster["lb_policy"] = "LEAST_REQUEST"
        return
    from pytest_egress.envoy.traffic_policy.load_balancing import apply_load_balancer

    apply_load_balancer(draft, lb)


def _originate_tls(
    draft: ClusterDraft,
    policy: TrafficPolicy | None,
    declared: TrafficPolicy | None,
    context: ClusterContext,
) -> None:
    if policy is not None and policy.tls is not None:
        from pytest_egress.envoy.traffic_policy.tls import apply_client_tls

        apply_client_tls(draft, policy.tls, context)
    elif not draft.service.mesh_external and context.mesh.enable_auto_mtls:
        from pytest_egress.envoy.mutual_tls import apply_automatic_tls

        apply_automatic_tls(draft, declared, context)
