"""What VirtualServices do to calls, as the proxy records it and the verdict says it."""

from __future__ import annotations

import pytest

from pytest_egress import Verdict, loads
from pytest_egress.backends.local import LocalBackend
from pytest_egress.egress import Egress
from pytest_egress.evidence import Evidence
from pytest_egress.outcome import Outcome
from pytest_egress.upstream import Upstreams
from tests.observed import documents, entry

ENTRIES = documents(
    entry("a", "a.example.com", {80: "HTTP", 443: "TLS", 5432: "TCP"}),
    entry("b", "b.example.com", {80: "HTTP", 443: "TLS", 5432: "TCP"}),
    entry("any", "*.dynamic.test", {80: "HTTP"}, "DYNAMIC_DNS"),
)


def routed(backend: LocalBackend, spec: str, name: str = "routes") -> Egress:
    """A pod under the entries and one VirtualService with that spec (YAML in flow style)."""
    service = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        f"metadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"
    )
    return Egress(backend, loads(documents(ENTRIES, service), file="mesh.yaml"))


def http(backend: LocalBackend, *rules: str) -> Egress:
    """A pod under ``http`` rules for a.example.com."""
    return routed(backend, f"{{hosts: [a.example.com], http: [{', '.join(rules)}]}}")


def evidence(outcome: Outcome) -> Evidence:
    """The record that decided."""
    assert outcome.evidence is not None
    return outcome.evidence


TO_A = "{route: [{destination: {host: a.example.com}}]}"
TO_B = "{route: [{destination: {host: b.example.com}}]}"


def test_other_destination(backend: LocalBackend) -> None:
    """The rule that led there is told beside the entry that declares it."""
    outcome = http(backend, TO_B).get("http://a.example.com")
    assert outcome.reachable
    assert outcome.declared
    assert evidence(outcome).cluster == "outbound|80||b.example.com"
    assert evidence(outcome).rule == "shop/routes http[0]"
    entry_at, rule_at = map(str, outcome.declared_by)
    story = outcome.explain()
    assert f"rule      VirtualService shop/routes http[0] at {rule_at}\n" in story
    assert f"declared  {entry_at}\n" in story
    assert f"edit      to block it, change the rule at {rule_at}, which leads to b.example.com" in (
        story
    )


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (
            "{redirect: {authority: b.example.com, redirectCode: 302}}",
            "VirtualService shop/routes http[0] answers 302 itself (redirect)",
        ),
        (
            "{name: tea, directResponse: {status: 418, body: {string: teapot}}}",
            "VirtualService shop/routes http[0] (route tea) answers 418 itself (directResponse)",
        ),
    ],
)
def test_answer_in_the_hosts_place(
    backend: LocalBackend, upstreams: Upstreams, rule: str, reason: str
) -> None:
    """Nothing reaches the host, so it is blocked, whatever the client sees."""
    outcome = http(backend, rule).get("http://a.example.com")
    assert outcome.verdict is Verdict.BLOCKED
    assert outcome.reason == f"{reason}: nothing goes to the host"
    assert not upstreams["a.example.com"].requests
    (at,) = outcome.declared_by
    assert (
        f"edit      to allow it, put a route to a.example.com in place of the {{}} at {at}".format(
            "redirect" if "redirect" in rule else "directResponse"
        )
        in outcome.explain()
    )


def test_direct_response_is_blocked_even_with_status_200(backend: LocalBackend) -> None:
    """What counts is who answered."""
    outcome = http(backend, "{directResponse: {status: 200}}").get("http://a.example.com")
    assert (outcome.verdict, outcome.status) == (Verdict.BLOCKED, 200)


def test_no_rule_matches(backend: LocalBackend) -> None:
    """A VirtualService whose rules all ask for more refuses the rest."""
    pod = http(backend, "{match: [{uri: {prefix: /api}}], " + TO_A[1:])
    assert pod.get("http://a.example.com/api/x").reachable
    outcome = pod.get("http://a.example.com/other")
    assert outcome.verdict is Verdict.BLOCKED
    assert outcome.reason == "listener 0.0.0.0_80 has no route that matches"
    at = pod.contract.virtual_services[0].at("spec", "http")
    assert (
        f"nearest   {at} declares VirtualService shop/routes, none of whose rules matches "
        f"GET /other\nedit      to allow it, add a rule without match at the end of http at {at}"
    ) in outcome.explain()


