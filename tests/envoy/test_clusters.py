"""Clusters and endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import LoadBalancer, Subset, TrafficPolicy
from pytest_egress.contract.resources import Endpoint, MeshConfig, Metadata, WorkloadEntry
from tests.envoy.build import by_name, compiled, entry, mesh, names, rule, socket

_RACE = {"istio.io/connect-strategy": "race_first_tcp_connect"}


@pytest.mark.parametrize(
    ("resolution", "annotations", "kind"),
    [
        ("NONE", {}, "ORIGINAL_DST"),
        ("STATIC", {}, "EDS"),
        ("DNS", {}, "STRICT_DNS"),
        ("DNS", _RACE, "LOGICAL_DNS"),
        ("DNS_ROUND_ROBIN", {}, "LOGICAL_DNS"),
    ],
)
def test_type_follows_resolution(resolution: str, annotations: dict[str, str], kind: str) -> None:
    """Each resolution has its cluster type; the connect strategy changes that of DNS."""
    program = compiled(
        entry("a.example.com", "80/HTTP", resolution=resolution, annotations=annotations)
    )
    cluster = by_name(program.clusters, "outbound|80||a.example.com")
    assert cluster["type"] == kind
    assert cluster.get("dns_lookup_family") == (
        None if "DNS" not in kind else "ALL" if annotations else "V4_ONLY"
    )


def test_target_port() -> None:
    """It is the port dialled: of the endpoint, or for NONE an override of the original one."""
    dns = compiled(entry("a.example.com", "80/HTTP:8080"))
    assert socket(dns.clusters[0]) == [("a.example.com", 8080)]
    none = compiled(entry("a.example.com", "80/HTTP:8080", resolution="NONE"))
    assert none.clusters[0]["original_dst_lb_config"] == {"upstream_port_override": 8080}


def test_endpoint_port_order() -> None:
    """Port to dial: the endpoint's by port name, then targetPort, then the service port."""
    endpoints = (Endpoint("10.0.0.1", ports={"p80": 9999}), Endpoint("10.0.0.2"))
    for ports, second in (("80/HTTP:8080", 8080), ("80/HTTP", 80)):
        program = compiled(entry("a.example.com", ports, resolution="STATIC", endpoints=endpoints))
        assert socket(program.endpoints[0]) == [("10.0.0.1", 9999), ("10.0.0.2", second)]


def test_endpoints_belong_to_the_host_not_to_the_entry() -> None:
    """Entries of one host and namespace share endpoints; EDS picks by port name."""
    first = entry(
        "a.example.com", "80/HTTP", name="x", resolution="STATIC", endpoints=(Endpoint("10.0.0.1"),)
    )
    second = entry(
        "a.example.com",
        "80/HTTP",
        name="y",
        resolution="STATIC",
        endpoints=(Endpoint("10.0.0.2"), Endpoint("up.example.net")),
    )
    program = compiled(first, second)
    assert socket(program.endpoints[0]) == [("10.0.0.1", 80), ("10.0.0.2", 80)]
    assert program.origins["outbound|80||a.example.com"] == (first, second)


def test_round_robin_keeps_the_first_endpoint_of_a_port() -> None:
    """Two DNS_ROUND_ROBIN entries of one host: the older one's endpoint counts."""
    young, old = (
        entry(
            "a.example.com",
            "80/HTTP",
            name=name,
            resolution="DNS_ROUND_ROBIN",
            endpoints=(Endpoint(f"{name}.example.net"),),
            creation_timestamp=age,
        )
        for name, age in (("young", 2), ("old", 1))
    )
    assert socket(compiled(young, old).clusters[0]) == [("old.example.net", 80)]


def test_localities_and_weights() -> None:
    """Endpoints are grouped by locality, which weighs as much as its members."""
    endpoints = (
        Endpoint("10.0.0.1", locality="us/z1/s", weight=3),
        Endpoint("10.0.0.2"),
        Endpoint("10.0.0.3", labels={"topology.istio.io/locality": "us.z1.s"}),
    )
    program = compiled(entry("a.example.com", "80/HTTP", resolution="STATIC", endpoints=endpoints))
    found = [
        (it["locality"], it["load_balancing_weight"]) for it in program.endpoints[0]["endpoints"]
    ]
    assert found == [({}, 1), ({"region": "us", "zone": "z1", "sub_zone": "s"}, 4)]


