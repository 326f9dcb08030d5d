"""Which servers of several Gateways share a port, and which lose."""

from __future__ import annotations

from pytest_egress.contract.gateway.resource import Gateway
from pytest_egress.envoy.gateway.merge import GatewayServer, MergedGateway, merge_gateways
from tests.envoy.gateway.build import gateway, server, workload


def merged(*gateways: Gateway, targets: dict[int, int] | None = None) -> MergedGateway:
    """All Gateways on one workload."""
    return merge_gateways(workload(*gateways, targets=targets))


def told(servers: list[GatewayServer]) -> list[str]:
    """Gateway and place of each server."""
    return [f"{it.gateway.metadata.name}[{it.index}]" for it in servers]


def ports(merger: MergedGateway) -> dict[tuple[int, str, str], list[str]]:
    """The servers of each port."""
    return {(at.number, at.protocol, at.bind): told(it.servers) for at, it in merger.ports.items()}


def test_plain_http_servers_share_a_port() -> None:
    """Of all Gateways, whatever kind of HTTP: one route configuration has the hosts of all."""
    one = gateway(server("80/HTTP", "a.com"), name="one")
    two = gateway(server("80/HTTP2", "b.com"), server("81/GRPC", "c.com"), name="two")
    result = merged(one, two)
    assert ports(result) == {(80, "HTTP", ""): ["one[0]", "two[0]"], (81, "GRPC", ""): ["two[1]"]}
    assert {name: told(it) for name, it in result.by_route.items()} == {
        "http.80": ["one[0]", "two[0]"],
        "http.81": ["two[1]"],
    }


def test_servers_listen_on_target_ports() -> None:
    """A server names a port of the Service; HTTPS keeps that number in its route's name."""
    result = merged(
        gateway(server("80/HTTP"), server("443/HTTPS", tls="SIMPLE"), server("90/TCP")),
        targets={80: 8080, 443: 8443},
    )
    assert [at.number for at in result.ports] == [8080, 8443, 90]
    assert list(result.by_route) == ["http.8080", "https.443.p443.gw.default"]


def test_first_protocol_keeps_the_port() -> None:
    """Plain text of another kind on the same port is skipped, and said to be."""
    for first, second in (("HTTP", "TCP"), ("TCP", "HTTP"), ("TCP", "TCP"), ("MONGO", "TCP")):
        result = merged(gateway(server(f"80/{first}"), server(f"80/{second}")))
        assert ports(result) == {(80, first, ""): ["gw[0]"]}
        [(skipped, reason)] = result.skipped
        assert (skipped.index, reason) == (1, f"{first} is on 80 already")


def test_tls_beside_plain_text() -> None:
    """TLS after HTTP is skipped; HTTP after TLS gets chains of its own on the listener."""
    tls, plain = server("443/TLS", "a.com", tls="PASSTHROUGH"), server("443/HTTP", "b.com")
    assert ports(merged(gateway(plain, tls))) == {(443, "HTTP", ""): ["gw[0]"]}
    assert ports(merged(gateway(tls, plain))) == {
        (443, "TLS", ""): ["gw[0]"],
        (443, "HTTP", ""): ["gw[1]"],
    }


def test_tls_servers_are_told_apart_by_host() -> None:
    """Each host belongs to one server with TLS; the second one to name it is skipped whole."""
    one = server("443/TLS", "a.com", tls="PASSTHROUGH")
    two = server("443/HTTPS", "b.com", tls="SIMPLE")
    three = server("443/TLS", "c.com a.com", tls="PASSTHROUGH")
    result = merged(gateway(one, two, three), gateway(three, name="other"))
    assert ports(result) == {(443, "TLS", ""): ["gw[0]"], (443, "HTTPS", ""): ["gw[1]"]}
    assert [reason for _, reason in result.skipped] == [
        "a.com has a server with TLS on 443 already"
    ] * 2


def test_binds_are_ports_of_their_own() -> None:
    """The same port on another address clashes with nothing."""
    result = merged(
        gateway(
            server("80/HTTP", "a.com"),
            server("80/TCP", "b.com", bind="10.0.0.1"),
            server("80/TCP", "c.com", bind="10.0.0.1"),
        )
    )
    assert ports(result) == {(80, "HTTP", ""): ["gw[0]"], (80, "TCP", "10.0.0.1"): ["gw[1]"]}
    assert merged(gateway(server("80/HTTP", bind="10.0.0.1"))).by_route.keys() == {
        "http.80.10.0.0.1"
    }


def test_https_servers_need_port_names_of_their_own() -> None:
    """The route configuration is called after the port's name: of two alike the first has it."""
    one = server("443/HTTPS", "a.com", tls="SIMPLE")
    two = server("443/HTTPS", "b.com", tls="SIMPLE")
    result = merged(gateway(one, two))
    assert ports(result) == {(443, "HTTPS", ""): ["gw[0]"]}
    assert [reason for _, reason in result.skipped] == ['port name "p443" is taken']


def test_hosts_and_namespaces() -> None:
    """``.`` is the Gateway's own namespace, ``*`` any, and TLS matches the name alone."""
    hosts = "./a.com */b.com shop/c.com d.com"
    result = merged(gateway(server("443/TLS", hosts, tls="PASSTHROUGH"), namespace="team"))
    [found] = next(iter(result.ports.values())).servers
    assert found.hosts == ("team/a.com", "b.com", "shop/c.com", "d.com")
    assert found.server_names == ("a.com", "b.com", "c.com", "d.com")
    everything = merged(gateway(server("443/TLS", "a/x.com */*", tls="AUTO_PASSTHROUGH")))
    assert next(iter(everything.ports.values())).servers[0].hosts == ("*",)
    assert everything.auto_passthrough
