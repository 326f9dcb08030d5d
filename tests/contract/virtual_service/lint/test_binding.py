"""VirtualServices bound to nothing."""

from __future__ import annotations

import pytest

from tests.contract.virtual_service.lint.findings import declare, found, gateway, service

A = declare("api.weather.example", "80/HTTP", "443/TLS")
ROUTE = "route: [{destination: {host: api.weather.example, port: {number: 443}}}]"
SNI = "match: [{sniHosts: [api.weather.example]}]"


def bound(fields: str, hosts: str = "api.weather.example") -> str:
    """A VirtualService with these fields beside its hosts."""
    return service(f'hosts: ["{hosts}"], {fields}')


def test_what_is_bound_to_something_is_fine() -> None:
    """To hosts in any case, wildcards either way, the mesh and gateways that are there."""
    http = f"http: [{{{ROUTE}}}]"
    assert found(A, bound(http)) == []
    assert found(A, bound(http, "API.weather.example")) == []
    assert found(A, bound(http, "*.weather.example")) == []
    assert found(A, bound(http, "*weather.example")) == []
    tls = f"tls: [{{{SNI}, {ROUTE}}}]"
    assert found(A, bound(tls)) == []
    gateways = f"gateways: [mesh, infra/egress, egress.infra.svc.cluster.local], {http}"
    warnings = [rule for rule, _ in found(A, gateway("egress"), bound(gateways))]
    assert warnings == []
    assert found(A, gateway("egress", "shop"), bound(f"gateways: [egress], {http}", "x.y")) == []


def test_a_host_that_nobody_declares() -> None:
    """Http routes are still programmed on port 80, others nowhere."""
    [(rule, message)] = found(A, bound(f"http: [{{{ROUTE}}}]", "api.wether.example"))
    assert rule == "lint/virtual-service-host"
    assert "no effect but on port 80" in message
    assert 'Did you mean "api.weather.example"?' in message
    [(_, message)] = found(A, bound(f"tcp: [{{{ROUTE}}}]", "db.other.example"))
    assert "have no effect. Add a ServiceEntry for it" in message
    assert found(A, bound(f"http: [{{{ROUTE}}}]", "reviews")) == []
    assert found(A, bound(f"http: [{{{ROUTE}}}]", "192.0.2.1")) == []
    assert found(bound(f"http: [{{{ROUTE}}}]")) == []


def test_a_host_that_only_a_wildcard_declares() -> None:
    """Http routes reach it on port 80 alone, tls routes everywhere."""
    wildcard = declare("*.weather.example", "8080/HTTP", "80/HTTP", "443/TLS", name="any")
    own = "http: [{route: [{destination: {host: '*.weather.example'}}]}]"
    [(rule, message)] = found(wildcard, bound(own))
    assert rule == "lint/virtual-service-host"
    assert 'only the wildcard "*.weather.example"' in message
    assert "port 8080" in message
    assert found(declare("*.weather.example", "80/HTTP"), bound(own)) == []


def test_a_gateway_that_is_not_there() -> None:
    """The nearest one; an ingress whose Gateway is kept elsewhere is left alone."""
    fields = f"gateways: [mesh, infra/egres], http: [{{{ROUTE}}}]"
    [(rule, message)] = found(A, gateway("egress"), bound(fields))
    assert rule == "lint/virtual-service-gateway"
    assert 'no Gateway "infra/egres"' in message
    assert 'did you mean "infra/egress"?' in message
    [(_, message)] = found(A, bound(fields))
    assert message.endswith("nothing is bound to it")
    ingress = f"gateways: [istio-system/public], http: [{{{ROUTE}}}]"
    assert found(A, bound(ingress, "www.shop.example")) == []


def test_a_match_for_a_gateway_that_the_virtual_service_is_not_bound_to() -> None:
    """Both directions: the mesh and a gateway."""
    in_gateway = f"http: [{{match: [{{gateways: [infra/egress]}}], {ROUTE}}}]"
    [(rule, message)] = found(A, gateway("egress"), bound(in_gateway))
    assert rule == "lint/virtual-service-match-gateway"
    assert 'not bound to "infra/egress"' in message
    match = SNI.replace("}]", ", gateways: [mesh]}]")
    in_mesh = f"gateways: [infra/egress], tls: [{{{match}, {ROUTE}}}]"
    [(rule, message)] = found(A, gateway("egress"), bound(in_mesh))
    assert 'not bound to "mesh"' in message


@pytest.mark.parametrize(
    ("ports", "fields", "words"),
    [
        ("443/HTTPS", f"http: [{{{ROUTE}}}]", "does not look into TLS"),
        ("80/HTTP 443/HTTP", f"tls: [{{{SNI}, {ROUTE}}}]", "HTTPS or TLS"),
        ("443/TLS", f"tcp: [{{{ROUTE}}}]", "protocol TCP"),
    ],
)
def test_routes_of_a_protocol_that_no_port_has(ports: str, fields: str, words: str) -> None:
    """Told once, with the ports that there are."""
    [(rule, message)] = found(declare("api.weather.example", *ports.split()), bound(fields))
    assert rule == "lint/virtual-service-protocol"
    assert words in message


def test_ports_that_a_route_may_name() -> None:
    """Those of the hosts, of listeners for all hosts, and 80."""
    match = f"http: [{{match: [{{port: 8080}}], {ROUTE}}}]"
    [(rule, message)] = found(A, bound(match))
    assert rule == "lint/virtual-service-match-port"
    assert "no port 8080 (80 HTTP, 443 TLS)" in message
    assert found(A, declare("proxy.example", "8080/HTTP_PROXY"), bound(match)) == []
    sidecar = (
        "--- {apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: s, "
        "namespace: shop}, spec: {egress: [{port: {number: 8080, protocol: HTTP, name: h}, "
        'hosts: ["*/*"]}]}}\n'
    )
    assert found(A, sidecar, bound(match)) == []
    only_tls = declare("api.weather.example", "443/TLS")
    http_80 = f"http: [{{match: [{{port: 80}}], {ROUTE}}}]"
    assert found(only_tls, bound(http_80)) == []
