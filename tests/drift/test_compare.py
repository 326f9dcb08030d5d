"""Changes in what is reachable: what opens, what closes, what goes another way, and for whom."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract import loads
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import MeshConfig, OutboundTrafficPolicy, Workload
from pytest_egress.drift import Change, compare
from pytest_egress.drift.candidates import questions, workloads
from tests.observed import CONTRACT, destination_rule, document, documents, entry, sidecar

A = entry("a", "a.example", {443: "HTTPS"})
B = entry("b", "b.example", {80: "HTTP"})


def contract(*texts: str, mode: str = "REGISTRY_ONLY") -> Contract:
    """A contract of some resources."""
    policy = OutboundTrafficPolicy(mode)  # type: ignore[arg-type]
    return loads(documents(*texts), file="f.yaml", mesh=MeshConfig(outbound_traffic_policy=policy))


def told(old: Contract, new: Contract, *asking: Workload) -> list[str]:
    """The changes as text, each with its kind."""
    return [f"{it.kind} {it}" for it in compare(old, new, asking)]


def virtual_service(host: str, **spec: Any) -> str:
    """A VirtualService for one host."""
    return document("VirtualService", f"vs-{host}", "default", {"hosts": [host], **spec})


def route(host: str, **more: Any) -> dict[str, Any]:
    """An http rule that leads to a host."""
    return {"route": [{"destination": {"host": host}}], **more}


def test_no_difference() -> None:
    """The same in other words, or in another order, is the same."""
    one = loads(CONTRACT, file="one.yaml")
    assert compare(one, loads(CONTRACT, file="two.yaml")) == []
    assert compare(contract(A, B), contract(B, A)) == []
    tls = entry("a", "a.example", {443: "TLS"})
    assert compare(contract(A), contract(tls)) == []
    assert told(contract(A), contract(tls, B)) == ["opens b.example:80 (HTTP) becomes reachable"]


def test_a_host_more_and_a_host_less() -> None:
    """It opens for everybody with what it is declared as; the other way round it closes."""
    assert told(contract(A), contract(A, B)) == ["opens b.example:80 (HTTP) becomes reachable"]
    [closed] = compare(contract(A, B), contract(A))
    assert f"{closed.kind} {closed}" == "closes b.example:80 (HTTP) becomes blocked"
    assert [str(it) for it in closed.declared_by] == ["f.yaml:22:5"]
    assert "BlackHoleCluster" in closed.reason


def test_who_sees_it() -> None:
    """A change of exportTo is one for the namespaces that it names."""
    private = entry("a", "a.example", {443: "HTTPS"}, exportTo=["."])
    assert told(contract(A), contract(private)) == [
        "closes a.example:443 (TLS) becomes blocked from any other namespace"
    ]
    shared = entry("a", "a.example", {443: "HTTPS"}, exportTo=[".", "shop"])
    assert told(contract(private), contract(shared)) == [
        "opens a.example:443 (TLS) becomes reachable from shop"
    ]


def test_whom_a_sidecar_is_for() -> None:
    """Labels of its selector are a workload of their own."""
    narrow = sidecar(
        workloadSelector={"labels": {"app": "web"}}, egress=[{"hosts": ["istio-system/*"]}]
    )
    assert told(contract(A), contract(A, narrow)) == [
        "closes a.example:443 (TLS) becomes blocked from default (app=web)"
    ]


def test_a_port_that_takes_everything() -> None:
    """TCP without addresses opens its port for hosts that nobody declares."""
    tcp = entry("a", "a.example", {443: "TCP"}, "NONE")
    changes = told(contract(A), contract(tcp))
    assert changes[:2] == [
        "opens a.example:443 (HTTP, TCP) becomes reachable",
        "opens any other host:443 (HTTP, TLS, TCP) becomes reachable",
    ]
    resolution = (
        "the proxy dials the address that the application dialled "
        "(was: the proxy looks the host up itself)"
    )
    assert changes[2:] == [
        "changes a.example:443 (TLS) has another protocol: TCP (was: TLS)",
        f"changes a.example:443 (TLS) has another resolution: {resolution}",
    ]


def test_an_open_mesh() -> None:
    """What nothing declares is reachable without being declared."""
    changes = compare(contract(A), contract(A, mode="ALLOW_ANY"))
    assert {it.what for it in changes} == {"becomes reachable without being declared"}
    assert {it.kind for it in changes} == {"opens"}
    declared = compare(contract(B, mode="ALLOW_ANY"), contract(A, B, mode="ALLOW_ANY"))
    assert [str(it) for it in declared if it.target == "a.example:443"] == [
        "a.example:443 (TLS) becomes reachable"
    ]
    assert [it.kind for it in declared] == ["changes"]


def test_a_wildcard() -> None:
    """It is asked for a name below it and told as it stands."""
    wide = entry("w", "*.w.example", {443: "TLS"}, "NONE")
    assert told(contract(A), contract(A, wide)) == ["opens *.w.example:443 (TLS) becomes reachable"]


def test_what_a_virtual_service_matches() -> None:
    """Its paths and headers are asked for; faults, shares, redirects and timeouts are told."""
    rules = [
        {"match": [{"uri": {"prefix": "/v1"}}], **route("b.example", timeout="3s")},
        {"match": [{"uri": {"exact": "/old"}}], "redirect": {"uri": "/new"}},
        {
            "match": [{"headers": {"x-a": {"exact": "1"}}}],
            **route("b.example", fault={"abort": {"httpStatus": 500, "percentage": {"value": 50}}}),
        },
        route("b.example"),
    ]
    changes = told(contract(B), contract(B, virtual_service("b.example", http=rules)))
    assert "closes b.example:80 (HTTP /old) becomes blocked" in changes
    assert "changes b.example:80 (HTTP /v1) has another timeout: 3s (was: none)" in changes
    assert (
        "changes b.example:80 (HTTP x-a: 1) has another fault: abort 500 for 50 % (was: none)"
        in changes
    )
    assert not [it for it in changes if "(HTTP)" in it]


def test_another_destination() -> None:
    """Where calls go instead, and with which weights."""
    c = entry("c", "c.example", {80: "HTTP"})
    split = {
        "route": [
            {"destination": {"host": "b.example"}, "weight": 90},
            {"destination": {"host": "c.example"}, "weight": 10},
        ]
    }
    was, other = "outbound|80||b.example", "outbound|80||c.example"
    destination = f"{was} (weight 90) or {other} (weight 10) (was: {was})"
    assert told(contract(B, c), contract(B, c, virtual_service("b.example", http=[split]))) == [
        f"changes b.example:80 (HTTP) has another destination: {destination}"
    ]


def test_tls_that_the_proxy_adds() -> None:
    """A DestinationRule that comes, with its server name and the names it checks."""
    policy = {"tls": {"mode": "SIMPLE", "sni": "b.example", "subjectAltNames": ["b.example"]}}
    rule = destination_rule("d", "b.example", trafficPolicy=policy)
    tls = "the proxy adds TLS with server name b.example, the certificate is for b.example"
    assert told(contract(B), contract(B, rule)) == [
        f"changes b.example:80 (HTTP) has another TLS: {tls} (was: none)"
    ]


def test_endpoints() -> None:
    """Addresses of a STATIC entry; without any, calls fail."""
    one, two, none = (
        entry("s", "s.example", {80: "HTTP"}, "STATIC", endpoints=endpoints)
        for endpoints in ([{"address": "203.0.113.1"}], [{"address": "203.0.113.2"}], [])
    )
    assert told(contract(one), contract(two)) == [
        "changes s.example:80 (HTTP) has other endpoints: 203.0.113.2:80 (was: 203.0.113.1:80)"
    ]
    assert told(contract(one), contract(none)) == ["closes s.example:80 (HTTP) loses its endpoints"]


def test_what_the_proxy_cannot_read_is_blocked() -> None:
    """A port that reads HTTP alone takes nothing else, as before it was declared."""
    proxy = entry("p", "proxy.example", {3128: "HTTP_PROXY"})
    assert told(contract(A), contract(A, proxy)) == [
        "opens proxy.example:3128 (HTTP) becomes reachable"
    ]


def test_given_workloads_only() -> None:
    """Where workloads are named, nobody else is asked."""
    private = entry("a", "a.example", {443: "HTTPS"}, exportTo=["."])
    assert told(contract(A), contract(private), Workload("default")) == []
    assert told(contract(A), contract(private), Workload("shop")) == [
        "closes a.example:443 (TLS) becomes blocked"
    ]


def test_json() -> None:
    """A change as plain values."""
    [change] = compare(contract(A), contract(A, B))
    assert isinstance(change, Change)
    assert change.to_json() == {
        "kind": "opens",
        "target": "b.example:80",
        "how": ["HTTP"],
        "what": "becomes reachable",
        "workloads": [],
        "declared_by": ["f.yaml:22:5"],
        "reason": change.reason,
    }


def test_what_is_asked() -> None:
    """Both contracts' hosts on all of their ports, in every protocol; who is told apart."""
    asked = questions(contract(A), contract(B))
    assert {(it.target, it.how) for it in asked} == {
        (target, how)
        for target in ("a.example:443", "b.example:80", "any other host:80", "any other host:443")
        for how in ("HTTP", "TLS", "TCP")
    }
    private = entry("c", "c.example", {80: "HTTP"}, namespace="shop", exportTo=[".", "pay"])
    rule = destination_rule("d", "a.example", workloadSelector={"matchLabels": {"app": "web"}})
    found = [(it.namespace, dict(it.labels)) for it in workloads(contract(private, rule, A))]
    assert found == [
        ("default", {}),
        ("default", {"app": "web"}),
        ("pay", {}),
        ("shop", {}),
        ("any-other-namespace", {}),
    ]
