"""What a test reads from an outcome: strict booleans, short text, values that can travel."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.contract.position import Position, Problem
from pytest_egress.egress import Egress
from pytest_egress.errors import (
    BackendError,
    ContractError,
    EgressError,
    InconclusiveError,
    ProbeError,
)
from pytest_egress.evidence import Evidence, UpstreamProof
from pytest_egress.flags import MEANINGS, NAMES, Flags
from pytest_egress.outcome import Outcome, Resolution
from pytest_egress.particulars import Timings
from pytest_egress.probe import Attempt, DnsAnswer, Headers, Response
from pytest_egress.verdict import Judgement, Observation, Verdict
from tests.observed import CONTRACT

BOOLEANS = ("reachable", "blocked", "unreachable", "declared", "resolved")
PLACE = Position("egress.yaml", 8, 5)


def outcome_of(
    verdict: Verdict, reason: str = "because", *, cluster: str = "", route: str = "default"
) -> Outcome:
    """An outcome with this verdict, declared if a cluster took it."""
    response = Response(200, headers=Headers([("X-Kind", "a")]), body=b'{"a": "\xc3\xa9"}')
    attempt = Attempt("http://api.weather.com/", "http", completed=True, response=response)
    record = Evidence("http", "s", "d", "l", cluster=cluster, route=route) if cluster else None
    return Outcome(
        "http://api.weather.com/",
        Judgement(verdict, reason),
        Observation(attempt, record),
        (PLACE,) if cluster else (),
        partial(str, "the whole story"),
    )


@pytest.mark.parametrize(
    ("verdict", "holds"),
    [
        (Verdict.REACHABLE, {"reachable", "declared", "resolved"}),
        (Verdict.UNREACHABLE, {"unreachable", "declared", "resolved"}),
        (Verdict.BLOCKED, {"blocked", "resolved"}),
        (Verdict.UNDECLARED, {"resolved"}),
        (Verdict.UNRESOLVED, set()),
    ],
)
def test_booleans(verdict: Verdict, holds: set[str]) -> None:
    """Each proven verdict makes exactly its own statements true, and each is a real bool."""
    outcome = outcome_of(verdict, cluster="outbound|80||api.weather.com")
    said = {name: getattr(outcome, name) for name in BOOLEANS}
    assert all(type(value) is bool for value in said.values())
    assert {name for name, value in said.items() if value} == holds


@pytest.mark.parametrize("name", BOOLEANS)
def test_inconclusive_answers_no_question(name: str) -> None:
    """Without proof there is no True and no False, and the error tells the whole story."""
    outcome = outcome_of(Verdict.INCONCLUSIVE)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    with pytest.raises(InconclusiveError, match="no proof either way\nthe whole story"):
        getattr(outcome, name)


def test_declared_needs_more_than_a_declared_cluster() -> None:
    """What an egress proxy took on its catch-all route is not declared."""
    outcome = outcome_of(Verdict.UNREACHABLE, cluster="outbound|80||proxy", route="allow_any")
    assert not outcome.declared


@pytest.mark.parametrize(
    "value", [outcome_of(Verdict.REACHABLE), Resolution("a", DnsAnswer("a", "NOERROR"))]
)
def test_an_outcome_is_no_condition(value: object) -> None:
    """``assert egress.get(...)`` would always hold, so it is refused."""
    with pytest.raises(TypeError, match=r"neither true nor false: read \.re"):
        bool(value)


def test_parts_of_the_answer() -> None:
    """Status, headers in any case, body as text and JSON; empty where there was no response."""
    outcome = outcome_of(Verdict.REACHABLE)
    assert (outcome.status, outcome.headers.get("x-kind")) == (200, "a")
    assert (outcome.text, outcome.json()) == ('{"a": "é"}', {"a": "é"})
    assert (outcome.upstream, outcome.addresses, outcome.tls) == ("", (), None)
    raw = Attempt("tcp://a:1", "tcp", completed=True, received=b"\xff")
    proof = UpstreamProof(address="203.0.113.1", port=1)
    bytes_only = Outcome("tcp://a:1", outcome.judgement, Observation(raw, accepted=proof))
    assert (bytes_only.status, bytes_only.headers, bytes_only.text) == (None, (), "\ufffd")
    assert bytes_only.upstream == "203.0.113.1:1"
    assert (bytes_only.upstream.address, bytes_only.upstream.port) == ("203.0.113.1", 1)
    assert (bytes_only.attempts, bytes_only.requests, bytes_only.cluster) == (0, (), "")
    assert bytes_only.flags == set()
    assert bytes_only.timings.proxy is None
    assert bytes_only.explain() == ""


@pytest.mark.parametrize(
    ("cluster", "subset"),
    [("outbound|80|v2|api.weather.com", "v2"), ("outbound|80||a", ""), ("PassthroughCluster", "")],
)
def test_cluster_and_subset(cluster: str, subset: str) -> None:
    """The subset stands in the cluster's name."""
    outcome = outcome_of(Verdict.REACHABLE, cluster=cluster)
    assert (outcome.cluster, outcome.subset) == (cluster, subset)


