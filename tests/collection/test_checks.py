"""What is checked of a declaration, and that no valid contract fails by a check of ours."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace

import pytest

from pytest_egress.collection.checks import plan
from pytest_egress.collection.names import covered, free_port, inside, neighbour
from pytest_egress.contract import loads
from pytest_egress.contract.resources import OutboundTrafficPolicy, Workload
from pytest_egress.expectations import Kind
from tests.conformance.cases import Case, enforced, istiod_fails, needs_a_cluster, recorded
from tests.conformance.faults import REASONS, Failure, Judge, captures, checks_of, closed

#: Hosts of the recorded contracts that istiod gives no sidecar a way to as they are declared, by
#: the contract's own fault: an operator would want to know.
FINDINGS = {
    "hidden": {
        "g11-4 *.weather.test", "g11-42 queue1.weather.test", "g11-42 mail5.cloud.example.net",
        "g11-58 pay18.vendor.io", "g11-58 feed8.vendor.io", "g11-58 api30.weather.test",
        "g11-100 *.example.com", "g11-192 feed15.weather.test", "g11-192 cache7.example.com",
        "g11-221 *.example.com",
    },
    # The same wildcard with different resolutions: istiod makes one cluster.
    "twice": {
        "g11-159 *.weather.test", "g11-268 *.example.com", "g11-277 *.cloud.example.net",
    },
}  # fmt: skip


def se(hosts: str, ports: str, more: str = "", name: str = "it") -> str:
    """A ServiceEntry."""
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{hosts}]
  ports: [{ports}]
  {more}
"""


def port(number: int, protocol: str) -> str:
    """A port of a ServiceEntry."""
    return f"{{number: {number}, name: p{number}, protocol: {protocol}}}"


def kinds(text: str, *, workload: Workload | None = None) -> list[str]:
    """The checks of a contract, in short."""
    return [it.name.partition("[")[2][:-1] for it in plan(loads(text), workload)]


TLS = [
    "443/TLS-reachable", "443/TLS-resolution", "443/TLS-neighbour", "443/TLS-sni",
    "443/TLS-plain-http", "8443/TLS-undeclared",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (se("a.test", port(443, "TLS"), "resolution: DNS"), TLS),
        (se("a.test", port(53, "UDP"), "resolution: DNS"), []),
        # An address tells it apart, so nobody looks at the server name; it is refused elsewhere.
        (
            se("a.test", port(443, "TLS"), "addresses: [198.51.100.9]"),
            ["443/TLS-reachable", "443/TLS-neighbour", "8443/TLS-undeclared"],
        ),
        # Without an address a port of TCP takes every address: no neighbour is refused.
        (
            se("a.test", port(5432, "TCP"), "resolution: DNS"),
            ["5432/TCP-reachable", "5433/TCP-undeclared"],
        ),
        (
            se("a.test", port(5432, "TCP"), "addresses: [198.51.100.9]"),
            ["5432/TCP-reachable", "5432/TCP-neighbour", "5433/TCP-undeclared"],
        ),
        # Of a network the server name is looked at.
        (
            se("a.test", port(443, "TLS"), "addresses: [198.51.100.0/24]"),
            [
                "443/TLS-reachable", "443/TLS-neighbour", "443/TLS-sni", "443/TLS-plain-http",
                "8443/TLS-undeclared",
            ],
        ),
        (
            se("'*.a.test'", port(80, "HTTP"), "resolution: NONE"),
            [
                "80/HTTP-inside", "80/HTTP-deep", "80/HTTP-resolution", "80/HTTP-neighbour",
                "80/HTTP-outside", "8080/HTTP-undeclared",
            ],
        ),
        (
            se("a.test", port(80, "GRPC"), "resolution: DNS"),
            [f"80/GRPC-{it}" for it in ("reachable", "resolution", "neighbour")]
            + ["8080/GRPC-undeclared"],
        ),
        # Told apart by the first bytes: both are spoken.
        (
            se("a.test", port(80, "''"), "resolution: DNS"),
            [
                "80/?-reachable-http", "80/?-resolution", "80/?-reachable-tcp", "80/?-neighbour",
                "8080/?-undeclared",
            ],
        ),
        # Exported to nobody: refused.
        (se("a.test", port(443, "TLS"), "exportTo: ['~']"), ["443/TLS-hidden"]),
        # Only IPv6: the pod has no such address.
        (se("a.test", port(443, "TLS"), "addresses: ['2001:db8::1']"), []),
    ],
)  # fmt: skip
def test_a_declaration_gives_checks(text: str, expected: list[str]) -> None:
    """Each protocol and kind of address has the checks that istiod's configuration allows."""
    assert kinds(text) == expected


def test_an_open_mesh_refuses_nothing() -> None:
    """Where what nothing declares is let through, only what must be reached is checked."""
    contract = loads(se("a.test", port(443, "TLS"), "resolution: DNS"))
    mesh = replace(contract.mesh, outbound_traffic_policy=OutboundTrafficPolicy("ALLOW_ANY"))
    found = {it.expectation.kind for it in plan(replace(contract, mesh=mesh))}
    assert found == {"reachable"}


