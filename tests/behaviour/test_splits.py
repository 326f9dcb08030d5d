"""Which upstream a request goes to: weights, matches, mirrors."""

from __future__ import annotations

from typing import Any

from .conftest import Pod
from .contracts import HOST, URL, host, route

OTHER = "next.example.com"


def to(*weights: tuple[str, int]) -> list[dict[str, Any]]:
    """Destinations with their weights."""
    return [{"destination": {"host": name}, "weight": weight} for name, weight in weights]


def test_weights(pod: Pod, promised: bool) -> None:
    """A tenth goes to the other host, by the proxy's record and by who answered."""
    weights = to((HOST, 90), (OTHER, 10))
    egress = pod(host(), host(OTHER), route(to=weights if promised else HOST))
    outcomes = egress.get(URL, n=200, concurrency=4)
    assert outcomes.reachable
    expected = {HOST: 90, OTHER: 10}
    assert outcomes.share_by_upstream.agree_with(expected) is promised
    clusters = {f"outbound|80||{name}": weight for name, weight in expected.items()}
    assert outcomes.share_by_cluster.agree_with(clusters) is promised
    assert outcomes.share(upstream=OTHER).agrees_with(0.1) is promised
    assert outcomes.share(upstream=OTHER).count == egress.upstream(OTHER).count


def test_weight_of_nothing(pod: Pod, promised: bool) -> None:
    """A destination with weight 0 gets not one request."""
    egress = pod(host(), host(OTHER), route(to=to((HOST, 100), (OTHER, 0 if promised else 100))))
    outcomes = egress.get(URL, n=60)
    assert outcomes.share(upstream=OTHER).agrees_with(0) is promised
    assert (egress.upstream(OTHER).count == 0) is promised


def test_match(pod: Pod, promised: bool) -> None:
    """A header sends a request elsewhere."""
    match = [{"headers": {"x-canary": {"exact": "yes"}}}]
    egress = pod(
        host(), host(OTHER), route(promised, to=OTHER, base={"name": "canary"}, match=match)
    )
    assert egress.get(URL, headers={"x-canary": "yes"}).upstream.host == OTHER
    outcome = egress.get(URL)
    assert (outcome.status == 404) is promised
    assert (outcome.upstream.host == OTHER) is not promised


def test_mirror(pod: Pod, promised: bool) -> None:
    """Another host gets a copy; the answer is the first host's alone."""
    egress = pod(host(), host(OTHER), route(promised, mirror={"host": OTHER}))
    egress.upstream(OTHER).respond(500)
    egress.upstream(HOST).fail(503, times=1)
    outcome = egress.post(f"{URL}/orders", body="one")
    assert outcome.status == 503
    if promised:
        [copy] = egress.upstream(OTHER).wait_for_requests()
        assert (copy.method, copy.path, copy.body) == ("POST", "/orders", b"one")
        assert copy.host == HOST
        assert copy.id == outcome.requests[0].id
        assert len(outcome.requests) == 1, "the copy is the mirror's"
    assert egress.upstream(HOST).count == 1
    assert egress.get(URL).status == 200, "the mirrored copy has used up no failure"
    if not promised:
        assert egress.upstream(OTHER).count == 0
    egress.upstream(HOST).refuse()
    refused = egress.get(URL)
    if promised:
        egress.upstream(OTHER).wait_for_requests(3)
    assert refused.requests == ()


def test_mirror_of_some(pod: Pod, promised: bool) -> None:
    """A percentage of the requests is copied."""
    some = {"percentage": {"value": 30}} if promised else {}
    mirrors = [{"destination": {"host": OTHER}, **some}]
    egress = pod(host(), host(OTHER), route(mirrors=mirrors))
    outcomes = egress.get(URL, n=80)
    copied = egress.upstream(OTHER).wait_for_requests(10)
    if not promised:
        copied = egress.upstream(OTHER).wait_for_requests(80)
    # The last copy may still be under way; the first 70 are not.
    known = {request.id for request in copied}
    share = outcomes[:70].share(
        lambda it: it.evidence is not None and it.evidence.request_id in known
    )
    assert share.agrees_with(0.3) is promised
