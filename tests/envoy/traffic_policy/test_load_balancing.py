"""``loadBalancer``: algorithms, hashing, warm-up, PASSTHROUGH."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import (
    ConsistentHash,
    LoadBalancer,
    Subset,
    TrafficPolicy,
    Warmup,
)
from pytest_egress.contract.resources import Endpoint
from tests.envoy.build import by_name, compiled, entry, names, rule
from tests.envoy.traffic_policy.shaped import HOST, shaped

SECOND = 1_000_000_000


def balance(**fields: Any) -> dict[str, Any]:
    """What the cluster says of its load balancing."""
    cluster = shaped(load_balancer=LoadBalancer(**fields))
    wanted = (
        "lb_policy",
        "ring_hash_lb_config",
        "maglev_lb_config",
        "round_robin_lb_config",
        "least_request_lb_config",
    )
    return {key: cluster[key] for key in wanted if key in cluster}


@pytest.mark.parametrize(
    ("simple", "expected"),
    [
        (None, {"lb_policy": "LEAST_REQUEST"}),
        ("UNSPECIFIED", {"lb_policy": "LEAST_REQUEST"}),
        ("LEAST_CONN", {"lb_policy": "LEAST_REQUEST"}),
        ("LEAST_REQUEST", {"lb_policy": "LEAST_REQUEST"}),
        ("RANDOM", {"lb_policy": "RANDOM"}),
        ("ROUND_ROBIN", {}),
    ],
)
def test_simple(simple: Any, expected: dict[str, Any]) -> None:
    """Istio's names in Envoy's; ROUND_ROBIN is Envoy's default."""
    assert balance(simple=simple) == expected


RING_OF_512 = {"ring_hash_lb_config": {"minimum_ring_size": "512"}}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ({}, {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": "1024"}}),
        ({"minimum_ring_size": 512}, {"lb_policy": "RING_HASH", **RING_OF_512}),
        ({"ring_size": 512}, {"lb_policy": "RING_HASH", **RING_OF_512}),
        ({"ring_size": 512, "minimum_ring_size": 7}, {"lb_policy": "RING_HASH", **RING_OF_512}),
        ({"ring_size": 0}, {"lb_policy": "RING_HASH"}),
        ({"table_size": 101}, {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": "101"}}),
    ],
)
def test_consistent_hash(key: dict[str, Any], expected: dict[str, Any]) -> None:
    """A ring or a table, of the size that is told."""
    assert balance(consistent_hash=ConsistentHash("x-user", **key)) == expected


WINDOW = {"slow_start_window": "1s"}
LINEAR = {
    **WINDOW,
    "aggression": {"runtime_key": "(", "default_value": 1.0},
    "min_weight_percent": {"value": 10.0},
}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"warmup": Warmup(SECOND)}, {"least_request_lb_config": {"slow_start_config": LINEAR}}),
        (
            {"simple": "ROUND_ROBIN", "warmup": Warmup(SECOND, 0, 2.5)},
            {
                "round_robin_lb_config": {
                    "slow_start_config": {
                        **WINDOW,
                        "aggression": {"runtime_key": "(", "default_value": 2.5},
                        "min_weight_percent": {},
                    }
                }
            },
        ),
        (
            {"simple": "ROUND_ROBIN", "warmup_duration": SECOND},
            {"round_robin_lb_config": {"slow_start_config": WINDOW}},
        ),
        ({"simple": "RANDOM", "warmup": Warmup(SECOND)}, {}),
        (
            {"consistent_hash": ConsistentHash("x", ring_size=0), "warmup": Warmup(SECOND)},
            {"least_request_lb_config": {"slow_start_config": LINEAR}},
        ),
        (
            {"consistent_hash": ConsistentHash("x", ring_size=512), "warmup": Warmup(SECOND)},
            RING_OF_512,
        ),
    ],
)
def test_warmup(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """New endpoints are warmed up by the two algorithms that can; a ring's size displaces it."""
    found = balance(**fields)
    found.pop("lb_policy", None)
    assert found == expected


def test_passthrough() -> None:
    """The cluster dials the original destination; endpoints and algorithm are gone."""
    passthrough = LoadBalancer(simple="PASSTHROUGH")
    dns = shaped(load_balancer=passthrough)
    assert (dns["type"], dns["lb_policy"]) == ("ORIGINAL_DST", "CLUSTER_PROVIDED")
    assert "load_assignment" not in dns
    service = entry(HOST, "80/HTTP", resolution="STATIC", endpoints=(Endpoint("10.0.0.1"),))
    program = compiled(service, rule(HOST, load_balancer=passthrough))
    assert program.clusters[0]["type"] == "ORIGINAL_DST"
    assert program.endpoints == ()


def test_passthrough_of_a_subset() -> None:
    """The subset's cluster alone; a subset of a service that passes through does so as well."""
    passthrough = TrafficPolicy(load_balancer=LoadBalancer(simple="PASSTHROUGH"))
    own = compiled(entry(HOST, "80/HTTP"), rule(HOST, subsets=[Subset("v1", {}, passthrough)]))
    assert by_name(own.clusters, f"outbound|80||{HOST}")["type"] == "STRICT_DNS"
    subset = by_name(own.clusters, f"outbound|80|v1|{HOST}")
    assert (subset["type"], subset["lb_policy"]) == ("ORIGINAL_DST", "CLUSTER_PROVIDED")
    assert "dns_refresh_rate" not in subset
    random = TrafficPolicy(load_balancer=LoadBalancer(simple="RANDOM"))
    inherited = compiled(
        entry(HOST, "80/HTTP"),
        rule(HOST, traffic_policy=passthrough, subsets=[Subset("v1", {}, random)]),
    )
    assert names(inherited.clusters) == [f"outbound|80||{HOST}", f"outbound|80|v1|{HOST}"]
    assert inherited.clusters[1]["lb_policy"] == "CLUSTER_PROVIDED"