def test_with_istios_resolver_names_have_addresses() -> None:
    """They are those that are declared or that istiod allocates."""
    text = se("a.test", port(443, "TLS"), "resolution: DNS") + "---" + se(
        "b.test", port(5432, "TCP"), "addresses: [198.51.100.9]", "b"
    )  # fmt: skip
    checks = list(plan(loads(text), dns_capture=True))
    assert {
        it.host: it.expectation.addresses for it in checks if it.expectation.kind == "resolves"
    } == {"a.test": ("240.240.0.1",), "b.test": ("198.51.100.9",)}
    assert "443/TLS-sni" not in {it.name.partition("[")[2][:-1] for it in checks}


def test_every_port_is_dialled_as_it_is_declared() -> None:
    """The declared protocol is spoken; the place is the port's, the host's of an undeclared one."""
    checks = {
        it.kind: it for it in plan(loads(se("a.test", port(443, "HTTPS"), "resolution: DNS")))
    }
    assert {kind: it.expectation.target for kind, it in checks.items()} == {
        "reachable": "https://a.test:443",
        "resolution": "https://a.test:443",
        "neighbour": "https://not-a.test:443",
        "sni": "tls://a.test:443",
        "plain-http": "http://a.test:443",
        "undeclared": "https://a.test:8443",
    }
    assert checks["sni"].expectation.options == {"sni": "not-a.test"}
    assert (checks["sni"].position.line, checks["undeclared"].position.line) == (7, 6)


def test_a_workload_that_sees_the_entry_asks() -> None:
    """Its own namespace, else one that it is exported to; labels where a Sidecar asks for them."""
    text = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: one, namespace: shop}
spec: {hosts: [one.test], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: two, namespace: shop}
spec:
  hosts: [two.test]
  ports: [{number: 443, name: tls, protocol: TLS}]
  exportTo: [pay]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: all, namespace: shop}
spec: {egress: [{hosts: ["./three.test"]}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec: {workloadSelector: {labels: {app: web}}, egress: [{hosts: ["./one.test"]}]}
"""
    asking = {
        it.host: (it.workload.namespace, dict(it.workload.labels)) for it in plan(loads(text))
    }
    assert asking == {"one.test": ("shop", {"app": "web"}), "two.test": ("pay", {})}


def test_names_beside_a_declaration() -> None:
    """A neighbour is declared by nobody; a free port by nobody either."""
    text = se("api.weather.test, '*.wide.test', not-one.test", port(443, "TLS"), "resolution: NONE")
    is_covered = covered(loads(text))
    assert neighbour("api.weather.test", is_covered) == "not-api.weather.test"
    assert neighbour("one.test", is_covered) == "not-declared.test"
    assert neighbour("*.wide.test", is_covered) == "not-wide.test"
    assert neighbour("one.deep.wide.test", is_covered) == "not-declared.test"
    assert [inside("*.Wide.test"), inside("*.wide.test", deep=True)] == [
        "any.wide.test",
        "any.deep.wide.test",
    ]
    assert inside("API.weather.test.") == "api.weather.test"
    assert free_port("https", 443, {8443}) == 9443
    assert free_port("tcp", 65_535, set()) == 1024


def _judged(case: Case, *, dns_capture: bool) -> tuple[int, list[Failure]]:
    """How many checks a case has, and those that do not hold under what istiod pushes."""
    failures: list[Failure] = []
    contract, total = closed(case), 0
    for workload, checks in checks_of(contract, dns_capture=dns_capture):
        total += len(checks)
        failures += Judge(contract, workload).failures(checks)
    return total, failures


def test_no_valid_contract_fails_by_a_check_of_ours() -> None:
    """All checks of the recorded contracts hold under what istiod pushes, but for its findings."""
    found: dict[str, set[str]] = defaultdict(set)
    for case in enforced("behaviour"):
        for failure in _judged(case, dns_capture=captures(case))[1]:
            found[failure.reason].add(f"{case['id']} {failure.check.host}")
    assert found == FINDINGS


@pytest.mark.parametrize("name", ["structure", "generated"])
@pytest.mark.parametrize("captured", [False, True])
def test_each_failure_has_a_reason_in_the_contract(name: str, *, captured: bool) -> None:
    """Whoever resolves names, no check contradicts istiod where the contract has no fault."""
    total = 0
    for case in recorded(name):
        if case.get("type") == "router" or needs_a_cluster(case) or istiod_fails(case):
            continue
        checked, failures = _judged(case, dns_capture=captured)
        total += checked
        for it in failures:
            assert it.reason in REASONS, (case["id"], it.check.name, it.told)
    assert total > 400


def test_a_check_that_contradicts_istiod_has_no_reason() -> None:
    """The comparison above sees a false finding of each kind."""
    contract = loads(se("a.test", port(443, "TLS"), "resolution: DNS"))
    for captured in (False, True):
        [(workload, checks)] = checks_of(contract, dns_capture=captured)
        judge = Judge(contract, workload)
        assert not list(judge.failures(checks))
        for check in checks:
            kind: Kind = "blocked" if check.expectation.kind == "reachable" else "reachable"
            wrong = replace(check.expectation, kind=kind)
            if check.expectation.kind == "resolves":
                wrong = replace(check.expectation, addresses=("192.0.2.1",))
            [failure] = judge.failures([replace(check, expectation=wrong)])
            assert (failure.reason, bool(failure.told)) == ("", True)


def _upstreams(text: str) -> dict[str, tuple[str, ...] | None]:
    """Who may answer the checks of the resolution, by the entry's name."""
    return {
        it.entry.metadata.name: it.expectation.upstream
        for it in plan(loads(text))
        if it.kind == "resolution"
    }


def test_entries_share_the_endpoints_of_a_host() -> None:
    """What one entry gives for an endpoint may answer for the other, whatever it says itself."""
    text = se("a.test", port(80, "HTTP"), "resolution: DNS", "one") + "---"
    text += se("a.test", port(80, "HTTP"), "resolution: STATIC", "two")
    text += "  endpoints: [{address: 203.0.113.2}]\n"
    assert _upstreams(text) == {
        "one": ("a.test", "203.0.113.2"),
        "two": ("a.test", "203.0.113.2"),
    }


def test_a_rule_may_let_the_dialled_address_decide() -> None:
    """PASSTHROUGH of a DestinationRule is stronger than the resolution."""
    rule = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: it}
spec: {host: a.test, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}
"""
    entry = se("a.test", port(80, "HTTP"), "resolution: DNS")
    assert _upstreams(entry + rule) == {"it": ("198.51.100.77",)}
    assert _upstreams(entry) == {"it": ("a.test",)}


def test_a_listener_of_a_sidecar_with_its_own_address_is_not_dialled() -> None:
    """Who calls its address knows of it; the name leads elsewhere."""
    sidecar = """
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: it}
spec: {egress: [{port: {number: 80, name: h, protocol: HTTP}, bind: 127.0.0.1, hosts: ["./*"]}]}
"""
    entry = se("a.test", port(80, "HTTP"), "resolution: DNS")
    assert kinds(entry + sidecar) == ["8080/HTTP-undeclared"]
    assert kinds(entry + sidecar.replace("bind: 127.0.0.1, ", "")) == [
        "80/HTTP-reachable", "8080/HTTP-undeclared",
    ]  # fmt: skip


def test_a_listener_of_a_sidecar_speaks_for_its_own_port_alone() -> None:
    """What is spoken on one port of a host is not what is spoken on the others."""
    sidecar = """
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: it}
spec:
  egress:
  - {port: {number: 80, name: h, protocol: HTTP}, hosts: ["./*"]}
  - {port: {number: 3128, name: p, protocol: HTTP_PROXY}, hosts: ["./*"]}
  - {hosts: ["./*"]}
