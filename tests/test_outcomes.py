"""Many outcomes of one probe, on the real proxy: their counts, shares and words."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import InconclusiveError, ProbeError
from pytest_egress.outcome import Outcome
from pytest_egress.outcomes import Outcomes
from pytest_egress.probe import Attempt
from pytest_egress.shares import Share
from pytest_egress.verdict import Judgement, Observation, Verdict
from tests.observed import CONTRACT, documents, entry

ENDPOINTS = ("203.0.113.10", "203.0.113.11")


@pytest.fixture(scope="module")
def pod(backend: LocalBackend) -> Egress:
    """A pod with one host that has two endpoints."""
    addresses = [{"address": address} for address in ENDPOINTS]
    static = entry("two", "two.example", {80: "HTTP"}, "STATIC", endpoints=addresses)
    return Egress(backend, loads(documents(CONTRACT, static)))


@pytest.fixture(autouse=True)
def clean(backend: LocalBackend) -> None:
    """No scripts and no records of earlier tests."""
    backend.outside.reset()


def outcome_of(verdict: Verdict, reason: str = "because") -> Outcome:
    """An outcome with this verdict and nothing else."""
    attempt = Attempt("tcp://a:1", "tcp", completed=True)
    return Outcome("tcp://a:1", Judgement(verdict, reason), Observation(attempt))


def test_many_probes_of_one_url(pod: Egress) -> None:
    """Each is an outcome of its own, with its own nonce and record."""
    outcomes = pod.connect("api.weather.com:5432", n=5)
    assert (len(outcomes), outcomes.reachable) == (5, True)
    assert len({outcome.attempt.nonce for outcome in outcomes}) == 5
    assert len({outcome.evidence and outcome.evidence.source for outcome in outcomes}) == 5
    assert isinstance(outcomes[0], Outcome)
    assert [*outcomes[1:3]] == [outcomes[1], outcomes[2]]


def test_counts(pod: Egress) -> None:
    """Verdicts, statuses and flags are counted."""
    pod.upstream("two.example").fail(503, times=2)
    outcomes = pod.get("http://two.example", n=6)
    assert outcomes.verdicts == {Verdict.REACHABLE: 6}
    assert outcomes.statuses == {503: 2, 200: 4}
    assert outcomes.flags == Counter()
    blocked = pod.get("http://evil.example", n=2)
    assert (blocked.blocked, blocked.reachable, blocked.unreachable) == (True, False, False)
    pod.upstream("two.example").refuse()
    refused = pod.get("http://two.example", n=2)
    assert refused.flags == {"UF": 2, "URX": 2}
    assert refused.unreachable
    pod.close()


def test_balance_over_endpoints(pod: Egress) -> None:
    """Each endpoint gets its share; the upstream counts the same."""
    outcomes = pod.get("http://two.example", n=60, concurrency=4)
    shares = outcomes.share_by_upstream
    assert shares.agree_with(dict.fromkeys(ENDPOINTS, 1))
    assert not shares.agree_with({ENDPOINTS[0]: 1})
    assert shares["two.example"] == 1
    assert set(shares) == {f"{address}:80" for address in ENDPOINTS}
    assert shares.counts == {
        f"{address}:80": count
        for address, count in pod.upstream("two.example").count_by_address.items()
    }
    one = outcomes.share(upstream=ENDPOINTS[0])
    assert one.agrees_with(0.5)
    assert one == outcomes.share(upstream=f"{ENDPOINTS[0]}:80")
    assert outcomes.share(upstream="two.example", status=200) == Share(60, 60)
    assert outcomes.share_by_cluster == {"outbound|80||two.example": 1.0}
    assert outcomes.share_by_subset == {"": 1.0}
    assert outcomes.share(cluster="two.example", subset="") == Share(60, 60)
    assert outcomes.share(verdict=Verdict.BLOCKED) == Share(0, 60)
    assert outcomes.share(lambda outcome: outcome.attempts == 1) == Share(60, 60)


def test_an_address_that_is_down_gets_nothing(pod: Egress) -> None:
    """The proxy tries again elsewhere; the shares are those of the upstream that answered."""
    pod.upstream("two.example").address(ENDPOINTS[0]).refuse()
    outcomes = pod.get("http://two.example", n=20)
    assert outcomes.reachable
    assert outcomes.share_by_upstream == {f"{ENDPOINTS[1]}:80": 1.0}
    assert {outcome.attempts for outcome in outcomes} <= {1, 2, 3}
    assert any(outcome.attempts > 1 for outcome in outcomes)
    pod.close()


def test_concurrent_probes_do_not_mix(pod: Egress) -> None:
    """Each outcome has the record of its own connection and its own requests."""
    outcomes = pod.get("http://two.example/a", n=40, concurrency=8)
    for outcome in outcomes:
        (request,) = outcome.requests
        assert outcome.evidence is not None
        assert request.id == outcome.evidence.request_id
        assert outcome.json()["address"] == outcome.upstream.address == request.address


def test_inconclusive_among_them() -> None:
    """One without proof is enough to make every question about all of them unanswerable."""
    outcomes = Outcomes([outcome_of(Verdict.BLOCKED), outcome_of(Verdict.INCONCLUSIVE)])
    for name in ("reachable", "blocked", "unreachable"):
        with pytest.raises(InconclusiveError):
            getattr(outcomes, name)
    assert outcomes.verdicts[Verdict.INCONCLUSIVE] == 1


def test_words() -> None:
    """One line of counts, then one story of each kind."""
    kinds = (Verdict.REACHABLE, Verdict.REACHABLE, Verdict.BLOCKED)
    outcomes = Outcomes(outcome_of(verdict) for verdict in kinds)
    assert repr(outcomes) == "<3 outcomes of tcp://a:1: 2 REACHABLE, 1 BLOCKED>"
    assert str(outcomes).startswith(repr(outcomes))
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(outcomes)


def test_none_at_all() -> None:
    """An empty slice answers nothing: all of none would hold for every question."""
    nothing = Outcomes([])
    for question in (lambda: nothing.reachable, nothing.share):
        with pytest.raises(ValueError, match="no outcome"):
            question()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n: expected 1 or more, got 0"),
        ({"n": True}, "n: expected 1 or more, got True"),
        ({"n": 2, "concurrency": 0}, "concurrency: expected 1 or more, got 0"),
        ({"concurrency": 2}, "concurrency: expected n"),
        ({"n": 2, "headrs": {}}, "did you mean 'headers'"),
    ],
)
def test_bad_numbers(pod: Egress, options: dict[str, object], message: str) -> None:
    """A wrong number is told before anything is sent."""
    with pytest.raises(ProbeError, match=message):
        pod.get("http://two.example", **options)


def test_scripts_of_a_pod_end_with_it(backend: LocalBackend, pod: Egress) -> None:
    """What was told before holds again, also when a variation of the pod told it."""
    backend.outside.host("two.example").respond(418)
    mine = Egress(backend, pod.contract)
    mine.upstream("two.example").respond(201).fail(500, times=9)
    mine.with_policy("ALLOW_ANY").upstream("evil.example", 80).respond(202)
    assert mine.get("http://two.example").status == 500
    mine.close()
    assert pod.get("http://two.example").status == 418
    assert pod.with_policy("ALLOW_ANY").get("http://evil.example").status == 200


@pytest.mark.parametrize("scheme", ["http", "tls", "tcp"])
def test_the_very_first_probes_at_once(backend: LocalBackend, scheme: str) -> None:
    """No record is lost, however many are the first that a new proxy makes."""
    ports = {80: "HTTP", 443: "TLS", 5432: "TCP"}
    fresh = Egress(backend, loads(entry("fresh", f"{scheme}.fresh.example", ports)), timeout=30)
    port = {"http": 80, "tls": 443, "tcp": 5432}[scheme]
    outcomes = fresh.probe(f"{scheme}://{scheme}.fresh.example:{port}", n=24, concurrency=12)
    assert outcomes.reachable
