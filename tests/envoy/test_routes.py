"""Virtual hosts: which there are and which Host headers they take."""

from __future__ import annotations

import pytest

from tests.envoy.build import by_name, compiled, entry, mesh


def _domains(*resources: object, route: str = "80", **workload: object) -> dict[str, list[str]]:
    program = compiled(*resources, **workload)  # type: ignore[arg-type]
    hosts = by_name(program.routes, route).get("virtual_hosts", [])
    return {it["name"]: it["domains"] for it in hosts}


def test_domains_of_a_kubernetes_name() -> None:
    """A host of the cluster's domain has its short forms; a neighbour's has the shortest."""
    resource = entry("web.shop.svc.cluster.local", "80/HTTP", namespace="shop")
    full = ["web.shop.svc.cluster.local", "web.shop.svc.cluster.local."]
    name = "web.shop.svc.cluster.local:80"
    assert _domains(resource)[name] == [*full, "web.shop", "web.shop.svc"]
    assert _domains(resource, namespace="shop")[name] == [*full, "web", "web.shop.svc", "web.shop"]


def test_short_form_never_displaces_a_full_name() -> None:
    """``web.shop`` stays with the service that is called so."""
    long = entry("web.shop.svc.cluster.local", "80/HTTP", creation_timestamp=1)
    short = entry("web.shop", "80/HTTP", creation_timestamp=2)
    found = _domains(long, short)
    assert "web.shop" not in found["web.shop.svc.cluster.local:80"]
    assert found["web.shop:80"] == ["web.shop", "web.shop."]


def test_wildcard_below_the_clusters_domain_is_not_shortened() -> None:
    """``*.svc.cluster.local`` names no namespace, so it has no short forms."""
    found = _domains(entry("*.svc.cluster.local", "80/HTTP", resolution="NONE"))
    assert found["*.svc.cluster.local:80"] == ["*.svc.cluster.local", "*.svc.cluster.local."]


@pytest.mark.parametrize(
    ("address", "domain"), [("10.0.0.1", "10.0.0.1"), ("2001:db8::1", "[2001:db8::1]")]
)
def test_address_is_a_domain(address: str, domain: str) -> None:
    """The service's address is one more domain, IPv6 in brackets."""
    found = _domains(entry("a.example.com", "80/HTTP", addresses=(address,)))
    assert found["a.example.com:80"] == ["a.example.com", "a.example.com.", domain]


def test_upper_case_host_leads_to_a_cluster_that_does_not_exist() -> None:
    """Virtual host and route are lower-cased, the cluster keeps its case: a 503, as in Istio."""
    program = compiled(entry("API.example.com", "80/HTTP"))
    host = by_name(program.routes, "80")["virtual_hosts"][0]
    assert host["name"] == "api.example.com:80"
    assert host["routes"][0]["route"]["cluster"] == "outbound|80||api.example.com"
    assert by_name(program.clusters, "outbound|80||API.example.com")["type"] == "STRICT_DNS"


def test_later_entry_of_a_host_replaces_its_routes() -> None:
    """By host and port the youngest entry counts; a TCP one leaves no virtual host."""
    http = entry("a.example.com", "80/HTTP", name="x", creation_timestamp=1)
    other = entry("b.example.com", "80/HTTP", name="z")
    tcp = entry("a.example.com", "80/TCP", name="y", creation_timestamp=2)
    assert set(_domains(http, other)) == {"a.example.com:80", "b.example.com:80", "block_all"}
    assert set(_domains(http, other, tcp)) == {"b.example.com:80", "block_all"}


def test_sniffed_service_takes_any_host() -> None:
    """On its own address a sniffed service has one virtual host, ``*``, and no catch-all."""
    resources = [
        entry("u.example.com", "9000/", addresses=("10.0.0.1",)),
        entry("v.example.com", "9000/", addresses=("10.0.0.2",)),
    ]
    for host in ("u.example.com:9000", "v.example.com:9000"):
        assert _domains(*resources, route=host) == {host: ["*"]}


@pytest.mark.parametrize(
    ("mode", "name", "action"),
    [
        ("REGISTRY_ONLY", "block_all", {"direct_response": {"status": 502}}),
        ("ALLOW_ANY", "allow_any", "PassthroughCluster"),
        ("ALLOW_ANY_DYNAMIC_DNS", "allow_any_dynamic_dns", "AllowAnyDynamicDNSCluster"),
    ],
)
def test_catch_all(mode: str, name: str, action: object) -> None:
    """The last virtual host answers undeclared hosts as the policy says."""
    program = compiled(entry("a.example.com", "80/HTTP"), mesh=mesh(mode))  # type: ignore[arg-type]
    host = by_name(program.routes, "80")["virtual_hosts"][-1]
    route = host["routes"][0]
    assert (host["name"], host["domains"], route["name"]) == (name, ["*"], name)
    if "route" in route:
        assert route["route"]["cluster"] == action
    else:
        assert {"direct_response": route["direct_response"]} == action