@pytest.mark.parametrize(
    ("destination", "cluster", "edit"),
    [
        (
            "host: c.example.com",
            "outbound|80||c.example.com",
            "declare c.example.com: a ServiceEntry with that host and port 80, or lead to ",
        ),
        (
            "host: b.example.com, port: {number: 81}",
            "outbound|81||b.example.com",
            "name a port of b.example.com in the destination at ",
        ),
        (
            "host: b.example.com, subset: v2",
            "outbound|80|v2|b.example.com",
            "declare the subset v2 in a DestinationRule for b.example.com",
        ),
    ],
)
def test_destination_that_does_not_exist(
    backend: LocalBackend, destination: str, cluster: str, edit: str
) -> None:
    """Istiod programs it all the same: 503, and the verdict says why."""
    outcome = http(backend, f"{{route: [{{destination: {{{destination}}}}}]}}").get(
        "http://a.example.com"
    )
    assert outcome.verdict is Verdict.BLOCKED
    assert outcome.reason == (
        f"VirtualService shop/routes http[0] leads to {cluster}, a cluster that does not exist"
    )
    assert f"edit      to allow it, {edit}" in outcome.explain()


def test_split_names_the_destination_that_does_not_exist(backend: LocalBackend) -> None:
    """Of several missing ones the record tells the one that was chosen."""
    rule = """{route: [{destination: {host: c.example.com}, weight: 1},
        {destination: {host: d.example.com}, weight: 1}]}"""
    pod = http(backend, rule)
    outcomes = [pod.get("http://a.example.com") for _ in range(40)]
    assert {it.verdict for it in outcomes} == {Verdict.BLOCKED}
    chosen = {evidence(it).missing_cluster for it in outcomes}
    assert chosen == {"outbound|80||c.example.com", "outbound|80||d.example.com"}


def test_split_over_a_destination_that_exists_and_one_that_does_not(backend: LocalBackend) -> None:
    """Each call has the verdict of where it went."""
    rule = """{route: [{destination: {host: b.example.com}, weight: 1},
        {destination: {host: c.example.com}, weight: 1}]}"""
    pod = http(backend, rule)
    seen = {
        (it.verdict, evidence(it).cluster or evidence(it).missing_cluster)
        for it in (pod.get("http://a.example.com") for _ in range(40))
    }
    assert seen == {
        (Verdict.REACHABLE, "outbound|80||b.example.com"),
        (Verdict.BLOCKED, "outbound|80||c.example.com"),
    }


def test_names_of_istiods_own_routes_mean_nothing_in_a_rule(backend: LocalBackend) -> None:
    """A rule may be called ``block_all`` or ``allow_any``."""
    for name in ("block_all", "allow_any"):
        outcome = http(backend, f"{{name: {name}, {TO_A[1:]}").get("http://a.example.com")
        assert outcome.verdict is Verdict.REACHABLE


def test_fault(backend: LocalBackend, upstreams: Upstreams) -> None:
    """An injected abort is a failure behind the mesh; a delay is none."""
    pod = http(
        backend,
        "{fault: {abort: {httpStatus: 555, percentage: {value: 100}}}, " + TO_A[1:],
    )
    outcome = pod.get("http://a.example.com")
    assert (outcome.verdict, outcome.status) == (Verdict.UNREACHABLE, 555)
    assert outcome.reason == (
        "outbound|80||a.example.com lets it through, but a fault was injected: "
        "fault_filter_abort (VirtualService shop/routes http[0])"
    )
    assert f"edit      take the fault out at {outcome.declared_by[-1]}" in outcome.explain()
    assert not upstreams["a.example.com"].requests
    delayed = http(
        backend, "{fault: {delay: {fixedDelay: 1ms, percentage: {value: 100}}}, " + TO_A[1:]
    ).get("http://a.example.com")
    assert delayed.reachable
    assert "DI" in evidence(delayed).response_flags


def test_fault_before_a_destination_that_does_not_exist(backend: LocalBackend) -> None:
    """Without the fault it would be refused, so it is."""
    rule = """{fault: {abort: {httpStatus: 555, percentage: {value: 100}}},
        route: [{destination: {host: c.example.com}}]}"""
    outcome = http(backend, rule).get("http://a.example.com")
    assert outcome.verdict is Verdict.BLOCKED
    assert "outbound|80||c.example.com" in outcome.reason


def test_fault_before_an_answer_in_the_hosts_place(backend: LocalBackend) -> None:
    """A root's fault comes before its delegate's redirect: nothing could have reached the host."""
    text = documents(
        ENTRIES,
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: moved}\n"
        "spec: {http: [{redirect: {uri: /new}}]}\n",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: root}\n"
        "spec: {hosts: [a.example.com], http: [{delegate: {name: moved}, "
        "fault: {abort: {httpStatus: 503, percentage: {value: 100}}}}]}\n",
    )
    outcome = Egress(backend, loads(text)).get("http://a.example.com")
    assert outcome.verdict is Verdict.BLOCKED
    assert "answers 503 itself (redirect)" in outcome.reason


def test_timeout(backend: LocalBackend, upstreams: Upstreams) -> None:
    """The rule that gave up is named."""
    upstreams["a.example.com"].hang()
    outcome = http(backend, "{timeout: 50ms, " + TO_A[1:]).get("http://a.example.com")
    assert (outcome.verdict, outcome.status) == (Verdict.UNREACHABLE, 504)
    assert outcome.reason.endswith("(VirtualService shop/routes http[0])")
    assert f"edit      lengthen the timeout at {outcome.declared_by[-1]}" in outcome.explain()


