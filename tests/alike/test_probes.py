"""Probes: the same verdicts, with the same evidence, wherever the contract is enforced."""

from __future__ import annotations

import pytest

from pytest_egress.egress import Egress
from pytest_egress.evidence import BLACK_HOLE, PASSTHROUGH
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict


@pytest.mark.parametrize(
    ("url", "cluster"),
    [
        ("http://api.weather.com/v3", "outbound|80||api.weather.com"),
        ("https://api.weather.com/v3", "outbound|443||api.weather.com"),
        ("tls://api.weather.com", "outbound|443||api.weather.com"),
        ("tcp://api.weather.com:5432", "outbound|5432||api.weather.com"),
        ("grpc://api.weather.com:50051", "outbound|50051||api.weather.com"),
        ("http://static.weather.com", "outbound|80||static.weather.com"),
        ("https://any.wild.com", "outbound|443||*.wild.com"),
        ("http://any.wild.com", "outbound|80||*.wild.com"),
    ],
)
def test_declared_is_reachable(pod: Egress, url: str, cluster: str) -> None:
    """Through the declared cluster, and it is known where that is declared."""
    outcome = pod.probe(url)
    assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
    assert outcome.evidence is not None
    assert outcome.evidence.cluster == cluster
    assert [position.file for position in outcome.declared_by] == ["egress.yaml"]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "http://evil.example",
        "http://evil.example:9999",
        "tcp://evil.example:7777",
        "https://private.weather.com",
    ],
)
def test_undeclared_is_blocked(pod: Egress, url: str) -> None:
    """The proxy's own record says so, whether it answers 502 or resets."""
    outcome = pod.probe(url)
    assert outcome.verdict is Verdict.BLOCKED, outcome.explain()
    assert outcome.evidence is not None
    assert outcome.evidence.cluster in {"", BLACK_HOLE}


@pytest.mark.parametrize(
    "url",
    ["https://evil.example", "http://evil.example", "tcp://evil.example:7777"],
)
def test_open_mesh_passes_what_is_undeclared(pod: Egress, url: str) -> None:
    """It answers, and is not called reachable: nothing declares it."""
    outcome = pod.with_policy("ALLOW_ANY").probe(url)
    assert outcome.verdict is Verdict.UNDECLARED, outcome.explain()
    assert outcome.evidence is not None
    assert outcome.evidence.cluster == PASSTHROUGH


def test_address_in_an_open_mesh(pod: Egress) -> None:
    """An address that no name leads to is answered by what stands there."""
    outcome = pod.with_policy("ALLOW_ANY").connect("tcp://198.51.100.7:4711")
    assert outcome.verdict is Verdict.UNDECLARED, outcome.explain()
    assert outcome.evidence is not None
    assert outcome.evidence.destination == "198.51.100.7:4711"


@pytest.mark.parametrize("url", ["http://dead.weather.com", "https://dead.weather.com"])
def test_declared_but_dead(pod: Egress, upstreams: Upstreams, url: str) -> None:
    """The contract lets it through: it is neither blocked nor reachable."""
    upstreams["dead.weather.com"].refuse()
    outcome = pod.probe(url)
    assert outcome.verdict is Verdict.UNREACHABLE, outcome.explain()
    assert not outcome.blocked


def test_names(pod: Egress, upstreams: Upstreams) -> None:
    """The pod's names are those of the outside; a name that is gone is no verdict of the mesh."""
    upstreams["api.weather.com"].addresses("203.0.113.10")
    upstreams["gone.example"].nxdomain()
    assert pod.resolve("api.weather.com").addresses == ("203.0.113.10",)
    assert pod.resolve("api.weather.com", "AAAA").rcode == "NOERROR"
    outcome = pod.get("https://gone.example")
    assert outcome.verdict is Verdict.UNRESOLVED, outcome.explain()


def test_namespace_of_the_workload(pod: Egress) -> None:
    """What another namespace keeps to itself is reachable there alone."""
    there = pod.as_workload("other")
    assert there.get("https://private.weather.com").verdict is Verdict.REACHABLE


def test_scripts_and_what_has_arrived(pod: Egress, upstreams: Upstreams) -> None:
    """The outside is told what to do and says what it has seen."""
    upstream = upstreams["api.weather.com"].respond(418, body=b"short and stout")
    outcome = pod.get("http://api.weather.com/tea", headers={"x-cup": "1"})
    assert (outcome.status, outcome.body) == (418, b"short and stout")
    assert outcome.verdict is Verdict.REACHABLE
    assert [(it.method, it.path) for it in upstream.requests] == [("GET", "/tea")]


def test_scripts_end(pod: Egress, upstreams: Upstreams) -> None:
    """Nothing of an earlier test is left."""
    assert pod.get("http://api.weather.com").status == 200
    assert len(upstreams.requests) == 1


def test_many_at_once(pod: Egress) -> None:
    """Each outcome has the evidence of its own connection."""
    outcomes = pod.get("http://api.weather.com", n=40, concurrency=8)
    sources = {outcome.evidence.source for outcome in outcomes if outcome.evidence is not None}
    assert {outcome.verdict for outcome in outcomes} == {Verdict.REACHABLE}
    assert len(sources) == 40
