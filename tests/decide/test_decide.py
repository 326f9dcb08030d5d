"""What a call meets and why; that it agrees with istiod is tested in tests/conformance."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract import Workload, loads
from pytest_egress.decide import Call, Decider, Decision, decide
from pytest_egress.envoy import Program, compile_contract
from pytest_egress.errors import ProbeError
from pytest_egress.probe import Target
from tests.conformance.cases import compile_case, enforced
from tests.conformance.compare import EXPLAINED
from tests.observed import document, documents, entry

OUTSIDE = "203.0.113.5"
_BOTH = ["a.example", "b.example"]


def program(*texts: str) -> Program:
    """The program of some resources for a pod of the namespace default."""
    return compile_contract(loads(documents(*texts)), Workload())


def steps(decision: Decision) -> dict[str, tuple[str, str]]:
    """The choices by their kind: what, and why."""
    return {step.kind: (step.name, step.why) for step in decision.steps}


def virtual_service(**spec: Any) -> str:
    """A VirtualService for a.example."""
    return document("VirtualService", "vs", "default", {"hosts": ["a.example"], **spec})


A = entry("a", "a.example", {80: "HTTP"})


def test_every_choice_has_its_reason() -> None:
    """From the listener to the cluster, in order."""
    decision = decide(program(A), Call(80, "http", OUTSIDE, host="a.example"))
    assert decision.verdict == "allowed"
    assert [step.kind for step in decision.steps] == [
        "listener",
        "filter chain",
        "virtual host",
        "route",
        "cluster",
    ]
    told = steps(decision)
    assert told["listener"] == (
        "0.0.0.0_80",
        f"it takes port 80 of every address ({OUTSIDE}:80 has none of its own)",
    )
    assert told["virtual host"] == ("a.example:80", "the Host a.example is of its domains")
    assert told["route"] == ("default", "it is the first")
    assert told["cluster"][0] == "outbound|80||a.example"
    assert "looks the endpoints' names up itself" in told["cluster"][1]


def test_a_server_name_decides() -> None:
    """The chain of the name; else the default, with the names that there are."""
    two = program(
        entry("b", "b.example", {443: "TLS"}), entry("w", "*.w.example", {443: "TLS"}, "NONE")
    )
    good = decide(two, Call(443, "tls", OUTSIDE, sni="b.example"))
    assert good.cluster == "outbound|443||b.example"
    assert steps(good)["filter chain"][1] == "it is for the server name b.example"
    wild = decide(two, Call(443, "tls", OUTSIDE, sni="x.y.w.example"))
    assert wild.cluster == "outbound|443||*.w.example"
    bad = decide(two, Call(443, "tls", OUTSIDE, sni="c.example"))
    assert (bad.verdict, bad.cluster) == ("blocked", "BlackHoleCluster")
    told = steps(bad)["filter chain"]
    assert told[0] == "PassthroughFilterChain"
    assert "the server name is c.example, the other chains are for" in told[1]
    assert "b.example" in told[1]
    assert decide(two, Call(443, "tls", OUTSIDE)).verdict == "blocked"


def test_chains_that_match_alike() -> None:
    """Envoy refuses the listener that istiod makes of this: no chain is taken for the right one."""
    to_a = [{"destination": {"host": "a.example", "port": {"number": 443}}}]
    rules = [
        {"match": [{"sniHosts": _BOTH}], "route": to_a},
        {"match": [{"sniHosts": ["a.example"]}], "route": to_a},
    ]
    service = document("VirtualService", "vs", "default", {"hosts": _BOTH, "tls": rules})
    both = program(entry("a", "a.example", {443: "TLS"}), service)
    told = decide(both, Call(443, "tls", OUTSIDE, sni="a.example"))
    assert (told.verdict, told.listener, told.cluster) == ("error", "0.0.0.0_443", "")
    assert steps(told)["filter chain"][1].startswith("2 filter chains match it alike")


def test_an_address_of_its_own() -> None:
    """An entry with addresses has a listener for each."""
    one = program(entry("t", "t.example", {5432: "TCP"}, addresses=["240.0.0.9"]))
    assert decide(one, Call(5432, "tcp", "240.0.0.9")).listener == "240.0.0.9_5432"
    other = decide(one, Call(5432, "tcp", OUTSIDE))
    assert (other.verdict, other.listener) == ("blocked", "virtualOutbound")
    assert "no listener has" in steps(other)["listener"][1]


def test_routes_in_order() -> None:
    """Why earlier ones did not match is told; shares, redirects, answers and faults are too."""
    destination = {"destination": {"host": "a.example", "port": {"number": 80}}}
    fault = {"abort": {"httpStatus": 503, "percentage": {"value": 12.5}}}
    b = entry("b", "b.example", {80: "HTTP"})
    other = {"destination": {"host": "b.example", "port": {"number": 80}}}
    rules = [
        {"match": [{"uri": {"exact": "/old"}}], "redirect": {"uri": "/new"}},
        {"match": [{"uri": {"prefix": "/no"}}], "directResponse": {"status": 418}},
        {"match": [{"headers": {"x": {"exact": "1"}}}], "route": [destination], "fault": fault},
        {"route": [{**destination, "weight": 1}, {**other, "weight": 3}]},
    ]
    decider = Decider(program(A, b, virtual_service(http=rules)))

    def ask(path: str, **headers: str) -> Decision:
        return decider.decide(Call(80, "http", OUTSIDE, "a.example", path=path, headers=headers))

    assert ask("/old").verdict == "redirect"
    assert (ask("/now").verdict, ask("/now").direct_response) == ("direct_response", 418)
    assert ask("/", X="1").fault == "abort 503 for 12.5 %"
    assert str(ask("/", X="1").rule) == "default/vs http[2]"
    last = ask("/")
    assert last.all_clusters == ("outbound|80||a.example", "outbound|80||b.example")
    assert last.cluster == ""
    why = steps(last)["route"][1]
    assert why == (
        "the first that matches (path / is not exactly /old; path / is not below /no; "
        "header x is absent)"
    )
    assert "outbound|80||b.example 75%" in steps(last)["cluster"][1]


def test_no_route() -> None:
    """A virtual host whose routes all ask for something else."""
    rule = {
        "match": [{"uri": {"prefix": "/api"}}],
        "route": [{"destination": {"host": "a.example"}}],
    }
    decision = decide(
        program(A, virtual_service(http=[rule])), Call(80, "http", OUTSIDE, "a.example")
    )
    assert decision.verdict == "no_route"
    assert steps(decision)["route"] == ("", "none matches: path / is not below /api")


def test_a_cluster_that_does_not_exist() -> None:
    """A route to what nobody declares."""
    rule = {"route": [{"destination": {"host": "b.example"}}]}
    decision = decide(
        program(A, virtual_service(http=[rule])), Call(80, "http", OUTSIDE, "a.example")
    )
    assert decision.verdict == "no_cluster"
    assert steps(decision)["cluster"][1] == "there is no such cluster"


def test_tls_to_plain_http() -> None:
    """A handshake is no request: the chain for HTTP leaves it to the default."""
    decision = decide(program(A), Call(80, "tls", OUTSIDE, sni="a.example"))
    assert (decision.verdict, decision.cluster) == ("blocked", "BlackHoleCluster")
    assert steps(decision)["filter chain"] == (
        "PassthroughFilterChain",
        "the default: the first bytes are no HTTP request, which the other chains want",
    )


def test_grpc_is_http() -> None:
    """HTTP/2 without TLS is told from other bytes where the port has no protocol."""
    sniffed = program(entry("s", "s.example", {7000: ""}))
    call = Call.to(Target.parse("grpc://s.example:7000"), OUTSIDE)
    assert (call.http2, call.method, call.host) == (True, "POST", "s.example:7000")
    assert decide(sniffed, call).route_config
    assert not decide(sniffed, Call(7000, "tcp", OUTSIDE)).route_config


@pytest.mark.parametrize(
    ("regex", "path", "found"),
    [
        (r"/v[[:digit:]]+/.*", "/v12/x", True),
        (r"/v[[:digit:]]+/.*", "/vx/x", False),
        (r"/a\z", "/a", True),
        (r"/\Qa.b\E", "/a.b", True),
        (r"/\Qa.b\E", "/axb", False),
        (r"/(?<name>a)", "/a", True),
        (r"/\d", "/\u0663", False),
    ],
)
def test_regular_expressions_are_re2s(regex: str, path: str, found: bool) -> None:
    """What RE2 writes otherwise than Python means the same here."""
    rule = {
        "match": [{"uri": {"regex": regex}}],
        "route": [{"destination": {"host": "a.example"}}],
    }
    told = program(A, virtual_service(http=[rule]))
    verdict = decide(told, Call(80, "http", OUTSIDE, "a.example", path=path)).verdict
    assert verdict == ("allowed" if found else "no_route")


def test_what_only_envoy_can_match_is_said() -> None:
    """A regular expression of RE2 alone is no guess."""
    rule = {
        "match": [{"uri": {"regex": r"/\p{Greek}+"}}],
        "route": [{"destination": {"host": "a.example"}}],
    }
    told = program(A, virtual_service(http=[rule]))
    with pytest.raises(ProbeError, match="only Envoy knows"):
        decide(told, Call(80, "http", OUTSIDE, "a.example"))


def test_the_recorded_calls_are_those_of_the_real_probe() -> None:
    """What is decided is held to recorded answers, to which each call through Envoy is held too."""
    calls = sum(len(case["calls"]) for case in enforced("behaviour"))
    assert calls > 3000
    assert EXPLAINED == {}


@pytest.mark.parametrize("kind", ["behaviour", "generated", "structure"])
def test_a_decision_ends_with_what_it_says(kind: str) -> None:
    """The steps name what the fields do, whatever the contract."""
    for case in enforced(kind):
        decider = Decider(compile_case(case))
        for call in case["calls"]:
            decision = decider.decide(Call.from_json(call))
            told = steps(decision)
            assert told["listener"][0] == decision.listener
            assert told["filter chain"][0] == decision.filter_chain
            assert told.get("virtual host", ("",))[0] == decision.virtual_host
            assert told.get("cluster", ("",))[0] == decision.cluster
            assert all(step.why for step in decision.steps)
