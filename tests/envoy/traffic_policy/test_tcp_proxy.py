"""What rules say to TCP proxies."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import (
    ConnectionPool,
    ConsistentHash,
    LoadBalancer,
    Subset,
    TcpPool,
    TrafficPolicy,
    Tunnel,
)
from pytest_egress.envoy.destination_rules import MergedRule
from pytest_egress.envoy.traffic_policy.tcp_proxy import tcp_proxy_settings

SECOND = 1_000_000_000
POOL = ConnectionPool(TcpPool(idle_timeout=SECOND, max_connection_duration=2 * SECOND))
TIMEOUTS = {"idle_timeout": "1s", "max_downstream_connection_duration": "2s"}
SOURCE = LoadBalancer(consistent_hash=ConsistentHash(use_source_ip=True))
OVER_PROXY = {"tunneling_config": {"hostname": "p.example.com:443"}}


@pytest.mark.parametrize(
    ("policy", "subset", "expected"),
    [
        (None, "", {}),
        (TrafficPolicy(), "", {}),
        (TrafficPolicy(connection_pool=POOL), "", TIMEOUTS),
        (TrafficPolicy(connection_pool=POOL), "plain", TIMEOUTS),
        (TrafficPolicy(load_balancer=SOURCE), "", {"hash_policy": [{"source_ip": {}}]}),
        (TrafficPolicy(tunnel=Tunnel("p.example.com", 443)), "", OVER_PROXY),
        (TrafficPolicy(tunnel=Tunnel("p.example.com", 443)), "plain", {}),
        (None, "own", {"tunneling_config": {"hostname": "[::1]:80", "use_post": True}}),
        (None, "unknown", {}),
    ],
)
def test_settings(policy: TrafficPolicy | None, subset: str, expected: dict[str, Any]) -> None:
    """Timeouts of the rule's top, the hash of the source, the tunnel of the subset meant."""
    own = TrafficPolicy(tunnel=Tunnel("::1", 80, "POST"))
    subsets = (Subset("own", {}, own), Subset("plain"))
    rule = MergedRule("a.example.com", "default", policy, subsets, None, frozenset(), ())
    assert tcp_proxy_settings(rule, subset) == expected
