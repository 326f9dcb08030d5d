"""Places: priorities, weights and the settings that go with them."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import (
    Distribute,
    Failover,
    LoadBalancer,
    LocalityLb,
    OutlierDetection,
    Subset,
    ZoneAwareLb,
)
from pytest_egress.contract.resources import Endpoint, MeshConfig, ServiceEntry, Workload
from pytest_egress.envoy.instances import topology_labels
from pytest_egress.errors import ContractError
from tests.envoy.build import compiled, entry, rule
from tests.envoy.traffic_policy.shaped import HOST

PLACES = ("r1/z1/s1", "r1/z1/s2", "r1/z2", "r2/z1", "r3")
OUTLIERS = OutlierDetection()


def at(place: str, **labels: str) -> dict[str, Any]:
    """A workload with these labels, on a node of that place."""
    return {"labels": {**labels, **dict(topology_labels(place))}}


HERE = at("r1/z1/s1")


def service(resolution: str = "STATIC", *places: str, **fields: Any) -> ServiceEntry:
    """A host with one endpoint in each place; its address tells the place by number."""
    endpoints = tuple(
        Endpoint(f"10.0.0.{index}", locality=place, labels={"place": str(index)})
        for index, place in enumerate(places or PLACES)
    )
    return entry(HOST, "80/HTTP", resolution=resolution, endpoints=endpoints, **fields)


def groups(
    lb: LoadBalancer | None,
    *,
    of: ServiceEntry | None = None,
    asking: dict[str, Any] | None = None,
    mesh: MeshConfig | None = None,
    **policy: Any,
) -> list[tuple[list[str], int, int]]:
    """Endpoints by address, priority and weight of each group of the host's endpoints."""
    shaped = rule(HOST, load_balancer=lb, **policy)
    program = compiled(of or service(), shaped, mesh=mesh, **(asking or {}))
    assignment = program.endpoints[0] if program.endpoints else program.clusters[0]
    found = assignment.get("load_assignment", assignment)["endpoints"]
    return [
        (
            [
                it["endpoint"]["address"]["socket_address"]["address"].rpartition(".")[2]
                for it in group.get("lb_endpoints", ())
            ],
            group.get("priority", 0),
            group["load_balancing_weight"],
        )
        for group in found
    ]


def priorities(lb: LoadBalancer | None = None, **fields: Any) -> list[int]:
    """The priority of each place."""
    return [priority for _, priority, _ in groups(lb, **fields)]


def local(**fields: Any) -> LoadBalancer:
    """A load balancer with that locality setting."""
    return LoadBalancer(locality=LocalityLb(**fields))


def common(lb: LoadBalancer | None, **fields: Any) -> dict[str, Any]:
    """``common_lb_config`` of the host's cluster, without the panic threshold."""
    mesh = fields.pop("mesh", None)
    program = compiled(
        fields.pop("of", service()), rule(HOST, load_balancer=lb, **fields), mesh=mesh
    )
    config = dict(program.clusters[0]["common_lb_config"])
    config.pop("healthy_panic_threshold")
    return config


@pytest.mark.parametrize(
    ("locality", "expected"),
    [
        ("r1/z1/s1", [0, 1, 2, 3, 3]),
        ("r1/z1", [1, 1, 2, 3, 3]),
        ("r1", [1, 1, 1, 2, 2]),
        ("r3", [1, 1, 1, 1, 0]),
        ("", [0, 0, 0, 0, 0]),
    ],
)
def test_failover_by_distance(locality: str, expected: list[int]) -> None:
    """Outlier detection brings failover with it: near places first, priorities without gaps."""
    found = priorities(asking=at(locality), outlier_detection=OUTLIERS)
    assert found == [it - min(expected) for it in expected]


def test_no_failover_without_outlier_detection() -> None:
    """Nothing would tell Envoy to go further."""
    assert priorities(local(failover=(Failover("r1", "r2"),)), asking=HERE) == [0] * 5
    disabled = local(enabled=False)
    assert priorities(disabled, asking=HERE, outlier_detection=OUTLIERS) == [0] * 5


