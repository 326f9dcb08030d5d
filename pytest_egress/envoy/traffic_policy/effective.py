"""The policy that counts for one port and subset, out of all that a rule and the mesh say."""

from __future__ import annotations

from dataclasses import replace

from pytest_egress.contract.destination_rule.resource import (
    ConsistentHash,
    PortPolicy,
    TrafficPolicy,
)
from pytest_egress.envoy.destination_rules import MergedRule

__all__ = [
    "cluster_policy",
    "endpoint_policy",
    "passes_through",
    "route_hash",
    "service_hash",
    "subset_cluster_policy",
    "tls_mode",
    "uses_source_ip",
]


def cluster_policy(
    rule: MergedRule | None, port: int, mesh_default: TrafficPolicy | None
) -> TrafficPolicy | None:
    """The policy of a service's own cluster; blocks it leaves out come from the mesh's default."""
    policy = _for_port(rule.traffic_policy, port)[0] if rule is not None else None
    if mesh_default is None:
        return policy
    if policy is None:
        return TrafficPolicy(
            connection_pool=mesh_default.connection_pool,
            outlier_detection=mesh_default.outlier_detection,
        )
    return replace(
        policy,
        connection_pool=policy.connection_pool or mesh_default.connection_pool,
        outlier_detection=policy.outlier_detection or mesh_default.outlier_detection,
    )


def subset_cluster_policy(
    own: TrafficPolicy | None, subset: TrafficPolicy | None, port: int
) -> TrafficPolicy | None:
    """The policy of a subset's cluster: that of the service's ``own``, overridden by block.

    Settings for the port in the subset replace all that port settings can say, whether they say
    it or not.
    """
    own, _ = _for_port(own, port)
    if subset is None:
        return own
    subset, for_port = _for_port(subset, port)
    if own is None or subset is None:
        return subset
    return TrafficPolicy(
        load_balancer=subset.load_balancer
        if for_port
        else subset.load_balancer or own.load_balancer,
        connection_pool=(
            subset.connection_pool if for_port else subset.connection_pool or own.connection_pool
        ),
        outlier_detection=(
            subset.outlier_detection
            if for_port
            else subset.outlier_detection or own.outlier_detection
        ),
        tls=subset.tls if for_port else subset.tls or own.tls,
        tunnel=subset.tunnel or own.tunnel,
        proxy_protocol=subset.proxy_protocol or own.proxy_protocol,
        retry_budget=subset.retry_budget or own.retry_budget,
    )


def endpoint_policy(rule: MergedRule, port: int, subset: str = "") -> TrafficPolicy | None:
    """The policy that decides over endpoints: the mesh's default has no say in it."""
    return subset_cluster_policy(rule.traffic_policy, _of_subset(rule, subset), port)


def passes_through(policy: TrafficPolicy | None) -> bool:
    """Whether a policy says at its top that connections go where they were meant to."""
    lb = policy.load_balancer if policy is not None else None
    return lb is not None and lb.simple == "PASSTHROUGH"


def tls_mode(rule: MergedRule, subset: str, port: int) -> str | None:
    """The TLS mode of endpoints: the subset's where it says one, else the rule's.

    Port settings without ``tls`` do not hide that of the policy around them here.
    """
    for policy in (_of_subset(rule, subset), rule.traffic_policy):
        if policy is not None:
            ports = (it.tls for it in policy.port_level if it.port == port and it.tls is not None)
            tls = next(ports, policy.tls)
            if tls is not None:
                return tls.mode
    return None


def service_hash(rule: MergedRule, port: int) -> ConsistentHash | None:
    """The hash key of a service's default HTTP route: that of its port, else that of the rule."""
    policy = rule.traffic_policy
    if policy is None:
        return None
    settings = _port_settings(policy, port)
    return _hash_of(settings) or _hash_of(policy)


def route_hash(rule: MergedRule, subset: str, port: int | None) -> ConsistentHash | None:
    """The hash key of a VirtualService's HTTP destination.

    Its subset's port settings come first, then the subset's, the port's and the rule's own. Port
    settings count only where the destination names its ``port``.
    """
    candidates: list[PortPolicy | TrafficPolicy | None] = []
    for policy in (_of_subset(rule, subset), rule.traffic_policy):
        if policy is not None:
            if port is not None:
                candidates.append(_port_settings(policy, port))
            candidates.append(policy)
    return next((found for found in map(_hash_of, candidates) if found), None)


def uses_source_ip(rule: MergedRule, subset: str = "") -> bool:
    """Whether a TCP proxy to the host hashes by source address; port settings have no say."""
    own = _hash_of(rule.traffic_policy)
    policy = _of_subset(rule, subset)
    if policy is not None and policy.load_balancer is not None:
        own = _hash_of(policy)
    return own is not None and bool(own.use_source_ip)


def _of_subset(rule: MergedRule, name: str) -> TrafficPolicy | None:
    subset = rule.subset(name)
    return subset.traffic_policy if subset is not None else None


def _for_port(policy: TrafficPolicy | None, port: int) -> tuple[TrafficPolicy | None, bool]:
    """The settings for a port in place of all others, and whether there are any."""
    settings = _port_settings(policy, port) if policy is not None else None
    if settings is None:
        return policy, False
    return (
        TrafficPolicy(
            load_balancer=settings.load_balancer,
            connection_pool=settings.connection_pool,
            outlier_detection=settings.outlier_detection,
            tls=settings.tls,
        ),
        True,
    )


def _port_settings(policy: TrafficPolicy, port: int) -> PortPolicy | None:
    return next((it for it in policy.port_level if it.port == port), None)


def _hash_of(policy: PortPolicy | TrafficPolicy | None) -> ConsistentHash | None:
    if policy is None or policy.load_balancer is None:
        return None
    return policy.load_balancer.consistent_hash