def test_selected_workload_entries() -> None:
    """WorkloadEntries by label: metadata labels first, names for DNS only, unhealthy left out."""

    def workload(name: str, address: str, **metadata: Any) -> WorkloadEntry:
        endpoint = Endpoint(address, labels={"app": "db"})
        return WorkloadEntry(Metadata(name, **metadata), locate=static.locate, endpoint=endpoint)

    static = entry("a.example.com", "80/HTTP", resolution="STATIC", workload_selector={"app": "db"})
    pods = [
        workload("b", "10.0.0.2"),
        workload("a", "10.0.0.1"),
        workload("c", "up.example.net"),
        workload("d", "10.0.0.4", labels={"app": "web"}),
        workload("e", "10.0.0.5", annotations={"proxy.istio.io/health-checks-enabled": "true"}),
    ]
    assert socket(compiled(static, *pods).endpoints[0]) == [("10.0.0.1", 80), ("10.0.0.2", 80)]
    dns = entry("a.example.com", "80/HTTP", workload_selector={"app": "db"})
    assert [it[0] for it in socket(compiled(dns, *pods).clusters[0])] == [
        "10.0.0.1",
        "10.0.0.2",
        "up.example.net",
    ]
    assert names(compiled(dns).clusters) == []


def test_dynamic_dns_serves_four_protocols() -> None:
    """A DYNAMIC_DNS wildcard has clusters for HTTP, HTTP2, GRPC and TLS, and no others."""
    ports = "80/HTTP 81/HTTP2 82/GRPC 443/TLS 83/GRPC-Web"
    program = compiled(entry("*.example.com", ports, resolution="DYNAMIC_DNS"))
    assert [it.split("|")[1] for it in names(program.clusters)] == ["80", "81", "82", "443"]
    assert program.clusters[0]["lb_policy"] == "CLUSTER_PROVIDED"


def test_mutual_tls_is_for_mesh_internal_only() -> None:
    """MESH_INTERNAL endpoints with an identity are dialled with Istio's TLS, external never."""
    endpoints = (Endpoint("10.0.0.1", service_account="db"), Endpoint("10.0.0.2"))

    def built(location: str, resolution: str) -> dict[str, object]:
        fields = {"location": location, "resolution": resolution, "subject_alt_names": ("san",)}
        selected = entry("a.example.com", "80/HTTP", endpoints=endpoints, **fields)
        return compiled(selected).clusters[0]

    matches = built("MESH_INTERNAL", "STATIC")["transport_socket_matches"]
    assert isinstance(matches, list)
    assert [it["name"] for it in matches] == ["tlsMode-istio", "tlsMode-disabled"]
    context = matches[0]["transport_socket"]["typed_config"]["common_tls_context"]
    assert context["combined_validation_context"]["default_validation_context"] == {
        "match_subject_alt_names": [
            {"exact": "san"},
            {"exact": "spiffe://cluster.local/ns/default/sa/db"},
        ]
    }
    assert "transport_socket_matches" not in built("MESH_EXTERNAL", "STATIC")


@pytest.mark.parametrize(("accounts", "tls"), [(("db", "db"), True), (("db", ""), False)])
def test_original_destination_takes_mutual_tls_for_all_or_none(
    accounts: tuple[str, ...], *, tls: bool
) -> None:
    """With resolution NONE Envoy knows no endpoints, so one in plain text rules TLS out."""
    selected = entry(
        "a.example.com",
        "80/HTTP",
        resolution="NONE",
        location="MESH_INTERNAL",
        workload_selector={"topology.kubernetes.io/region": "eu"},
    )
    pods = [
        WorkloadEntry(
            Metadata(f"pod-{number}"),
            locate=selected.locate,
            endpoint=Endpoint(
                f"10.0.0.{number}", locality="eu/z1", network="n1", service_account=it
            ),
        )
        for number, it in enumerate(accounts)
    ]
    assert ("transport_socket" in compiled(selected, *pods).clusters[0]) is tls


