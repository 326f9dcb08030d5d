"""The listeners of a gateway: which chains its servers get."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.envoy.gateway.program import GatewayProgram
from tests.envoy.build import by_name
from tests.envoy.gateway.contracts import compiled, entry, gateway, routes, server

ENTRY = entry("a.com", "80/HTTP", "443/TLS", "5432/TCP")
TLS = (
    "tls: [{match: [{sniHosts: [a.com]}],"
    " route: [{destination: {host: a.com, port: {number: 443}}}]}]"
)
TCP = "tcp: [{route: [{destination: {host: a.com, port: {number: 5432}}}]}]"
HTTP = "http: [{route: [{destination: {host: a.com, port: {number: 80}}}]}]"


def chains(compiled: GatewayProgram, listener: str) -> list[tuple[Any, str]]:
    """Server names and destination (cluster, or route configuration) of each chain."""
    built = by_name(compiled.program.listeners, listener)
    found = []
    for chain in built["filter_chains"]:
        config = chain["filters"][-1]["typed_config"]
        target = config.get("cluster") or config["rds"]["route_config_name"]
        found.append((chain.get("filter_chain_match", {}).get("server_names"), target))
    return found


def test_plain_http() -> None:
    """One chain for everything; nothing is inspected, whoever connects is the client."""
    found = compiled(ENTRY, gateway(server("80/HTTP", "a.com")), routes("a.com", HTTP))
    [listener] = found.program.listeners
    assert (listener["name"], "listener_filters" in listener) == ("0.0.0.0_80", False)
    assert chains(found, "0.0.0.0_80") == [(None, "http.80")]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["use_remote_address"] is True
    assert manager["server_name"] == "istio-envoy"


def test_passthrough_has_a_chain_per_match() -> None:
    """TLS is told apart by the server names of ``tls`` rules, not by the server's hosts."""
    found = compiled(
        ENTRY, gateway(server("443/TLS", "'*.com'", "mode: PASSTHROUGH")), routes("a.com", TLS)
    )
    assert chains(found, "0.0.0.0_443") == [(["a.com"], "outbound|443||a.com")]
    [inspector] = found.program.listeners[0]["listener_filters"]
    assert inspector["name"] == "envoy.filters.listener.tls_inspector"
    assert str(found.program.chain_rules["0.0.0.0_443", 0]) == "default/routes tls[0]"


def test_a_server_name_is_matched_once() -> None:
    """The second rule for one server name is left out: Envoy would refuse both."""
    older = routes("a.com", TLS, name="older").replace(
        "{name: older, namespace: default}",
        "{name: older, namespace: default, creationTimestamp: 2024-01-01T00:00:00Z}",
    )
    found = compiled(
        ENTRY,
        gateway(server("443/TLS", "a.com", "mode: PASSTHROUGH")),
        routes("a.com", TLS.replace("443}", "80}")),
        older,
    )
    assert chains(found, "0.0.0.0_443") == [(["a.com"], "outbound|443||a.com")]


def test_server_without_rule_is_not_there() -> None:
    """A listener without chains would be refused; why it is missing is kept."""
    found = compiled(
        ENTRY, gateway(server("443/TLS", "a.com", "mode: PASSTHROUGH")), routes("a.com", HTTP)
    )
    assert found.program.listeners == ()
    assert found.closed[443] == (
        "no VirtualService bound to default/egress has a tls rule for a host of the server at "
        "egress.yaml:18:5, which therefore listens on nothing"
    )


def test_tcp_server() -> None:
    """The first ``tcp`` rule that matches takes every connection."""
    found = compiled(ENTRY, gateway(server("5432/TCP", "a.com")), routes("a.com", TCP))
    assert chains(found, "0.0.0.0_5432") == [(None, "outbound|5432||a.com")]


@pytest.mark.parametrize("match", ["{port: 80}", "{gateways: [mesh]}", "{gateways: [other]}"])
def test_tcp_rule_for_something_else(match: str) -> None:
    """A match on another port or gateway does not count."""
    rule = TCP.replace("[{route", f"[{{match: [{match}], route")
    found = compiled(
        ENTRY,
        gateway(server("5432/TCP", "a.com")),
        routes("a.com", rule, gateways="egress, mesh, other"),
        gateway(server("81/HTTP", "b.com"), name="other"),
    )
    assert [it["name"] for it in found.program.listeners] == ["0.0.0.0_81"]


def test_terminated_tls() -> None:
    """HTTPS is routed under a name of its own, other TLS is forwarded decrypted."""
    found = compiled(
        ENTRY,
        gateway(
            server("443/HTTPS", "a.com", "mode: ISTIO_MUTUAL"),
            server("443/TLS/db", "b.com, a.org", "mode: ISTIO_MUTUAL"),
        ),
        routes("a.com", HTTP),
        routes("b.com", TCP, name="b"),
    )
    assert chains(found, "0.0.0.0_443") == [
        (["a.com"], "https.443.p443.egress.default"),
        (["a.org", "b.com"], "outbound|5432||a.com"),
    ]
    for chain in found.program.listeners[0]["filter_chains"]:
        assert chain["transport_socket"]["typed_config"]["require_client_certificate"] is True


def test_hosts_of_namespaces() -> None:
    """A server's ``namespace/host`` is for the VirtualServices of that namespace."""
    shop = server("443/TLS", "shop/a.com", "mode: PASSTHROUGH")
    theirs = routes("a.com", TLS, gateways="default/egress", namespace="shop")
    assert chains(compiled(ENTRY, gateway(shop), theirs), "0.0.0.0_443")
    assert compiled(ENTRY, gateway(shop), routes("a.com", TLS)).program.listeners == ()


def test_why_ports_are_closed() -> None:
    """No server on the port, one that lost its port, no Gateway at all."""
    other = compiled(ENTRY, gateway(server("8080/HTTP", "a.com")))
    assert other.closed[80] == (
        "no Gateway for it has a server on port 80 (there is default/egress at egress.yaml:18:3)"
    )
    lost = compiled(
        ENTRY,
        gateway(server("80/TCP/tcp", "b.com"), server("80/HTTP", "a.com")),
        routes("a.com", HTTP),
    )
    assert "has a tcp rule" in lost.closed[80]
    none = compiled(ENTRY)
    assert none.closed == {
        80: "no Gateway selects its pods (app=istio-egressgateway, istio=egressgateway)"
    }


def test_gateway_clusters() -> None:
    """All that is exported to the gateway's namespace; no PassthroughCluster."""
    hidden = entry("hidden.com", "80/HTTP").replace("spec:\n", "spec:\n  exportTo: ['.']\n")
    names = [it["name"] for it in compiled(ENTRY, hidden).program.clusters]
    assert "outbound|443||a.com" in names
    assert "BlackHoleCluster" in names
    assert not {"PassthroughCluster", "outbound|80||hidden.com"} & set(names)
