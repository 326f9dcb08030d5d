"""``loadBalancer``: the algorithm, consistent hashing, warm-up."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.destination_rule.resource import ConsistentHash, LoadBalancer, Warmup
from pytest_egress.contract.duration import duration_json
from pytest_egress.envoy.cluster_draft import ClusterDraft

__all__ = ["apply_load_balancer"]

_DEFAULT_RING = 1024
_SLOW_START = {"round_robin_lb_config", "least_request_lb_config"}


def apply_load_balancer(draft: ClusterDraft, lb: LoadBalancer) -> None:
    """Choose how a cluster picks an endpoint."""
    cluster = draft.cluster
    config = ""
    if lb.simple == "PASSTHROUGH":
        # The connection's own destination is dialled, whatever endpoints there are.
        cluster["type"] = "ORIGINAL_DST"
        draft.localities = None
    elif lb.simple == "RANDOM":
        cluster["lb_policy"] = "RANDOM"
    elif lb.simple == "ROUND_ROBIN":  # Envoy's default, which JSON leaves out
        config = "round_robin_lb_config"
    else:
        cluster["lb_policy"] = "LEAST_REQUEST"
        config = "least_request_lb_config"
    window = _slow_start(lb)
    if config and window is not None:
        cluster[config] = {"slow_start_config": window}
    if lb.consistent_hash is not None:
        _hash(cluster, lb.consistent_hash)


def _hash(cluster: dict[str, Any], key: ConsistentHash) -> None:
    """A ring or a Maglev table; a size of zero leaves Envoy's, and the warm-up beside it."""
    if key.table_size is not None:
        cluster["lb_policy"] = "MAGLEV"
        name, field, size = "maglev_lb_config", "table_size", key.table_size
    else:
        cluster["lb_policy"] = "RING_HASH"
        name, field = "ring_hash_lb_config", "minimum_ring_size"
        size = key.ring_size if key.ring_size is not None else key.minimum_ring_size
        if key.ring_size is None and not size:
            size = _DEFAULT_RING
    if size:
        for config in _SLOW_START:
            cluster.pop(config, None)
        cluster[name] = {field: str(size)}


def _slow_start(lb: LoadBalancer) -> dict[str, Any] | None:
    if lb.warmup is not None:
        return _warmup(lb.warmup)
    if lb.warmup_duration is not None:
        return {"slow_start_window": duration_json(lb.warmup_duration)}
    return None


def _warmup(warmup: Warmup) -> dict[str, Any]:
    aggression = 1.0 if warmup.aggression is None else warmup.aggression
    percent = 10.0 if warmup.minimum_percent is None else warmup.minimum_percent
    # The runtime key cannot be set by anyone; Envoy's schema wants one.
    runtime: dict[str, Any] = {"runtime_key": "("}
    if aggression:
        runtime["default_value"] = aggression
    return {
        "slow_start_window": duration_json(warmup.duration),
        "aggression": runtime,
        "min_weight_percent": {"value": percent} if percent else {},
    }
