"""The policy that counts for one port and subset."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import (
    ClientTls,
    ConnectionPool,
    ConsistentHash,
    LoadBalancer,
    OutlierDetection,
    PortPolicy,
    Subset,
    TcpPool,
    TrafficPolicy,
    Tunnel,
)
from pytest_egress.envoy.destination_rules import MergedRule
from pytest_egress.envoy.traffic_policy.effective import (
    cluster_policy,
    endpoint_policy,
    route_hash,
    service_hash,
    subset_cluster_policy,
    uses_source_ip,
)

POOL = ConnectionPool(tcp=TcpPool(max_connections=1))
OTHER_POOL = ConnectionPool(tcp=TcpPool(max_connections=2))
OUTLIERS = OutlierDetection(consecutive_5xx_errors=3)
RANDOM = LoadBalancer(simple="RANDOM")
TLS = ClientTls(mode="SIMPLE")
TUNNEL = Tunnel("a.example.com", 443)
KEYS = {name: ConsistentHash(http_header_name=name) for name in ("rule", "port", "subset", "both")}


def merged(policy: TrafficPolicy | None, *subsets: Subset) -> MergedRule:
    """A rule of these parts."""
    return MergedRule("a.example.com", "default", policy, subsets, None, frozenset(), ())


def hashing(key: str, **fields: Any) -> TrafficPolicy:
    """A policy with that hash key."""
    return TrafficPolicy(load_balancer=LoadBalancer(consistent_hash=KEYS[key]), **fields)


def test_no_rule() -> None:
    """Without rule there is no policy, but for the mesh's default blocks."""
    assert cluster_policy(None, 80, None) is None
    default = TrafficPolicy(connection_pool=POOL)
    assert cluster_policy(None, 80, default) == default


def test_port_settings_replace_everything() -> None:
    """Blocks that port settings leave out are not taken from the rule, nor is its tunnel."""
    policy = TrafficPolicy(
        load_balancer=RANDOM,
        tls=TLS,
        tunnel=TUNNEL,
        port_level=(PortPolicy(80, outlier_detection=OUTLIERS), PortPolicy(80, tls=TLS)),
    )
    rule = merged(policy)
    assert cluster_policy(rule, 80, None) == TrafficPolicy(outlier_detection=OUTLIERS)
    assert cluster_policy(rule, 81, None) == policy


def test_mesh_default_fills_blocks() -> None:
    """A block of the rule or of its port is kept whole, one that is absent is the mesh's."""
    default = TrafficPolicy(connection_pool=POOL, outlier_detection=OUTLIERS)
    policy = TrafficPolicy(
        connection_pool=OTHER_POOL, port_level=(PortPolicy(80, load_balancer=RANDOM),)
    )
    rule = merged(policy)
    other = cluster_policy(rule, 81, default)
    assert other is not None
    assert (other.connection_pool, other.outlier_detection) == (OTHER_POOL, OUTLIERS)
    assert cluster_policy(rule, 80, default) == TrafficPolicy(
        load_balancer=RANDOM, connection_pool=POOL, outlier_detection=OUTLIERS
    )


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        (None, TrafficPolicy(load_balancer=RANDOM, tls=TLS, tunnel=TUNNEL)),
        (
            TrafficPolicy(connection_pool=POOL),
            TrafficPolicy(load_balancer=RANDOM, connection_pool=POOL, tls=TLS, tunnel=TUNNEL),
        ),
        (
            TrafficPolicy(port_level=(PortPolicy(80, connection_pool=POOL),)),
            TrafficPolicy(connection_pool=POOL, tunnel=TUNNEL),
        ),
        (
            TrafficPolicy(port_level=(PortPolicy(81, connection_pool=POOL),)),
            TrafficPolicy(load_balancer=RANDOM, tls=TLS, tunnel=TUNNEL),
        ),
    ],
)
def test_subset_overrides_by_block(subset: TrafficPolicy | None, expected: TrafficPolicy) -> None:
    """A subset inherits what it leaves out; its port settings inherit nothing that they can say."""
    own = TrafficPolicy(load_balancer=RANDOM, tls=TLS, tunnel=TUNNEL)
    assert subset_cluster_policy(own, subset, 80) == expected


def test_subset_of_a_rule_without_policy() -> None:
    """The subset's own is all there is."""
    subset = TrafficPolicy(tls=TLS)
    assert subset_cluster_policy(None, subset, 80) == subset
    assert endpoint_policy(merged(None, Subset("v1", {}, subset)), 80, "v1") == subset
    assert endpoint_policy(merged(None, Subset("v1", {}, subset)), 80) is None


def test_service_hash() -> None:
    """The port's key, else the rule's: port settings without a key do not hide it."""
    ports = (
        PortPolicy(80, load_balancer=LoadBalancer(consistent_hash=KEYS["port"])),
        PortPolicy(81, tls=TLS),
    )
    rule = merged(hashing("rule", port_level=ports))
    assert [service_hash(rule, port) for port in (80, 81, 82)] == [
        KEYS[name] for name in ("port", "rule", "rule")
    ]
    assert service_hash(merged(None), 80) is None


@pytest.mark.parametrize(
    ("subset", "port", "expected"),
    [
        ("v1", 80, "both"),
        ("v1", 81, "subset"),
        ("v1", None, "subset"),
        ("v2", 80, "port"),
        ("v2", None, "rule"),
        ("", 80, "port"),
        ("", 81, "rule"),
        ("unknown", None, "rule"),
    ],
)
def test_route_hash(subset: str, port: int | None, expected: str) -> None:
    """The subset's port, the subset, the port, the rule; ports only where the route names one."""

    def for_port(key: str) -> tuple[PortPolicy, ...]:
        return (PortPolicy(80, load_balancer=LoadBalancer(consistent_hash=KEYS[key])),)

    rule = merged(
        hashing("rule", port_level=for_port("port")),
        Subset("v1", {}, hashing("subset", port_level=for_port("both"))),
        Subset("v2", {}, TrafficPolicy(load_balancer=RANDOM)),
    )
    assert route_hash(rule, subset, port) == KEYS[expected]


def test_source_address_of_tcp() -> None:
    """A TCP proxy hashes by source if the rule says so; a subset's load balancer overrides it."""
    by_source = TrafficPolicy(
        load_balancer=LoadBalancer(consistent_hash=ConsistentHash(use_source_ip=True))
    )
    rule = merged(
        by_source,
        Subset("plain"),
        Subset("random", {}, TrafficPolicy(load_balancer=RANDOM)),
        Subset("header", {}, hashing("subset")),
    )
    asked = ("", "plain", "random", "header")
    assert [uses_source_ip(rule, it) for it in asked] == [True, True, False, False]
    assert not uses_source_ip(merged(None, Subset("v1")), "v1")
    assert uses_source_ip(merged(None, Subset("v1", {}, by_source)), "v1")