def test_dns_capture_uses_allocated_addresses() -> None:
    """With DNS capture the allocated IPv4 address is listened on, unless the entry opted out."""
    fields = {
        "status_addresses": (("a.example.com", "240.240.0.5"), ("a.example.com", "2001:2::5"))
    }
    resource = entry("a.example.com", "5432/TCP", **fields)
    assert names(compiled(resource).listeners) == ["0.0.0.0_5432"]
    assert names(compiled(resource, dns_capture=True).listeners) == ["240.240.0.5_5432"]
    out = {"networking.istio.io/enable-autoallocate-ip": "False"}
    opted_out = entry("a.example.com", "5432/TCP", labels=out, **fields)
    assert names(compiled(opted_out, dns_capture=True).listeners) == ["0.0.0.0_5432"]


def test_allow_any_dynamic_dns_cluster() -> None:
    """That mode has a cluster of its own; with DNS capture it asks the agent's resolver."""
    for capture in (False, True):
        program = compiled(mesh=mesh("ALLOW_ANY_DYNAMIC_DNS"), dns_capture=capture)
        cluster = by_name(program.clusters, "AllowAnyDynamicDNSCluster")
        cache = cluster["cluster_type"]["typed_config"]["dns_cache_config"]
        assert ("typed_dns_resolver_config" in cache) is capture


def test_subsets() -> None:
    """Each port has a cluster per subset with the endpoints that carry its labels."""
    endpoints = (
        Endpoint("10.0.0.1", labels={"version": "v1", "tier": "a"}),
        Endpoint("10.0.0.2", labels={"version": "v2"}, locality="r1/z1", network="n1"),
    )
    place = {"topology.kubernetes.io/zone": "z1", "topology.istio.io/network": "n1"}
    program = compiled(
        entry("a.example.com", "80/HTTP 443/TLS", resolution="STATIC", endpoints=endpoints),
        rule("a.example.com", subsets=["v1", "v3", Subset("all"), Subset("place", place)]),
    )
    subsets = ("", "v1", "v3", "all", "place")
    expected = [f"outbound|{port}|{it}|a.example.com" for port in (80, 443) for it in subsets]
    assert names(program.clusters) == expected
    found = {it["cluster_name"]: [address for address, _ in socket(it)] for it in program.endpoints}
    assert [found[name] for name in expected[:5]] == [
        ["10.0.0.1", "10.0.0.2"],
        ["10.0.0.1"],
        [],
        ["10.0.0.1", "10.0.0.2"],
        ["10.0.0.2"],
    ]


def test_dns_subset_without_endpoints_is_left_out() -> None:
    """The host's own name carries no labels: only a subset without labels has a cluster."""
    program = compiled(
        entry("a.example.com", "80/HTTP"), rule("a.example.com", subsets=["v1", Subset("all")])
    )
    assert names(program.clusters) == [
        "outbound|80||a.example.com",
        "outbound|80|all|a.example.com",
    ]
    assert socket(program.clusters[1]) == [("a.example.com", 80)]


def test_subset_policy() -> None:
    """A subset's cluster has its own policy over that of the rule."""
    one, two = (TrafficPolicy(load_balancer=LoadBalancer(it)) for it in ("RANDOM", "LEAST_CONN"))
    program = compiled(
        entry("a.example.com", "80/HTTP"),
        rule("a.example.com", traffic_policy=one, subsets=[Subset("a"), Subset("b", {}, two)]),
    )
    policies = [it["lb_policy"] for it in program.clusters[:3]]
    assert policies == ["RANDOM", "RANDOM", "LEAST_REQUEST"]


def test_dynamic_host_has_no_subsets() -> None:
    """There are no endpoints to choose from."""
    service = entry("*.example.com", "80/HTTP", resolution="DYNAMIC_DNS")
    program = compiled(service, rule("*.example.com", subsets=[Subset("all")]))
    assert names(program.clusters) == ["outbound|80||*.example.com"]


def test_mesh_times() -> None:
    """Connect timeout and DNS refresh rate are the mesh's."""
    config = MeshConfig(connect_timeout=1_500_000_000, dns_refresh_rate=5_000_000_000)
    program = compiled(entry("a.example.com", "80/HTTP"), mesh=config)
    assert program.clusters[0]["dns_refresh_rate"] == "5s"
    assert {it["connect_timeout"] for it in program.clusters} == {"1.500s"}
