"""The route configurations of a gateway: VirtualServices merged host by host."""

from __future__ import annotations

from typing import Any

from pytest_egress.envoy.gateway.program import GatewayProgram
from tests.envoy.build import by_name
from tests.envoy.gateway.contracts import compiled, entry, gateway, routes, server

ENTRIES = entry("a.com", "80/HTTP") + "---\n" + entry("b.com", "80/HTTP")
TO_A = "http: [{route: [{destination: {host: a.com, port: {number: 80}}}]}]"
API_TO_B = (
    "http: [{match: [{uri: {prefix: /api}}],"
    " route: [{destination: {host: b.com, port: {number: 80}}}]}]"
)


def hosts(
    compiled: GatewayProgram, name: str = "http.80"
) -> dict[str, tuple[list[str], list[str]]]:
    """Domains and clusters of each virtual host."""
    configuration = by_name(compiled.program.routes, name)
    return {
        it["name"]: (it["domains"], [_target(route) for route in it.get("routes", ())])
        for it in configuration["virtual_hosts"]
    }


def _target(route: dict[str, Any]) -> str:
    cluster = route.get("route", {}).get("cluster", "-")
    return f"{route['match'].get('prefix')} {cluster}"


def test_virtual_services_of_one_host_are_merged() -> None:
    """Unlike at a sidecar all their routes count; what takes every request comes last."""
    found = compiled(
        ENTRIES,
        gateway(server("80/HTTP", "a.com")),
        routes("a.com", TO_A, name="all"),
        routes("a.com", API_TO_B, name="api", namespace="shop", gateways="default/egress"),
    )
    assert hosts(found) == {
        "a.com:80": (["a.com"], ["/api outbound|80||b.com", "/ outbound|80||a.com"])
    }
    rules = [str(found.program.route_rules["http.80", "a.com:80", index]) for index in (0, 1)]
    assert rules == ["shop/api http[0]", "default/all http[0]"]


def test_servers_of_one_port_share_it() -> None:
    """The hosts of all Gateways' servers; the narrower host of each pair is the domain."""
    found = compiled(
        ENTRIES,
        gateway(server("80/HTTP", "'*.com'")),
        gateway(server("80/HTTP", "x.org"), name="second"),
        routes("a.com", TO_A),
        routes("'*.org'", API_TO_B, gateways="second", name="org"),
    )
    assert hosts(found) == {
        "a.com:80": (["a.com"], ["/ outbound|80||a.com"]),
        "x.org:80": (["x.org"], ["/api outbound|80||b.com"]),
    }


def test_hosts_of_one_virtual_service_are_one() -> None:
    """They share a virtual host that is called after the most specific of them."""
    found = compiled(
        ENTRIES,
        gateway(server("80/HTTP", "'*'")),
        routes("a.com, b.com, api.a.com", TO_A),
    )
    assert hosts(found) == {
        "api.a.com:80": (["api.a.com", "a.com", "b.com"], ["/ outbound|80||a.com"])
    }


def test_server_without_virtual_service() -> None:
    """Every request is answered with 404."""
    found = compiled(ENTRIES, gateway(server("80/HTTP", "a.com")))
    assert hosts(found) == {"blackhole:80": (["*"], [])}


def test_https_redirect() -> None:
    """Hosts with and without routes answer plain text with a redirect."""
    found = compiled(
        ENTRIES,
        gateway(server("80/HTTP", "a.com, c.com", "httpsRedirect: true")),
        routes("a.com", TO_A),
    )
    for host in by_name(found.program.routes, "http.80")["virtual_hosts"]:
        assert host["require_tls"] == "ALL"
    assert hosts(found)["c.com:80"] == (["c.com"], [])


def test_match_names_the_port_of_the_server() -> None:
    """Not the one that the pod listens on; rules for other gateways and the mesh are left out."""
    rules = """\
http:
- match: [{gateways: [mesh]}]
  route: [{destination: {host: b.com, port: {number: 80}}}]
- match: [{gateways: [egress], port: 8080}]
  route: [{destination: {host: b.com, port: {number: 80}}}]
- match: [{gateways: [egress], port: 80}]
  route: [{destination: {host: a.com}}]
"""
    found = compiled(
        ENTRIES, gateway(server("80/HTTP", "a.com")), routes("a.com", rules, "mesh, egress")
    )
    assert hosts(found) == {"a.com:80": (["a.com"], ["/ outbound|80||a.com"])}