def test_failover_to_a_region() -> None:
    """The region that is named comes before the others, which count as further away."""
    lb = local(failover=(Failover("r9", "r3"), Failover("r1", "r2")))
    assert priorities(lb, asking=HERE, outlier_detection=OUTLIERS) == [0, 1, 2, 3, 4]
    assert common(lb, outlier_detection=OUTLIERS) == {"locality_weighted_lb_config": {}}
    assert common(lb) == {}
    assert common(None, outlier_detection=OUTLIERS) == {}


def test_failover_priority() -> None:
    """The labels in order; a place is split where its endpoints differ in them."""
    one_place = service("STATIC", "r1/z1", "r1/z1", "r2/z1")
    lb = local(failover_priority=("place=1", "region"))
    asking = {"labels": {"region": ""}}
    found = groups(lb, of=one_place, asking=asking, outlier_detection=OUTLIERS)
    assert found == [(["1"], 0, 1), (["0"], 1, 1), (["2"], 1, 1)]
    labelled = local(failover_priority=("place",))
    for place, expected in (("0", [0, 1, 1]), ("2", [1, 1, 0])):
        asking = {"labels": {"place": place}}
        found = groups(labelled, of=one_place, asking=asking, outlier_detection=OUTLIERS)
        by_address = {address: it for addresses, it, _ in found for address in addresses}
        assert [by_address[it] for it in "012"] == expected
    unlabelled = groups(labelled, of=one_place, outlier_detection=OUTLIERS)
    assert unlabelled == [(["0", "1"], 0, 2), (["2"], 0, 1)]


def test_failover_priority_by_network() -> None:
    """Another network is further away than anything on the workload's own."""
    endpoints = (
        Endpoint("10.0.0.0", network="n2", labels={"v": "1"}),
        Endpoint("10.0.0.1", network="n1", labels={"v": "2"}),
        Endpoint("10.0.0.2", network="n1", labels={"v": "1"}),
    )
    host = entry(HOST, "80/HTTP", resolution="STATIC", endpoints=endpoints)
    network = "topology.istio.io/network"
    asking = {"labels": {network: "n1", "v": "1"}}
    lb = local(failover_priority=(network, "v"))
    found = groups(lb, of=host, asking=asking, outlier_detection=OUTLIERS)
    assert [(addresses, it) for addresses, it, _ in found] == [(["2"], 0), (["1"], 1), (["0"], 2)]


def test_failover_priority_then_region() -> None:
    """With a failover beside it the distance decides among what labels left equal."""
    lb = local(failover_priority=("place=4",), failover=(Failover("r1", "r2"),))
    asking = at("r1/z1/s1", app="web")
    assert priorities(lb, asking=asking, outlier_detection=OUTLIERS) == [1, 2, 3, 4, 0]


def test_failover_priority_of_dns_endpoints() -> None:
    """In one place as usual, in several istiod crashes; a subset's are left as they are."""
    lb = local(failover_priority=("place",))
    asking: dict[str, Any] = {"labels": {"place": "1"}}
    one = service("DNS", "r1", "r1")
    found = groups(lb, of=one, asking=asking, outlier_detection=OUTLIERS)
    assert found == [(["1"], 0, 1), (["0"], 1, 1)]
    two = service("DNS", "r1", "r2")
    shaped = rule(HOST, load_balancer=lb, outlier_detection=OUTLIERS, subsets=[Subset("all")])
    with pytest.raises(ContractError, match="several localities"):
        compiled(two, shaped, **asking)
    clusters = compiled(one, shaped, **asking).clusters
    (group,) = clusters[1]["load_assignment"]["endpoints"]
    assert "priority" not in group


@pytest.mark.parametrize(
    ("source", "to", "expected"),
    [
        ("r1/*", {"r1/*": 70, "r2/*": 30}, [(True, 24)] * 3 + [(True, 30), (False, 1)]),
        ("*", {"r1/z1/*": 50, "*": 50}, [(True, 25)] * 2 + [(True, 17)] * 3),
        ("r2/*", {"r1/*": 100}, [(True, 1)] * 5),
        ("r1/z1/s1", {"r3": 100}, [(False, 1)] * 4 + [(True, 100)]),
    ],
)
def test_distribute(source: str, to: dict[str, int], expected: list[tuple[bool, int]]) -> None:
    """A target's weight is shared by its places; places without share have no endpoints."""
    lb = local(distribute=(Distribute(source, to),))
    found = groups(lb, asking=HERE)
    assert [(bool(addresses), weight) for addresses, _, weight in found] == expected
    assert common(lb) == {"locality_weighted_lb_config": {}}