"""
    ports = port(80, "HTTP"), port(443, "TLS")
    entry = se("a.test", ", ".join(ports), "resolution: DNS")
    found = {
        it.expectation.target
        for it in plan(loads(entry + sidecar))
        if it.expectation.kind == "reachable"
    }
    assert found == {"http://a.test:80", "tls://a.test:443"}


def test_of_the_addresses_of_a_host_a_sidecar_may_keep_one() -> None:
    """Where it names the host exactly the agent does not know them all: nothing is promised."""
    sidecar = """
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: it}
spec: {egress: [{hosts: ["./a.test"]}]}
"""
    text = se("a.test", port(80, "TCP"), "addresses: [198.51.100.1, 198.51.100.2]")
    given = {it.kind: it for it in plan(loads(text), dns_capture=True)}
    assert given["resolves"].expectation.addresses == ("198.51.100.1", "198.51.100.2")
    assert "resolves" not in {it.kind for it in plan(loads(text + sidecar), dns_capture=True)}


def test_a_host_that_no_route_takes_is_checked_all_the_same() -> None:
    """With capital letters istiod makes routes without a host; collecting must not fail."""
    text = se("Mixed.test", port(8080, "''"), "resolution: DNS")
    assert {it.host for it in plan(loads(text), dns_capture=True)} == {"Mixed.test"}


def test_rules_are_heeded() -> None:
    """Requests are such that rules let them through; TLS that the proxy adds is not doubled."""
    text = (
        se("a.test", f"{port(80, 'HTTP')}, {port(443, 'HTTPS')}", "resolution: DNS")
        + """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a.test]
  http:
  - match: [{uri: {exact: /old}}]
    redirect: {uri: /new}
  - match: [{uri: {prefix: /v2}, method: {exact: POST}, headers: {x-key: {prefix: k}}}]
    route: [{destination: {host: a.test, port: {number: 443}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a.test
  trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}
"""
    )
    checks = {re.sub(r".*\[|\]", "", it.name): it.expectation for it in plan(loads(text))}
    assert checks["80/HTTP-reachable"].target == "http://a.test:80/v2"
    assert checks["80/HTTP-reachable"].options == {"method": "POST", "headers": (("x-key", "k"),)}
    assert "443/HTTPS-reachable" not in checks
    assert "443/HTTPS-sni" in checks
