"""Timeouts that fire, and retries as the upstream counts them."""

from __future__ import annotations

import pytest

from .conftest import Pod
from .contracts import ENDPOINTS, HOST, URL, host, route, static


def test_timeout_fires(pod: Pod, promised: bool) -> None:
    """Envoy answers 504 when the route's timeout is over; without one it waits."""
    egress = pod(host(), route(promised, timeout="0.3s"))
    egress.upstream(HOST).delay(2)
    outcome = egress.get(URL)
    assert outcome.unreachable is promised, outcome.explain()
    assert ("UT" in outcome.flags) is promised
    assert (outcome.status == 504) is promised
    assert outcome.timings.total >= (0.25 if promised else 1.9)
    assert egress.upstream(HOST).count == outcome.attempts == 1


def test_failed_request_is_tried_again(pod: Pod, promised: bool) -> None:
    """Two failures are made good by two retries; the upstream sees three requests, one id."""
    egress = pod(host(), route(promised, retries={"attempts": 2, "retryOn": "5xx"}))
    upstream = egress.upstream(HOST).fail(503, times=2)
    outcome = egress.get(URL)
    assert outcome.status == (200 if promised else 503)
    assert outcome.attempts == upstream.count == (3 if promised else 1)
    assert [request.attempt for request in outcome.requests] == [1, 2, 3][: outcome.attempts]
    assert len({request.id for request in upstream.requests}) == 1


def test_retries_are_used_up(pod: Pod, promised: bool) -> None:
    """One more failure than there are retries is passed on, with a flag that says so."""
    egress = pod(host(), route(promised, retries={"attempts": 2, "retryOn": "gateway-error"}))
    upstream = egress.upstream(HOST).fail(502, times=5)
    outcome = egress.get(URL)
    assert outcome.status == 502
    assert ("URX" in outcome.flags) is promised
    assert upstream.count == outcome.attempts == (3 if promised else 1)


@pytest.mark.parametrize(("status", "listed"), [(429, True), (418, True), (503, False)])
def test_retry_on_status_codes(pod: Pod, promised: bool, status: int, *, listed: bool) -> None:
    """The listed codes are tried again, others are not."""
    egress = pod(host(), route(promised, retries={"attempts": 1, "retryOn": "429,418"}))
    retried = promised and listed
    upstream = egress.upstream(HOST).fail(status)
    outcome = egress.get(URL)
    assert outcome.status == (200 if retried else status)
    assert upstream.count == (2 if retried else 1)


def test_per_try_timeout(pod: Pod, promised: bool) -> None:
    """A slow attempt is given up and the next one answers; without it, the slow one does."""
    retries = {"attempts": 2, "retryOn": "5xx"} | ({"perTryTimeout": "0.3s"} if promised else {})
    egress = pod(host(), route(retries=retries))
    upstream = egress.upstream(HOST).delay(2, times=1)
    outcome = egress.get(URL)
    assert outcome.reachable
    assert outcome.attempts == upstream.count == (2 if promised else 1)
    assert outcome.timings.total >= (0.25 if promised else 1.9)


def test_reset_connections_are_tried_again(pod: Pod, promised: bool) -> None:
    """A connection that breaks before the answer counts as ``reset``."""
    egress = pod(host(), route(promised, retries={"attempts": 1, "retryOn": "reset"}))
    egress.upstream(HOST).reset(times=1)
    outcome = egress.get(URL)
    assert outcome.reachable is promised
    assert ("UC" in outcome.flags) is not promised
    assert egress.upstream(HOST).count == (2 if promised else 1)


def test_retries_can_be_switched_off(pod: Pod, promised: bool) -> None:
    """Without a word in the contract, Istio tries a failed connect twice more."""
    egress = pod(host(), route(promised, retries={"attempts": 0}))
    egress.upstream(HOST).refuse()
    outcome = egress.get(URL)
    assert outcome.unreachable
    assert outcome.attempts == (1 if promised else 3)


def test_default_retries_go_to_another_address(pod: Pod, promised: bool) -> None:
    """One address of three is down: nobody notices, unless retries are switched off."""
    egress = pod(static(), route(promised, retries={"attempts": 0}))
    egress.upstream(HOST).address(ENDPOINTS[0]).refuse()
    outcomes = egress.get(URL, n=30)
    assert outcomes.reachable is not promised
    down = outcomes.share(lambda outcome: "UF" in outcome.flags)
    assert down.agrees_with(1 / 3 if promised else 0)


def test_grpc_unavailable_is_tried_again(pod: Pod, promised: bool) -> None:
    """Istio's default covers gRPC's UNAVAILABLE; ``attempts: 0`` takes it away."""
    egress = pod(host(), route(promised, retries={"attempts": 0}))
    upstream = egress.upstream(HOST).grpc_status("UNAVAILABLE", times=1)
    outcome = egress.grpc(f"{HOST}:50051")
    assert outcome.response is not None
    assert outcome.response.grpc_status == (14 if promised else 0)
    assert upstream.count == (1 if promised else 2)