def test_mesh_setting() -> None:
    """The mesh's setting counts for rules that have none of their own."""
    mesh = MeshConfig(locality_lb=LocalityLb(distribute=(Distribute("*", {"r1/*": 100}),)))
    emptied = [not addresses for addresses, _, _ in groups(None, mesh=mesh, asking=HERE)]
    assert emptied == [False, False, False, True, True]
    assert all(addresses for addresses, _, _ in groups(local(), mesh=mesh, asking=HERE))
    plain = compiled(service(), mesh=mesh, **HERE)
    assert "lb_endpoints" not in plain.endpoints[0]["endpoints"][4]
    assert plain.clusters[0]["common_lb_config"]["locality_weighted_lb_config"] == {}
    off = MeshConfig(locality_lb=LocalityLb(enabled=False))
    assert priorities(None, mesh=off, asking=HERE, outlier_detection=OUTLIERS) == [0] * 5


@pytest.mark.parametrize(
    ("setting", "config", "expected"),
    [
        (ZoneAwareLb(), {}, [0, 0, 0, 1, 1]),
        (ZoneAwareLb(failover=(Failover("r1", "r3"),)), {}, [0, 0, 0, 2, 1]),
        (ZoneAwareLb(min_cluster_size=6), {"min_cluster_size": "6"}, [0, 0, 0, 1, 1]),
        (ZoneAwareLb(enabled=False), {"routing_enabled": {}}, [0] * 5),
        (ZoneAwareLb(failover_priority=("place=4",)), {}, [1, 1, 1, 2, 0]),
    ],
)
def test_zone_aware(setting: ZoneAwareLb, config: dict[str, Any], expected: list[int]) -> None:
    """Envoy balances zones itself; other regions are kept for failover."""
    lb = LoadBalancer(zone_aware=setting)
    asking = at("r1/z1/s1", app="web")
    assert priorities(lb, asking=asking) == expected
    assert common(lb) == {"zone_aware_lb_config": config}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [("PreferClose", [0, 0, 1, 2, 2]), ("PreferSameNode", [0, 1, 2, 3, 3]), ("other", [0] * 5)],
)
def test_traffic_distribution(annotation: str, expected: list[int]) -> None:
    """The entry's own wish needs no outlier detection; the workload's place is among its labels."""
    wish = {"networking.istio.io/traffic-distribution": annotation}
    program = compiled(service(annotations=wish), **HERE)
    found = [it.get("priority", 0) for it in program.endpoints[0]["endpoints"]]
    assert found == expected
    config = program.clusters[0]["common_lb_config"]
    assert ("locality_weighted_lb_config" in config) is (annotation != "other")


def test_dns_cluster_fails_over() -> None:
    """The same for endpoints that are in the cluster itself."""
    found = priorities(of=service("DNS"), asking=HERE, outlier_detection=OUTLIERS)
    assert found == [0, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("labels", "locality"),
    [
        ({}, ""),
        ({"topology.kubernetes.io/region": "r1"}, "r1"),
        ({"topology.kubernetes.io/zone": "z1"}, "/z1"),
        ({"topology.kubernetes.io/region": "r1", "topology.istio.io/subzone": "s1"}, "r1//s1"),
        ({"istio-locality": "r1/z1"}, "r1/z1"),
        ({"istio-locality": "r1", "topology.istio.io/locality": "r2"}, "r2"),
        ({"istio-locality": "r1", "topology.kubernetes.io/region": "r2"}, "r2"),
    ],
)
def test_place_of_the_workload(labels: dict[str, str], locality: str) -> None:
    """Its labels say it: those of nodes, else the one that says all."""
    assert Workload(labels=labels).locality == locality
