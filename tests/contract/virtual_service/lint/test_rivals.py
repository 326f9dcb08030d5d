"""VirtualServices in each other's way."""

from __future__ import annotations

import pytest

from tests.contract.virtual_service.lint.findings import declare, found, service

A = declare("a.example", "80/HTTP", "443/TLS", "5432/TCP")
HTTP = "http: [{route: [{destination: {host: a.example}}]}]"
TCP = "tcp: [{route: [{destination: {host: a.example, port: {number: 5432}}}]}]"


def one(fields: str, name: str, metadata: str = "", hosts: str = "[a.example]") -> str:
    """A VirtualService for a.example."""
    return service(f"hosts: {hosts}, {fields}", name=name, metadata=metadata)


def limited(match: str) -> str:
    """An http route with this match."""
    return f"http: [{{match: [{{{match}}}], route: [{{destination: {{host: a.example}}}}]}}]"


def test_the_older_one_counts() -> None:
    """By name where nothing says which is older."""
    [(rule, message)] = found(A, one(HTTP, "second"), one(HTTP, "first"))
    assert rule == "lint/virtual-service-rival"
    assert "VirtualService shop/first at <string>:6:8 already" in message
    old = ', creationTimestamp: "2024-01-01T00:00:00Z"'
    [(_, message)] = found(A, one(HTTP, "second", old), one(HTTP, "first"))
    assert "VirtualService shop/second" in message
    [(_, message)] = found(A, one(TCP, "second"), one(TCP, "first"))
    assert message.startswith("tcp calls")


@pytest.mark.parametrize(
    "two",
    [
        (one(HTTP, "v1"), one(TCP, "v2")),
        (one(HTTP, "v1"), one(HTTP, "v2", hosts="['*.example']")),
        (one(f"exportTo: [.], {HTTP}", "v1"), one(HTTP, "v2")),
        (one(f"exportTo: [one], {HTTP}", "v1"), one(f"exportTo: [two], {HTTP}", "v2")),
        (one(limited("port: 80"), "v1"), one(limited("port: 443"), "v2")),
        (
            one(limited("sourceLabels: {app: a}"), "v1"),
            one(limited("sourceLabels: {app: b}"), "v2"),
        ),
        (one(limited("sourceNamespace: a"), "v1"), one(limited("sourceNamespace: b"), "v2")),
        (one(f"gateways: [x.y], {HTTP}", "v1"), one(HTTP, "v2")),
    ],
)
def test_two_that_do_not_meet(two: tuple[str, str]) -> None:
    """Other protocols, audiences, ports or callers; a wildcard gives way to the host itself."""
    rules = [rule for rule, _ in found(A, *two)]
    assert "lint/virtual-service-rival" not in rules


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (limited("sourceLabels: {app: a}"), limited("sourceLabels: {team: b}")),
        (limited("port: 80"), HTTP),
        (f"exportTo: [., x], {HTTP}", f"exportTo: [x], {HTTP}"),
        (limited("gateways: [mesh], port: 80"), limited("port: 80")),
    ],
)
def test_two_that_meet(first: str, second: str) -> None:
    """Some sidecar is meant by both."""
    assert [rule for rule, _ in found(A, one(first, "v1"), one(second, "v2"))] == [
        "lint/virtual-service-rival"
    ]


def test_tls_routes_take_the_place_of_what_a_host_has() -> None:
    """Istiod leaves out the default of each host that a tls route is applied to."""
    wildcard = declare("*.w.example", "443/TLS")
    x = declare("x.w.example", "443/TLS")
    route = "match: [{sniHosts: [x.w.example]}], route: [{destination: {host: x.w.example}}]"
    specific = service(f"hosts: [x.w.example], tls: [{{{route}}}]")
    [(rule, message)] = found(wildcard, x, specific)
    assert rule == "lint/virtual-service-replaced-host"
    assert '"*.w.example" too' in message
    assert 'Add a tls match with sniHosts: ["*.w.example"]' in message
    both = service(
        f"hosts: ['*.w.example'], tls: [{{{route}}}, "
        "{match: [{sniHosts: ['*.w.example']}], route: [{destination: {host: '*.w.example'}}]}]"
    )
    assert found(wildcard, x, both) == []
    y = declare("y.w.example", "443/HTTPS", "80/HTTP")
    general = service(f"hosts: ['*.w.example'], tls: [{{{route}}}]")
    [(_, message)] = found(x, y, general)
    assert '"y.w.example" too' in message
    other_port = general.replace("sniHosts", "port: 8443, sniHosts")
    assert "lint/virtual-service-replaced-host" not in [rule for rule, _ in found(x, y, other_port)]
