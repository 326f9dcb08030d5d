"""Circuits that open after errors and close again.

Envoy ejects a host on its main thread and gathers further changes for a second, so the tests ask
until it has happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pytest_egress.outcome import Outcome

from .conftest import Pod
from .contracts import ENDPOINTS, HOST, URL, host, policy, static

OUTLIERS = {
    "consecutive5xxErrors": 3,
    "interval": "0.1s",
    "baseEjectionTime": "60s",
    "maxEjectionPercent": 100,
}
ROUND_ROBIN = {"loadBalancer": {"simple": "ROUND_ROBIN"}}


def eventually(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether something comes to hold within so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def patience(*, promised: bool) -> float:
    """How long to wait for what is promised, or for what should not come."""
    return 30 if promised else 1.5


def test_circuit_opens_and_closes_again(pod: Pod, promised: bool) -> None:
    """After three errors nobody is asked any more; after the ejection time the host is."""
    detection = OUTLIERS | {"baseEjectionTime": "1s"}
    egress = pod(host(), policy(promised, outlierDetection=detection))
    upstream = egress.upstream(HOST).respond(503)
    started = time.monotonic()
    refused: list[Outcome] = []

    def opened() -> bool:
        refused[:] = [outcome for outcome in egress.get(URL, n=2) if "UH" in outcome.flags]
        return bool(refused)

    assert egress.get(URL, n=2).flags["UH"] == 0
    assert eventually(opened, patience(promised=promised)) is promised
    for outcome in refused:
        assert (outcome.status, outcome.unreachable, outcome.requests) == (503, True, ())
    assert upstream.count >= 3
    upstream.respond(200)
    assert eventually(lambda: egress.get(URL).reachable, 30)
    if promised:
        assert time.monotonic() - started >= 0.9


def test_one_address_is_ejected(pod: Pod, promised: bool) -> None:
    """Of three addresses the one that fails gets no more; the others share what there is."""
    egress = pod(static(), policy(promised, base=ROUND_ROBIN, outlierDetection=OUTLIERS))
    bad = egress.upstream(HOST).address(ENDPOINTS[0]).respond(500)
    left = f"{ENDPOINTS[1]}:80", f"{ENDPOINTS[2]}:80"

    def ejected() -> bool:
        return egress.get(URL, n=6).statuses[500] == 0

    assert eventually(ejected, patience(promised=promised)) is promised
    assert bad.count >= 3
    outcomes = egress.get(URL, n=30)
    assert (outcomes.share_by_upstream == dict.fromkeys(left, 0.5)) is promised
    assert outcomes.share(status=500).agrees_with(0) is promised


def test_ejection_has_a_limit(pod: Pod, promised: bool) -> None:
    """``maxEjectionPercent`` says how many may go: of two one; none of them when it is absent."""
    detection = {key: value for key, value in OUTLIERS.items() if key != "maxEjectionPercent"}
    detection |= {"maxEjectionPercent": 50} if promised else {}
    endpoints = ENDPOINTS[:2]
    egress = pod(static(*endpoints), policy(base=ROUND_ROBIN, outlierDetection=detection))
    egress.upstream(HOST).respond(500)

    def one_ejected() -> bool:
        return len(egress.get(URL, n=4).share_by_upstream) == 1

    assert eventually(one_ejected, patience(promised=promised)) is promised
    outcomes = egress.get(URL, n=20)
    assert outcomes.flags["UH"] == 0, "the other one stays"
    assert len(outcomes.share_by_upstream) == (1 if promised else 2)


def test_gateway_errors_count_apart(pod: Pod, promised: bool) -> None:
    """``consecutiveGatewayErrors`` counts 502, 503 and 504 where other errors are no matter."""
    detection = OUTLIERS | {"consecutive5xxErrors": 0}
    detection |= {"consecutiveGatewayErrors": 2} if promised else {}
    egress = pod(host(), policy(outlierDetection=detection))
    upstream = egress.upstream(HOST).respond(500)

    def opened() -> bool:
        return "UH" in egress.get(URL).flags

    assert not eventually(opened, patience(promised=False))
    upstream.respond(502)
    assert eventually(opened, patience(promised=promised)) is promised


def test_connections_that_fail_open_the_circuit_for_tcp(pod: Pod, promised: bool) -> None:
    """On a TCP port, refused connections are what counts."""
    egress = pod(host(), policy(promised, outlierDetection=OUTLIERS))
    upstream = egress.upstream(HOST).refuse()

    def opened() -> bool:
        return "UH" in egress.connect(f"{HOST}:5432").flags

    assert egress.connect(f"{HOST}:5432").flags == {"UF", "URX"}
    assert eventually(opened, patience(promised=promised)) is promised
    upstream.clear()
    assert egress.connect(f"{HOST}:5432").reachable is not promised
