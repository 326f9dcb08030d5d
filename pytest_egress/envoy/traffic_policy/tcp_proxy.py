"""What a DestinationRule says to the TCP proxies of listeners."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.destination_rule.resource import TcpPool
from pytest_egress.contract.duration import duration_json
from pytest_egress.envoy.destination_rules import MergedRule
from pytest_egress.envoy.names import join_host_port
from pytest_egress.envoy.traffic_policy.effective import uses_source_ip

__all__ = ["tcp_proxy_settings"]


def tcp_proxy_settings(rule: MergedRule, subset: str = "") -> dict[str, Any]:
    """Fields of the ``TcpProxy`` that leads to a host.

    Timeouts are those at the top of the rule, whatever subset or port is meant. A tunnel is the
    subset's own; where connections are split over several destinations there is no subset.
    """
    built: dict[str, Any] = {}
    policy = rule.traffic_policy
    pool = (policy and policy.connection_pool and policy.connection_pool.tcp) or TcpPool()
    if pool.idle_timeout is not None:
        built["idle_timeout"] = duration_json(pool.idle_timeout)
    if pool.max_connection_duration is not None:
        built["max_downstream_connection_duration"] = duration_json(pool.max_connection_duration)
    if uses_source_ip(rule, subset):
        built["hash_policy"] = [{"source_ip": {}}]
    if subset:
        chosen = rule.subset(subset)
        policy = chosen.traffic_policy if chosen is not None else None
    tunnel = policy.tunnel if policy is not None else None
    if tunnel is not None:
        built["tunneling_config"] = {
            "hostname": join_host_port(tunnel.target_host, tunnel.target_port)
        }
        if tunnel.protocol == "POST":
            built["tunneling_config"]["use_post"] = True
    return built
