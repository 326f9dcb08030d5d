"""Routes without effect: unreachable ones, delegates that are not there, faults for no call."""

from __future__ import annotations

import pytest

from tests.contract.virtual_service.lint.findings import declare, found, service

A = declare("a.example")
LEADS = "route: [{destination: {host: a.example}}]"


def matching(*matches: str) -> str:
    """A VirtualService with one route for each match."""
    routes = ", ".join(f"{{match: [{{{match}}}], {LEADS}}}" for match in matches)
    return service(f"hosts: [a.example], http: [{routes}]")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", "uri: {exact: /x}"),
        ("uri: {prefix: /}", "uri: {exact: /x}"),
        ("uri: {prefix: ''}", "method: {exact: GET}"),
        ("uri: {regex: '.*'}", "uri: {exact: /x}"),
        ("name: all, statPrefix: s", "headers: {a: {exact: b}}"),
        ("port: 80", "port: 80, uri: {exact: /x}"),
        ("sourceLabels: {app: a}", "sourceLabels: {app: a, team: b}, uri: {exact: /x}"),
        ("gateways: [mesh]", "gateways: [mesh], uri: {exact: /x}"),
    ],
)
def test_a_match_behind_one_that_takes_everything(first: str, second: str) -> None:
    """Istiod stops there."""
    [(rule, message)] = found(A, matching(first, second))
    assert rule == "lint/virtual-service-unreachable"
    assert "the match at <string>:3:37 takes every request" in message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("uri: {prefix: /}, method: {exact: GET}", "uri: {exact: /x}"),
        ("headers: {a: {}}", "uri: {exact: /x}"),
        ("queryParams: {a: {}}", "uri: {exact: /x}"),
        ("port: 80", "uri: {exact: /x}"),
        ("sourceNamespace: a", "uri: {exact: /x}"),
        ("sourceLabels: {app: a}", "sourceLabels: {app: b}"),
        ("gateways: [mesh]", "uri: {exact: /x}"),
        ("uri: {regex: '.+'}", "uri: {exact: /x}"),
    ],
)
def test_a_match_that_leaves_something_for_the_next(first: str, second: str) -> None:
    """It narrows the request, or whom it is for."""
    assert found(A, matching(first, second)) == []


def test_a_delegate_that_is_not_there() -> None:
    """Missing, misspelt, with hosts, or not exported; unused ones are told too."""
    root = service(f"hosts: [a.example], http: [{{delegate: {{name: parts}}}}, {{{LEADS}}}]")
    delegate = service(f"http: [{{{LEADS}}}]", name="parts")
    assert found(A, root, delegate) == []
    [(rule, message)] = found(A, root)
    assert rule == "lint/virtual-service-delegate"
    assert 'no VirtualService "shop/parts": Istio drops this route' in message
    misspelt = found(A, root, service(f"http: [{{{LEADS}}}]", name="part"))
    assert [rule for rule, _ in misspelt] == [
        "lint/virtual-service-delegate",
        "lint/virtual-service-unused-delegate",
    ]
    assert 'did you mean "shop/part"?' in misspelt[0][1]
    with_hosts = service(f"hosts: [b.example], http: [{{{LEADS}}}]", name="parts")
    assert any("has hosts, which a delegate has not" in m for _, m in found(A, root, with_hosts))
    elsewhere = root.replace("namespace: shop", "namespace: other").replace(
        "name: parts", "name: parts, namespace: shop"
    )
    private = service(f"exportTo: [.], http: [{{{LEADS}}}]", name="parts")
    [(_, message)] = found(A, elsewhere, private)
    assert "not exported to namespace other" in message


def test_a_fault_for_no_call() -> None:
    """No percentage is none at all."""
    never = "fault: {delay: {fixedDelay: 1s}, abort: {httpStatus: 503, percentage: {}}}"
    warnings = found(A, service(f"hosts: [a.example], http: [{{{LEADS}, {never}}}]"))
    assert [rule for rule, _ in warnings] == ["lint/virtual-service-fault-percentage"] * 2
    assert "the delay is never injected" in warnings[0][1]
    always = (
        "fault: {delay: {fixedDelay: 1s, percent: 5}, "
        "abort: {httpStatus: 503, percentage: {value: 1}}}"
    )
    assert found(A, service(f"hosts: [a.example], http: [{{{LEADS}, {always}}}]")) == []
