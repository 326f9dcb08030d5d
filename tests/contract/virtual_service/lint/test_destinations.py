"""Routes to what nobody declares."""

from __future__ import annotations

import pytest

from pytest_egress.contract import check, verdict
from tests.contract.virtual_service.lint.findings import (
    declare,
    destination_rule,
    found,
    gateway,
    service,
)

A, B = declare("a.example"), declare("b.example", "443/HTTPS", "8443/HTTPS")


def to(destination: str, protocol: str = "http") -> str:
    """A VirtualService for a.example that leads there."""
    match = "match: [{sniHosts: [a.example]}], " if protocol == "tls" else ""
    return service(
        f"hosts: [a.example], {protocol}: [{{{match}route: [{{destination: {{{destination}}}}}]}}]"
    )


def test_a_declared_destination_is_fine() -> None:
    """By host, by port, by wildcard in the same letters."""
    wildcard = declare("*.w.example", "80/HTTP")
    for destination in (
        "host: a.example", "host: a.example, port: {number: 443}",
        "host: b.example, port: {number: 8443}", 'host: "*.w.example"',
    ):  # fmt: skip
        assert found(A, B, wildcard, to(destination)) == []
    assert found(A, B, to("host: b.example", "tls")) == []


@pytest.mark.parametrize(
    ("destination", "words"),
    [
        ("host: c.example", ["no ServiceEntry declares", '"c.example"', "503", "add a ServiceE"]),
        ("host: bb.example", ['Did you mean "b.example"?']),
        ("host: A.Example", ['declared as "a.example"', "letter by letter"]),
        ("host: x.w.example", ['the wildcard "*.w.example"', "no wildcard match"]),
    ],
)
def test_a_host_that_nobody_declares(destination: str, words: list[str]) -> None:
    """What happens to the calls, and the nearest that is declared."""
    wildcard = declare("*.w.example", "80/HTTP")
    [(rule, message)] = found(A, B, wildcard, to(f"{destination}, port: {{number: 80}}"))
    assert rule == "lint/destination-host"
    for word in words:
        assert word in message


def test_mirrors_and_other_protocols_are_looked_at() -> None:
    """A call of theirs is reset where http answers 503."""
    mirrors = service(
        "hosts: [a.example], http: [{route: [{destination: {host: a.example}}], "
        "mirror: {host: m.example}}, {match: [{uri: {exact: /x}}], "
        "route: [{destination: {host: a.example}}], "
        "mirrors: [{destination: {host: n.example}}]}]"
    )
    assert [rule for rule, _ in found(A, mirrors)] == ["lint/destination-host"] * 2
    [(rule, message)] = found(A, to("host: c.example", "tls"))
    assert rule == "lint/destination-host"
    assert "are reset" in message


def test_a_port_that_the_host_does_not_declare() -> None:
    """And the ports it does."""
    [(rule, message)] = found(A, B, to("host: b.example, port: {number: 444}"))
    assert rule == "lint/destination-port"
    assert "no port 444 (443, 8443)" in message


def test_without_a_port_an_http_route_keeps_that_of_the_call() -> None:
    """Istiod takes port 80 here although the host has others only."""
    [(rule, message)] = found(A, B, to("host: b.example"))
    assert rule == "lint/destination-port"
    assert "that of the call (80)" in message
    assert "port: {number: 443}" in message
    named = service(
        "hosts: [b.example], http: [{match: [{port: 80}], "
        "route: [{destination: {host: b.example}}]}]"
    )
    assert [rule for rule, _ in found(B, named)] == ["lint/destination-port"]
    wildcard = declare("*.example", "8443/HTTP", "80/HTTP")
    assert found(wildcard, A, to("host: a.example")) == []
    elsewhere = service(
        "hosts: [a.example], http: [{match: [{port: 8080}], "
        "route: [{destination: {host: b.example}}]}]"
    )
    assert "lint/destination-port" not in [rule for rule, _ in found(A, B, elsewhere)]


def test_a_subset_that_no_destination_rule_has() -> None:
    """The nearest of those it has; a rule for a wildcard counts too."""
    route = to("host: a.example, subset: v1")
    assert found(A, route, destination_rule("a.example", "v1")) == []
    assert found(A, route, destination_rule("*.example", "v1")) == []
    [(rule, message)] = found(A, route, destination_rule("a.example", "v11", "canary"))
    assert rule == "lint/destination-subset"
    assert 'Did you mean "v11"?' in message
    [(_, message)] = found(A, route)
    assert "Add a DestinationRule with it" in message


def test_services_of_the_cluster() -> None:
    """They are no ServiceEntry's business, and an egress gateway's is known by its Gateway."""
    [(rule, message)] = found(A, to("host: proxy"))
    assert rule == "lint/destination-cluster-service"
    assert '"proxy.shop.svc.cluster.local" is a Service of the cluster' in message
    assert found(A, to("host: istio-egressgateway.istio-system.svc.cluster.local")) == []
    assert found(A, gateway("egress"), to("host: proxy.infra.svc.cluster.local")) == []
    kubernetes = (
        "--- {apiVersion: v1, kind: Service, metadata: {name: proxy, namespace: shop}, "
        "spec: {ports: [{port: 80, name: http}]}}\n"
    )
    assert found(A, kubernetes, to("host: proxy")) == []
    [(rule, message)] = found(A, kubernetes, to("host: proxy, port: {number: 81}"))
    assert rule == "lint/destination-port"
    assert "no port 81 (80)" in message
    inside = "hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}}]}]"
    assert found(A, service(inside)) == []


def test_nothing_is_said_where_the_rest_may_be_elsewhere() -> None:
    """A file on its own, and one beside a file that could not be read."""
    assert found(to("host: c.example, subset: v1")) == []
    broken = declare("c.example", "80/HTP")
    problems = check(A + broken + to("host: c.example, subset: v1"))
    assert [it.rule for it in problems if it.rule.startswith("lint/destination")] == []
    unreadable = check(A + "--- {kind: [}\n" + to("host: c.example"))
    assert [it.rule for it in unreadable if it.rule.startswith("lint/destination")] == []


def test_the_verdict_stays_istiods() -> None:
    """Istio accepts all of it; the place is that of the value."""
    problems = check(A + to("host: c.example, subset: v1, port: {number: 444}"))
    assert verdict(problems) == "accepted"
    assert [(it.rule, it.position.line, it.position.column) for it in problems] == [
        ("lint/destination-host", 3, 58)
    ]
