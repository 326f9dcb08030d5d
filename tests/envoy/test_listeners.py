"""Where services listen and what their chains match."""

from __future__ import annotations

import pytest

from pytest_egress.contract.resources import Endpoint, Metadata, WorkloadEntry
from tests.envoy.build import by_name, chains, compiled, entry, mesh, names, sidecar


@pytest.mark.parametrize(
    ("address", "listener", "match"),
    [
        ("10.0.0.1", "10.0.0.1_443", {}),
        ("10.0.0.1/32", "10.0.0.1_443", {}),
        ("2001:db8::1", "2001:db8::1_443", {}),
        (
            "10.0.0.0/8",
            "0.0.0.0_443",
            {
                "server_names": ["a.example.com"],
                "prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}],
            },
        ),
    ],
)
def test_tls_with_address_matches_names_only_on_ranges(
    address: str, listener: str, match: dict[str, object]
) -> None:
    """An address of its own means no server name check; a range keeps it."""
    program = compiled(entry("a.example.com", "443/TLS", resolution="NONE", addresses=(address,)))
    assert chains(program, listener)[0] == (match, "outbound|443||a.example.com")


def test_range_of_everything_matches_without_prefix() -> None:
    """``0.0.0.0/0`` gives a chain with an empty match, not the default chain."""
    program = compiled(
        entry("a.example.com", "9000/TCP", resolution="NONE", addresses=("0.0.0.0/0",))
    )
    listener = by_name(program.listeners, "0.0.0.0_9000")
    assert [it["filter_chain_match"] for it in listener["filter_chains"]] == [{}]
    assert listener["default_filter_chain"]["name"] == "PassthroughFilterChain"


def test_addresses_each_get_a_listener() -> None:
    """A TCP service listens on each of its addresses; a repeated one counts once."""
    addresses = ("10.0.0.2", "10.0.0.1", "10.0.0.2/32", "10.0.0.0/255.0.0.0")
    program = compiled(entry("a.example.com", "5432/TCP", addresses=addresses))
    assert names(program.listeners) == ["10.0.0.2_5432", "10.0.0.1_5432"]


def test_http_ignores_addresses() -> None:
    """HTTP is told apart by Host, so it always listens on the wildcard."""
    program = compiled(entry("a.example.com", "80/HTTP", addresses=("10.0.0.1",)))
    assert names(program.listeners) == ["0.0.0.0_80"]


def test_udp_gets_nothing() -> None:
    """A UDP port has neither listener nor cluster."""
    program = compiled(entry("a.example.com", "53/UDP"))
    assert names(program.listeners) == []
    assert names(program.clusters) == []


@pytest.mark.parametrize("protocol", ["http", "HTTP", "Http"])
def test_protocol_case_does_not_matter(protocol: str) -> None:
    """``http`` is HTTP; an unknown word would have been detected instead."""
    program = compiled(entry("a.example.com", f"80/{protocol}"))
    assert chains(program, "0.0.0.0_80")[0][1] == "80"
    assert len(by_name(program.listeners, "0.0.0.0_80")["filter_chains"]) == 1


@pytest.mark.parametrize("number", [15001, 15006, 15021, 15090])
def test_proxys_own_ports_are_refused_to_http_only(number: int) -> None:
    """HTTP on a reserved port is skipped; TCP without address gets through, as in istiod."""
    assert names(compiled(entry("a.example.com", f"{number}/HTTP")).listeners) == []
    assert names(compiled(entry("a.example.com", f"{number}/TCP")).listeners) == [
        f"0.0.0.0_{number}"
    ]
    bound = compiled(entry("a.example.com", f"{number}/TCP"), sidecar(f"{number}/TCP@0.0.0.0 */*"))
    assert names(bound.listeners) == []


def test_sniffed_service_with_address_has_routes_of_its_own() -> None:
    """Detected HTTP on an address asks for ``host:port``, other bytes go straight on."""
    program = compiled(entry("u.example.com", "9000/", addresses=("10.0.0.1",)))
    assert [it[1] for it in chains(program, "10.0.0.1_9000")] == [
        "u.example.com:9000",
        "outbound|9000||u.example.com",
    ]


def test_service_known_only_by_endpoints_listens_on_each() -> None:
    """NONE with a selector: a listener per selected address, none while nothing is selected."""
    headless = entry(
        "a.example.com", "5432/TCP", resolution="NONE", workload_selector={"app": "db"}
    )
    assert names(compiled(headless).listeners) == []
    pod = WorkloadEntry(
        Metadata("db-1"),
        locate=headless.locate,
        endpoint=Endpoint("10.0.0.7", labels={"app": "db"}),
    )
    assert names(compiled(headless, pod).listeners) == ["10.0.0.7_5432"]


def test_grpc_web_filter_needs_the_first_service() -> None:
    """The connection manager is shaped by the first service of the port alone."""
    web = entry("w.example.com", "80/GRPC-Web", creation_timestamp=2)

    def filters(*resources: object) -> list[str]:
        program = compiled(*resources)  # type: ignore[arg-type]
        manager = by_name(program.listeners, "0.0.0.0_80")["filter_chains"][0]["filters"][0]
        return [it["name"] for it in manager["typed_config"]["http_filters"]]

    assert "envoy.filters.http.grpc_web" in filters(web)
    assert "envoy.filters.http.grpc_web" not in filters(
        web, entry("a.example.com", "80/HTTP", creation_timestamp=1)
    )


def test_dynamic_dns_filters() -> None:
    """A DYNAMIC_DNS wildcard resolves the server name on TLS and the Host header on HTTP."""
    program = compiled(entry("*.example.com", "443/TLS 80/HTTP", resolution="DYNAMIC_DNS"))
    tls = by_name(program.listeners, "0.0.0.0_443")["filter_chains"][0]
    assert tls["filter_chain_match"] == {"server_names": ["*.example.com"]}
    assert tls["filters"][0]["typed_config"]["port_value"] == 443
    http = by_name(program.listeners, "0.0.0.0_80")["filter_chains"][0]["filters"][0]
    caches = [
        it["typed_config"]["dns_cache_config"]["name"]
        for it in http["typed_config"]["http_filters"]
        if it["name"] == "envoy.filters.http.dynamic_forward_proxy"
    ]
    assert caches == ["*.example.com_dfp_dns_cache"]


@pytest.mark.parametrize(
    ("mode", "cluster"),
    [
        ("REGISTRY_ONLY", "BlackHoleCluster"),
        ("ALLOW_ANY", "PassthroughCluster"),
        ("ALLOW_ANY_DYNAMIC_DNS", "PassthroughCluster"),
    ],
)
def test_policy_decides_the_fall_through(mode: str, cluster: str) -> None:
    """Bytes that no chain matches follow the policy, per port and on virtualOutbound."""
    program = compiled(entry("a.example.com", "443/TLS"), mesh=mesh(mode))  # type: ignore[arg-type]
    assert chains(program, "0.0.0.0_443")[-1] == ({}, cluster)
    assert chains(program, "virtualOutbound")[-1] == ({}, cluster)
    assert program.listeners[-1]["name"] == "virtualOutbound"