def test_preflight(backend: LocalBackend, upstreams: Upstreams) -> None:
    """A CORS preflight that the rule's policy knows is answered by the proxy."""
    pod = http(backend, "{corsPolicy: {allowOrigins: [{exact: 'https://o.test'}]}, " + TO_A[1:])
    headers = {"origin": "https://o.test", "access-control-request-method": "GET"}
    outcome = pod.request("OPTIONS", "http://a.example.com", headers=headers)
    assert outcome.verdict is Verdict.BLOCKED
    assert outcome.reason == (
        "VirtualService shop/routes http[0] answers the CORS preflight itself: "
        "nothing goes to the host"
    )
    assert not upstreams["a.example.com"].requests
    assert pod.get("http://a.example.com", headers=headers).reachable


def test_rewritten_host_is_dialled_by_a_cluster_that_resolves(
    backend: LocalBackend, upstreams: Upstreams
) -> None:
    """DYNAMIC_DNS dials the Host header as the rule rewrites it, port included."""
    to = "route: [{destination: {host: '*.dynamic.test', port: {number: 80}}}]"
    for authority, host in (
        ("x.dynamic.test", "x.dynamic.test"),
        ("y.dynamic.test:80", "y.dynamic.test"),
    ):
        outcome = http(backend, f"{{rewrite: {{authority: '{authority}'}}, {to}}}").get(
            "http://a.example.com"
        )
        assert outcome.reachable
        (request,) = upstreams[host].requests
        assert request.headers.get("host") == authority
    split = """{route: [{destination: {host: '*.dynamic.test'}, weight: 1,
        headers: {request: {set: {host: z.dynamic.test}}}},
        {destination: {host: b.example.com}, weight: 0}]}"""
    assert http(backend, split).get("http://a.example.com").reachable
    assert upstreams["z.dynamic.test"].requests


def test_mirror(backend: LocalBackend, upstreams: Upstreams) -> None:
    """The copy goes to the other host; the verdict is about the original."""
    outcome = http(backend, "{mirror: {host: b.example.com}, " + TO_A[1:]).get(
        "http://a.example.com"
    )
    assert outcome.reachable
    assert evidence(outcome).cluster == "outbound|80||a.example.com"
    missing = http(backend, "{mirror: {host: c.example.com}, " + TO_A[1:])
    assert missing.get("http://a.example.com").reachable


def test_tls_rule(backend: LocalBackend) -> None:
    """The chain's rule is told, by the connection's record."""
    spec = """{hosts: [a.example.com], tls: [{match: [{sniHosts: [a.example.com]}],
        route: [{destination: {host: %s}}]}]}"""
    outcome = routed(backend, spec % "b.example.com").tls("a.example.com", verify=False)
    assert outcome.reachable
    assert evidence(outcome).cluster == "outbound|443||b.example.com"
    assert evidence(outcome).rule == "shop/routes tls[0]"
    outcome = routed(backend, spec % "c.example.com").tls("a.example.com", verify=False)
    assert outcome.verdict is Verdict.BLOCKED
    assert outcome.reason == (
        "VirtualService shop/routes tls[0] leads to outbound|443||c.example.com, "
        "a cluster that does not exist"
    )


def test_tcp_rule_that_splits(backend: LocalBackend) -> None:
    """Of several missing clusters nobody knows which was chosen: all are named."""
    spec = """{hosts: [a.example.com], tcp: [{route: [
        {destination: {host: %s}, weight: 1}, {destination: {host: d.example.com}, weight: 1}]}]}"""
    pod = routed(backend, spec % "b.example.com")
    seen = {pod.connect("tcp://a.example.com:5432").verdict for _ in range(40)}
    assert seen == {Verdict.REACHABLE, Verdict.BLOCKED}
    outcome = routed(backend, spec % "c.example.com").connect("tcp://a.example.com:5432")
    assert outcome.verdict is Verdict.BLOCKED
    assert evidence(outcome).missing_cluster == (
        "outbound|5432||c.example.com or outbound|5432||d.example.com"
    )


def test_delegate_is_named_with_its_root(backend: LocalBackend) -> None:
    """The rule stands in the delegate; the root is told as well."""
    delegate = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        "metadata: {name: orders, namespace: teams}\n"
        "spec: {http: [{directResponse: {status: 503}}]}\n"
    )
    root = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        "metadata: {name: root, namespace: shop}\n"
        "spec: {hosts: [a.example.com], http: [{delegate: {name: orders, namespace: teams}}]}\n"
    )
    pod = Egress(backend, loads(documents(ENTRIES, delegate, root), file="mesh.yaml"))
    outcome = pod.get("http://a.example.com")
    assert outcome.reason.startswith(
        "VirtualService teams/orders http[0] via shop/root http[0] answers 503 itself"
    )
    assert outcome.declared_by == (pod.contract.virtual_services[0].at("spec", "http", 0),)