def test_upstream_of_a_live_run_is_what_the_proxy_dialled() -> None:
    """There is no simulated outside to ask then."""
    for dialled, text in (("[2001:db8::1]:443", "[2001:db8::1]:443"), ("", ""), ("/run/a", "")):
        evidence = Evidence("http", "s", "d", "l", upstream_host=dialled)
        attempt = Attempt("http://a/", "http", completed=True)
        observation = Observation(attempt, evidence, live=True)
        outcome = Outcome("http://a/", Judgement(Verdict.REACHABLE, "because"), observation)
        assert outcome.upstream == text
        assert outcome.upstream.address == ("2001:db8::1" if text else "")


def test_timings() -> None:
    """Stages by name, their sum, and the proxy's own."""
    timings = Timings({"dns": 0.5, "tcp": 0.25, "http": 1.0}, proxy=0.9, upstream=0.8)
    assert (timings.dns, timings.tcp, timings.http, timings.tls) == (0.5, 0.25, 1.0, None)
    assert (timings.total, timings.grpc) == (1.75, None)


def test_flags_are_readable() -> None:
    """By their short and long names, and in words."""
    flags = Flags({"UT", "URX"})
    assert flags == {"URX", "UT"}
    assert "UT" in flags
    assert "UpstreamRequestTimeout" in flags
    assert "UF" not in flags
    assert str(flags) == (
        "URX (the retries were used up), UT (the upstream did not answer in time)"
    )
    assert str(Flags({"RLSE", "NEW"})) == "NEW (unknown), RLSE (RateLimitServiceError)"
    assert repr(flags) == "Flags(['URX', 'UT'])"
    assert set(MEANINGS) <= set(NAMES)


def test_text() -> None:
    """The repr is one line for an assertion, the str is the whole story."""
    outcome = outcome_of(Verdict.REACHABLE, cluster="outbound|80||api.weather.com")
    assert repr(outcome) == "<REACHABLE http://api.weather.com/ egress.yaml:8:5: because>"
    assert str(outcome) == outcome.explain() == "the whole story"


def test_repr_is_never_cut_by_pytest() -> None:
    """Beyond 240 characters pytest would cut the middle out; the end is cut here instead."""
    outcome = outcome_of(Verdict.UNREACHABLE, "long " * 99, cluster="outbound|80||x")
    assert len(repr(outcome)) == 240
    assert repr(outcome).startswith("<UNREACHABLE http://api.weather.com/ egress.yaml:8:5: long ")
    assert repr(outcome).endswith("...>")


@pytest.mark.parametrize(
    "url",
    [
        "http://api.weather.com/v3/forecast?geocode=52.52,13.40",
        "https://api.weather.com",
        "https://evil.example.com",
        "http://evil.example.com:8080/index.html",
        "tcp://db.production.example.com:5432",
        "http://empty.weather.com",
        "tcp://none.weather.com:9090",
    ],
)
def test_usual_reprs_are_whole(backend: LocalBackend, url: str) -> None:
    """For usual targets every word fits."""
    contract = loads(CONTRACT, file="deploy/istio/egress/weather.yaml")
    outcome = Egress(backend, contract).probe(url)
    assert len(repr(outcome)) < 240
    assert repr(outcome).endswith(f"{outcome.reason}>")


def _pickled(value: object) -> object:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("travel", [_pickled, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("url", ["http://api.weather.com", "https://evil.example"])
def test_outcomes_travel(
    backend: LocalBackend, url: str, travel: Callable[[object], object]
) -> None:
    """An outcome can be copied and sent to another process, explanation and all."""
    outcome = Egress(backend, loads(CONTRACT)).probe(url)
    arrived = travel(outcome)
    assert isinstance(arrived, Outcome)
    assert arrived == outcome
    assert arrived.explain() == outcome.explain()
    assert _pickled(arrived) == outcome


@pytest.mark.parametrize(
    "error",
    [
        BackendError("tried", "output", "next"),
        ContractError([Problem("error", "no hosts", PLACE, "service-entry/hosts")]),
        InconclusiveError("no proof"),
        ProbeError("no such option"),
    ],
)
@pytest.mark.parametrize("travel", [_pickled, copy.copy, copy.deepcopy])
def test_errors_travel(error: EgressError, travel: Callable[[object], object]) -> None:
    """pytest-xdist sends errors between processes: text and attributes arrive."""
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_resolution() -> None:
    """Addresses and rcode of a lookup; nothing of it when the name server does not work."""
    answer = DnsAnswer("a.example", "NOERROR", ("203.0.113.1",))
    found = Resolution("a.example", answer)
    assert (found.resolved, found.addresses, found.rcode) == (True, ("203.0.113.1",), "NOERROR")
    assert not Resolution("a.example", DnsAnswer("a.example", "NXDOMAIN")).resolved
    silent = Resolution("a.example", DnsAnswer("a.example", "TIMEOUT"), "it does not answer")
    for name in ("resolved", "addresses", "rcode"):
        with pytest.raises(InconclusiveError, match="proves nothing: it does not answer"):
            getattr(silent, name)
