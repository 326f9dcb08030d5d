"""What ``tls`` and ``tcp`` rules become: filter chains of one service port."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.resources import Resource
from tests.envoy.build import by_name, chains, compiled, entry, virtual_service

_TLS = entry("*.example.com", "443/TLS", resolution="NONE")
_TCP = entry("db.example.com", "5432/TCP", resolution="NONE")


def chosen(*resources: Resource, listener: str = "0.0.0.0_443", **workload: Any) -> Any:
    """Match and cluster of each chain, without the catch-all's."""
    found = chains(compiled(*resources, **workload), listener)
    return [(match, cluster) for match, cluster in found if cluster != "BlackHoleCluster"]


def tls(*rules: str) -> Resource:
    """A VirtualService of ``*.example.com``."""
    return virtual_service(f"{{hosts: ['*.example.com'], tls: [{', '.join(rules)}]}}")


def rule(match: str, to: str = "b.example.com") -> str:
    """A rule with one destination."""
    return f"{{match: [{match}], route: [{{destination: {{host: {to}}}}}]}}"


def test_tls_rule_takes_the_place_of_the_services_own_chain() -> None:
    """One chain per match, its server names sorted; the service has none left."""
    found = chosen(_TLS, tls(rule("{sniHosts: [y.example.com, x.example.com]}")))
    names = ["x.example.com", "y.example.com"]
    assert found == [({"server_names": names}, "outbound|443||b.example.com")]


@pytest.mark.parametrize(
    ("match", "met"),
    [
        ("port: 443", True),
        ("port: 8443", False),
        ("gateways: [egress]", False),
        ("sourceLabels: {app: web}", True),
        ("sourceLabels: {app: batch}", False),
        ("gateways: [mesh], sourceLabels: {app: batch}", False),
        ("sourceNamespace: shop", True),
        ("sourceNamespace: other", False),
    ],
)
def test_what_is_known_beforehand(match: str, met: bool) -> None:
    """Other than for HTTP, all of port, gateways and source must agree."""
    service = tls(rule(f"{{sniHosts: [x.example.com], {match}}}"))
    found = chosen(_TLS, service, namespace="shop", labels={"app": "web"})
    if met:
        assert found == [({"server_names": ["x.example.com"]}, "outbound|443||b.example.com")]
    else:
        assert found == [({"server_names": ["*.example.com"]}, "outbound|443||*.example.com")]


def test_first_of_equal_matches_counts() -> None:
    """The same names and subnets again are never reached."""
    one, two = "{sniHosts: [x.example.com]}", "{sniHosts: [x.example.com], port: 443}"
    found = chosen(_TLS, tls(rule(one, "b.example.com"), rule(two, "c.example.com")))
    assert [cluster for _, cluster in found] == ["outbound|443||b.example.com"]


def test_subnets_are_carried_over() -> None:
    """Subnets of one match hold for later ones that name none, as istiod does."""
    found = chosen(
        _TLS,
        tls(
            rule("{sniHosts: [x.example.com], destinationSubnets: [10.2.0.0/16, 10.1.0.1]}"),
            rule("{sniHosts: [y.example.com]}", "c.example.com"),
        ),
    )
    ranges = [
        {"address_prefix": "10.1.0.1", "prefix_len": 32},
        {"address_prefix": "10.2.0.0", "prefix_len": 16},
    ]
    assert [match["prefix_ranges"] for match, _ in found] == [ranges, ranges]


def test_tls_destination_port() -> None:
    """The named one, else the only one of the destination, else the listener's."""
    resources = [_TLS, entry("b.example.com", "8443/TLS"), entry("c.example.com", "1/TLS 2/TLS")]
    match = "{sniHosts: [x.example.com]}"
    for to, cluster in (
        ("b.example.com", "outbound|8443||b.example.com"),
        ("b.example.com, port: {number: 9}", "outbound|9||b.example.com"),
        ("b.example.com, subset: v1", "outbound|8443|v1|b.example.com"),
        ("c.example.com", "outbound|443||c.example.com"),
        ("d.example.com", "outbound|443||d.example.com"),
    ):
        assert chosen(*resources, tls(rule(match, to)))[0][1] == cluster


def tcp(rules: str) -> Resource:
    """A VirtualService of db.example.com."""
    return virtual_service(f"{{hosts: [db.example.com], tcp: {rules}}}")


