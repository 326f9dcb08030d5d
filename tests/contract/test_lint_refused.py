"""Lint about what Envoy refuses, and about what istiod answers now this way and now that."""

from __future__ import annotations

import pytest

from pytest_egress.contract import check, verdict
from tests.observed import documents, entry, sidecar

OUTSIDE = {"location": "MESH_EXTERNAL"}


def found(text: str) -> list[tuple[str, str]]:
    """Rule and place of each such warning."""
    rules = ("lint/envoy-refuses", "lint/istiod-fails", "lint/unsteady")
    return [
        (it.rule.removeprefix("lint/"), f"{it.position.line}:{it.position.column}")
        for it in check(text)
        if it.rule in rules
    ]


def racing(text: str) -> str:
    """The entry with the annotation that makes Envoy race connections."""
    annotation = "annotations: {istio.io/connect-strategy: RACE_FIRST_TCP_CONNECT}"
    return text.replace("  namespace: default\n", f"  namespace: default\n  {annotation}\n", 1)


def dynamic(ports: dict[int, str], host: str = "*.example.com") -> str:
    """An entry whose names are looked up as they are asked for."""
    return entry("dynamic", host, ports, "DYNAMIC_DNS", **OUTSIDE)


def rule(policy: str, host: str = "*.example.com") -> str:
    """A DestinationRule."""
    return (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: rule}\n"
        f'spec:\n  host: "{host}"\n  trafficPolicy: {policy}\n'
    )


POOL_OF_80 = "portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 1}}}]"
ENDPOINTS = [{"address": "a.example.com"}, {"address": "b.example.com"}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (entry("e", "a.b", {15001: "TCP"}, **OUTSIDE), ["10:5"]),
        (entry("e", "a.b", {15006: "https", 15021: "Mongo", 15090: ""}, **OUTSIDE),
         ["10:5", "13:5", "16:5"]),
        (entry("e", "a.b", {15001: "TCP"}, "NONE", addresses=["10.0.0.0/8"], **OUTSIDE), ["10:5"]),
        (entry("e", "a.b", {15001: "TCP"}, addresses=["10.0.0.1"], **OUTSIDE), []),
        (entry("e", "a.b", {15001: "HTTP", 15006: "UDP"}, **OUTSIDE), []),
        (racing(entry("e", "a.b", {443: "TLS"}, endpoints=ENDPOINTS, **OUTSIDE)), ["6:44"]),
        (racing(entry("e", "a.b", {443: "TLS"}, addresses=["1.1.1.1", "1.1.1.2"], **OUTSIDE)),
         ["6:44"]),
        (racing(entry("e", "a.b", {443: "TLS"}, endpoints=ENDPOINTS[:1], **OUTSIDE)), []),
        (entry("e", "a.b", {443: "TLS"}, endpoints=ENDPOINTS, **OUTSIDE), []),
        (dynamic({443: "TLS"}, "*-api.example.com"), ["8:5"]),
        (dynamic({80: "HTTP"}, "*-api.example.com"), []),
        (dynamic({80: "HTTP", 443: "TLS"}), []),
        (dynamic({80: "http2", 81: "GRPC"}), ["12:15", "15:15"]),
    ],
)  # fmt: skip
def test_an_entry_alone(text: str, expected: list[str]) -> None:
    """Each at the value that makes it; what Envoy takes is not warned of."""
    assert found(text) == [("envoy-refuses", place) for place in expected]
    assert verdict(check(text)) == "accepted"


@pytest.mark.parametrize(
    ("protocol", "policy", "expected"),
    [
        ("GRPC", "{tls: {mode: SIMPLE}}", []),
        ("GRPC", "{tls: {mode: DISABLE}}", [("envoy-refuses", "12:15")]),
        ("GRPC", "{portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}", []),
        ("GRPC", f"{{tls: {{mode: SIMPLE}}, {POOL_OF_80}}}", [("envoy-refuses", "12:15")]),
        ("HTTP", "{connectionPool: {http: {maxRetries: 1}}}", [("envoy-refuses", "21:42")]),
        ("HTTP", "{connectionPool: {tcp: {maxConnections: 1}}}", []),
        ("HTTP", "{outlierDetection: {consecutive5xxErrors: 1}}", [("istiod-fails", "21:37")]),
    ],
)  # fmt: skip
def test_an_entry_with_a_rule(protocol: str, policy: str, expected: list[tuple[str, str]]) -> None:
    """The rule of the host decides whether the proxy may speak plain text to it."""
    for host in ("*.example.com", "*.com"):
        text = documents(dynamic({80: protocol}), rule(policy, host))
        assert [kind for kind, _ in found(text)] == [kind for kind, _ in expected], text
    assert found(documents(dynamic({80: "GRPC"}), rule("{tls: {mode: SIMPLE}}", "*.example.org")))
    exact = rule("{tls: {mode: DISABLE}}", "*.com").replace("name: rule", "name: second")
    both = documents(dynamic({80: protocol}), rule(policy), exact)
    assert found(both) == expected


SEVERAL = entry(
    "several", "a.example.com", {80: "HTTP"}, addresses=["10.0.0.1", "10.0.0.2"], **OUTSIDE
)
TCP = SEVERAL.replace("protocol: HTTP", "protocol: TCP")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SEVERAL, ["10:5"]),
        (SEVERAL.replace("10.0.0.2", "10.0.0.1"), []),
        (
            SEVERAL.replace("10.0.0.2", "10.0.0.1").replace("- a.ex", "- b.example\n  - a.ex"),
            ["11:5"],
        ),
        (TCP, []),
        (documents(TCP, sidecar(egress=[{"hosts": ["./a.example.com"]}])), ["27:7"]),
        (documents(TCP, sidecar(egress=[{"hosts": ["default/a.example.com"]}])), ["27:7"]),
        (documents(TCP, sidecar(egress=[{"hosts": ["./a.example.com", "./*"]}])), []),
        (documents(TCP, sidecar(egress=[{"hosts": ["./a.example.com", "*/b.com"]}])), []),
        (documents(TCP, sidecar("shop", egress=[{"hosts": ["./a.example.com"]}])), []),
    ],
)
def test_what_istiod_answers_now_this_way_and_now_that(text: str, expected: list[str]) -> None:
    """Several addresses, where istiod takes one of them."""
    assert found(text) == [("unsteady", place) for place in expected]
