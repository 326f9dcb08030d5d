"""Faults that are injected, and answers that are given in the upstream's place."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Pod
from .contracts import HOST, URL, host, route


def test_abort(pod: Pod, promised: bool) -> None:
    """The upstream never hears of an aborted request."""
    fault = {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}
    egress = pod(host(), route(promised, fault=fault))
    outcome = egress.get(URL)
    assert outcome.status == (418 if promised else 200)
    assert ("FI" in outcome.flags) is promised
    assert outcome.reachable is not promised
    assert egress.upstream(HOST).count == (0 if promised else 1)


def test_abort_of_some(pod: Pod, promised: bool) -> None:
    """A percentage is a share within a stated confidence."""
    fault = {"abort": {"httpStatus": 503, "percentage": {"value": 40}}}
    outcomes = pod(host(), route(promised, fault=fault)).get(URL, n=80, concurrency=4)
    assert outcomes.share(status=503).agrees_with(0.4) is promised
    assert outcomes.flags["FI"] == outcomes.statuses[503]


def test_delay(pod: Pod, promised: bool) -> None:
    """An injected delay comes on top, and the request arrives all the same."""
    fault = {"delay": {"fixedDelay": "0.5s", "percentage": {"value": 100}}}
    egress = pod(host(), route(promised, fault=fault))
    outcome = egress.get(URL)
    assert outcome.reachable, outcome.explain()
    assert ("DI" in outcome.flags) is promised
    if promised:
        assert outcome.timings.total >= 0.45
    assert egress.upstream(HOST).count == 1


def test_grpc_abort(pod: Pod, promised: bool) -> None:
    """GRPC's own status is injected."""
    fault = {"abort": {"grpcStatus": "RESOURCE_EXHAUSTED", "percentage": {"value": 100}}}
    egress = pod(host(), route(promised, fault=fault))
    outcome = egress.grpc(f"{HOST}:50051")
    assert outcome.response is not None
    assert outcome.response.grpc_status == (8 if promised else 0)


@pytest.mark.parametrize(
    ("redirect", "status", "location"),
    [
        ({"uri": "/v2"}, 301, "http://api.example.com/v2"),
        ({"authority": "new.example.com", "redirectCode": 308}, 308, "http://new.example.com/v1"),
        ({"scheme": "https"}, 301, "https://api.example.com/v1"),
    ],
)
def test_redirect(
    pod: Pod, promised: bool, redirect: dict[str, Any], status: int, location: str
) -> None:
    """The proxy answers itself, and nothing reaches the host."""
    egress = pod(host(), route(to=None, redirect=redirect) if promised else route())
    outcome = egress.get(f"{URL}/v1")
    told = (outcome.status, outcome.headers.get("location"))
    assert told == ((status, location) if promised else (200, None))
    assert outcome.blocked is promised, outcome.explain()
    assert egress.upstream(HOST).count == outcome.attempts == (0 if promised else 1)


def test_direct_response(pod: Pod, promised: bool) -> None:
    """Status and body are the contract's."""
    answer = {"directResponse": {"status": 451, "body": {"string": "not from here"}}}
    egress = pod(host(), route(to=None, base=answer) if promised else route())
    outcome = egress.get(URL)
    assert outcome.status == (451 if promised else 200)
    assert (outcome.text == "not from here") is promised
    assert outcome.blocked is promised, outcome.explain()
    assert egress.upstream(HOST).count == (0 if promised else 1)