def test_tcp_rule_without_subnets_takes_all() -> None:
    """The first such rule ends the list."""
    to = "route: [{destination: {host: b.example.com}}]"
    for rules in (f"[{{{to}}}]", f"[{{match: [{{port: 5432}}], {to}}}, {{{to}}}]"):
        found = chosen(_TCP, tcp(rules), listener="0.0.0.0_5432")
        assert found == [({}, "outbound|5432||b.example.com")]
    elsewhere = chosen(_TCP, tcp(f"[{{match: [{{port: 1}}], {to}}}]"), listener="0.0.0.0_5432")
    assert elsewhere == [({}, "outbound|5432||db.example.com")]


def test_tcp_rule_with_subnets_leaves_the_rest_to_the_service() -> None:
    """The subnets of all its matches make one chain."""
    rules = """[{match: [{destinationSubnets: [10.2.0.0/16]}, {destinationSubnets: [10.1.0.0/16]}],
        route: [{destination: {host: b.example.com}}]}]"""
    found = chosen(_TCP, tcp(rules), listener="0.0.0.0_5432")
    ranges = [
        {"address_prefix": "10.1.0.0", "prefix_len": 16},
        {"address_prefix": "10.2.0.0", "prefix_len": 16},
    ]
    assert found == [
        ({"prefix_ranges": ranges}, "outbound|5432||b.example.com"),
        ({}, "outbound|5432||db.example.com"),
    ]


def test_tcp_rule_with_the_services_own_range_takes_all() -> None:
    """Two chains of one match would be refused by Envoy."""
    service = entry("db.example.com", "5432/TCP", resolution="NONE", addresses=("10.1.0.0/16",))
    rules = """[{match: [{destinationSubnets: [10.1.0.0/16]}],
        route: [{destination: {host: b.example.com}}]}]"""
    found = chosen(service, tcp(rules), listener="0.0.0.0_5432")
    assert [cluster for _, cluster in found] == ["outbound|5432||b.example.com"]


def test_weighted_clusters() -> None:
    """Several destinations: the statistics are named by the VirtualService."""
    rules = """[{route: [{destination: {host: b.example.com}, weight: 80},
        {destination: {host: c.example.com}, weight: 20},
        {destination: {host: d.example.com}, weight: 0}]}]"""
    program = compiled(entry("db.example.com", "27017/MONGO", resolution="NONE"), tcp(rules))
    mongo, proxy = by_name(program.listeners, "0.0.0.0_27017")["filter_chains"][0]["filters"]
    assert mongo["typed_config"]["stat_prefix"] == "routes.default"
    assert proxy["typed_config"]["stat_prefix"] == "routes.default"
    assert proxy["typed_config"]["weighted_clusters"]["clusters"] == [
        {"name": "outbound|27017||b.example.com", "weight": 80},
        {"name": "outbound|27017||c.example.com", "weight": 20},
    ]


def test_sniffed_port() -> None:
    """Bytes that are no HTTP follow ``tcp`` rules."""
    service = entry("db.example.com", "9000/", addresses=("10.0.0.1",))
    found = chosen(
        service, tcp("[{route: [{destination: {host: b.example.com}}]}]"), listener="10.0.0.1_9000"
    )
    assert [cluster for _, cluster in found] == [
        "db.example.com:9000",
        "outbound|9000||b.example.com",
    ]


def test_rules_are_known_by_the_place_of_their_chain() -> None:
    """What is told of a connection names the rule that made its chain."""
    program = compiled(_TLS, tls(rule("{sniHosts: [x.example.com]}")))
    assert {key: str(it) for key, it in program.chain_rules.items()} == {
        ("0.0.0.0_443", 0): "default/routes tls[0]"
    }
    found = program.rule("default/routes tls[0]")
    assert found is not None
    assert str(found.position).startswith("routes.yaml:")
    rules = "[{route: [{destination: {host: b.example.com}}]}]"
    alone = compiled(_TCP, tcp(rules))
    assert list(alone.chain_rules) == [("0.0.0.0_5432", 0)]
    other = entry("e.example.com", "5432/TCP", resolution="NONE", addresses=("10.3.0.0/16",))
    beside = compiled(_TCP, tcp(rules), other)
    assert list(beside.chain_rules) == [("0.0.0.0_5432", -1)]
    assert program.rule("default/routes tls[7]") is None


def test_equal_matches_of_one_service() -> None:
    """On a listener of their own both stay, as in istiod; a shared one takes the first."""
    service = tls(
        rule("{sniHosts: [x.example.com, y.example.com]}"),
        rule("{sniHosts: [y.example.com, x.example.com]}", "c.example.com"),
    )
    both = ["outbound|443||b.example.com", "outbound|443||c.example.com"]
    assert [cluster for _, cluster in chosen(_TLS, service)] == both
    older = entry("z.test", "443/TLS", creation_timestamp=0)
    shared = [cluster for _, cluster in chosen(older, _TLS, service)]
    assert shared == ["outbound|443||z.test", both[0]]
