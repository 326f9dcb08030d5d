"""Places: where traffic goes while all is well, and where it goes when a place fails."""

from __future__ import annotations

from typing import Any

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams
from tests.observed import destination_rule, documents, entry

HOST = "places.example.com"
NEAR, FAR = "203.0.113.81", "203.0.113.82"
HERE = {"topology.kubernetes.io/region": "r1", "topology.kubernetes.io/zone": "z1"}
EJECTS = {
    "consecutiveGatewayErrors": 1,
    "consecutive5xxErrors": 1,
    "interval": "0.1s",
    "baseEjectionTime": "60s",
    "maxEjectionPercent": 100,
}


def pod(backend: LocalBackend, **policy: Any) -> Egress:
    """A workload in ``r1/z1`` that calls a host with an endpoint there and one in ``r2``."""
    endpoints = [
        {"address": NEAR, "locality": "r1/z1"},
        {"address": FAR, "locality": "r2/z2"},
    ]
    text = documents(
        entry("places", HOST, {80: "HTTP"}, "STATIC", endpoints=endpoints),
        destination_rule("places", HOST, trafficPolicy=policy),
    )
    return Egress(backend, loads(text, file="egress.yaml"), Workload(labels=HERE))


def reached(egress: Egress, count: int) -> dict[str, int]:
    """How many of so many requests each endpoint answered."""
    outcomes = egress.get(f"http://{HOST}", n=count)
    found = [str(it.upstream).partition(":")[0] for it in outcomes]
    return {address: found.count(address) for address in (NEAR, FAR)}


def test_the_nearest_place_takes_all(backend: LocalBackend, upstreams: Upstreams) -> None:
    """With outlier detection traffic stays where the workload is; without it, it does not."""
    assert reached(pod(backend, outlierDetection=EJECTS), 20) == {NEAR: 20, FAR: 0}
    assert reached(pod(backend, loadBalancer={"simple": "ROUND_ROBIN"}), 20) == {NEAR: 10, FAR: 10}


def test_a_place_that_fails_is_left(backend: LocalBackend, upstreams: Upstreams) -> None:
    """When the near endpoint has been ejected, the far one takes over."""
    egress = pod(backend, outlierDetection=EJECTS)
    upstreams[NEAR].respond(503)
    first = egress.get(f"http://{HOST}")
    assert first.status == 503
    assert str(first.upstream).startswith(NEAR)
    assert reached(egress, 10) == {NEAR: 0, FAR: 10}


def test_distribution(backend: LocalBackend, upstreams: Upstreams) -> None:
    """Weights by place; a place without weight gets nothing."""
    setting = {"distribute": [{"from": "r1/*", "to": {"r2/*": 100}}]}
    balance = {"loadBalancer": {"simple": "ROUND_ROBIN", "localityLbSetting": setting}}
    assert reached(pod(backend, **balance), 10) == {NEAR: 0, FAR: 10}
