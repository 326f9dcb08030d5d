"""Where the findings of Istio's analyzers stand, and when there are none."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.analyzers import Finding, analyze
from pytest_egress.contract.collect import Collector
from pytest_egress.contract.resources import MeshConfig
from pytest_egress.contract.source import Source
from tests.observed import destination_rule, document, documents, entry, sidecar


def found(*texts: str, mesh: MeshConfig | None = None) -> list[Finding]:
    """The findings about documents that Istio accepts."""
    collector = Collector(mesh)
    collector.add(Source("f.yaml", documents(*texts)))
    assert not [it for it in collector.finish() if it.severity == "error"]
    return list(analyze(collector.resources, collector.mesh, collector.refused))


def told(*texts: str, mesh: MeshConfig | None = None) -> list[tuple[str, str]]:
    """The codes, each with the line that it stands on."""
    lines = documents(*texts).splitlines()
    return [
        (it.rule, lines[it.position.line - 1].strip().removeprefix("- "))
        for it in found(*texts, mesh=mesh)
    ]


def route(host: str, namespace: str = "default", hosts: str = "a.example", **more: object) -> str:
    """A VirtualService with one http route."""
    destination = {"host": host, **more}
    spec = {"hosts": [hosts], "http": [{"route": [{"destination": destination}]}]}
    return document("VirtualService", f"to-{host}", namespace, spec)


A = entry("a", "a.example", {80: "HTTP"})
TCP = entry("t", "t.example", {5432: "TCP"})


def test_addresses() -> None:
    """IST0134 for TCP without addresses, unless the agent resolves the names to allocated ones."""
    assert [code for code, _ in told(TCP)] == ["IST0134"]
    assert told(entry("t", "t.example", {5432: "TCP"}, addresses=["240.0.0.1"])) == []
    assert told(TCP, mesh=MeshConfig(dns_capture=True)) == []
    none = entry("t", "t.example", {5432: "TCP"}, resolution="NONE")
    assert [code for code, _ in told(none, mesh=MeshConfig(dns_capture=True))] == ["IST0134"]


def test_one_port_in_two_protocols() -> None:
    """IST0177 for both entries, where one namespace sees the two."""
    other = entry("b", "a.example", {80: "HTTPS"}, namespace="shop")
    assert told(A, other) == [("IST0177", "protocol: HTTP"), ("IST0177", "protocol: HTTPS")]
    private = entry("b", "a.example", {80: "HTTPS"}, namespace="shop", exportTo=["."])
    own = entry("a", "a.example", {80: "HTTP"}, exportTo=["."])
    assert told(own, private) == []
    assert [code for code, _ in told(A, private)] == ["IST0177", "IST0177"]
    same = entry("b", "a.example", {80: "http"}, namespace="shop")
    assert told(A, same) == []


@pytest.mark.parametrize(
    ("destination", "line"),
    [
        ({"host": "b.example"}, "host: b.example"),
        ({"host": "a.example", "port": {"number": 81}}, "number: 81"),
        ({"host": "a.example", "subset": "v1"}, "subset: v1"),
    ],
)
def test_references_of_routes(destination: dict[str, Any], line: str) -> None:
    """IST0101 at the part of the destination that is not there."""
    assert told(A, route(**destination)) == [("IST0101", line)]


def test_what_a_namespace_does_not_see_is_not_there() -> None:
    """A private entry of another namespace is none to refer to."""
    private = entry("a", "a.example", {80: "HTTP"}, namespace="shop", exportTo=["."])
    assert told(private, route("a.example")) == [("IST0101", "host: a.example")]
    assert told(private, route("a.example", namespace="shop")) == []
    assert told(private, destination_rule("d", "a.example")) == [("IST0174", "host: a.example")]


def test_services_of_the_cluster_may_be_elsewhere() -> None:
    """A Service is missing only where the files have Services."""
    far = "pay.shop.svc.cluster.local"
    assert told(A, route(far)) == []
    spec = {"ports": [{"port": 80, "name": "http"}], "selector": {"app": "x"}}
    other = document("Service", "cart", "shop", spec).replace("networking.istio.io/v1", "v1")
    assert "apiVersion: v1\n" in other
    assert told(A, other, route(far)) == [("IST0101", f"host: {far}")]


def test_a_host_of_two_virtual_services() -> None:
    """IST0109 for both, unless no namespace sees the two."""
    two = [route("a.example"), route("a.example", namespace="shop")]
    assert [code for code, _ in told(A, *two)] == ["IST0109", "IST0109"]
    assert [it.position.line for it in found(A, *two)] == sorted(
        it.position.line for it in found(A, *two)
    )


def test_rules_that_name_no_ca() -> None:
    """IST0128 and IST0129 are notes: the certificate is checked against the usual CAs."""
    policy = {
        "tls": {"mode": "SIMPLE"},
        "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "SIMPLE"}}],
    }
    findings = found(A, destination_rule("d", "a.example", trafficPolicy=policy))
    assert [(it.rule, it.level) for it in findings] == [("IST0128", "note"), ("IST0129", "note")]
    policy = {"tls": {"mode": "SIMPLE", "caCertificates": "/etc/ca.pem"}}
    assert found(A, destination_rule("d", "a.example", trafficPolicy=policy)) == []


def test_sidecars_for_everyone() -> None:
    """IST0111 for two Sidecars without a selector in one namespace."""
    one = sidecar(egress=[{"hosts": ["./*"]}])
    assert told(one, one.replace("scope", "other")) == [
        ("IST0111", "name: scope"),
        ("IST0111", "name: other"),
    ]
    assert told(one, one.replace("scope", "other").replace("default", "shop")) == []


def test_a_gateway_that_does_not_have_the_host() -> None:
    """IST0132 for a Gateway of the contract whose servers are for other hosts."""
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["b.example"]}
    gateway = document("Gateway", "gw", "default", {"selector": {"a": "b"}, "servers": [server]})
    bound = route("a.example").replace("hosts:", "gateways: [gw]\n  hosts:", 1)
    [finding] = found(A, gateway, bound)
    assert finding.rule == "IST0132"
    assert found(A, gateway.replace("b.example", "'*.example'"), bound) == []
