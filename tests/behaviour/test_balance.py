"""Who gets a request: balance over endpoints, addresses and subsets; stickiness."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Pod
from .contracts import ENDPOINTS, HOST, URL, host, policy, route, rule, static

EVENLY = {f"{address}:80": 1 / 3 for address in ENDPOINTS}


def test_round_robin(pod: Pod, promised: bool) -> None:
    """Turn by turn is more even than chance, which is Istio's default (two choices)."""
    egress = pod(static(), policy(promised, loadBalancer={"simple": "ROUND_ROBIN"}))
    outcomes = egress.get(URL, n=90)
    assert outcomes.share_by_upstream.agree_with(EVENLY)
    turns = [outcome.upstream for outcome in outcomes]
    assert (turns[:87] == turns[3:]) is promised


def test_several_addresses_of_a_name(pod: Pod, promised: bool) -> None:
    """Every address that DNS gives gets its share, or (DNS_ROUND_ROBIN) only the first."""
    resolution = "DNS" if promised else "DNS_ROUND_ROBIN"
    egress = pod(host(resolution=resolution))
    egress.upstream(HOST).addresses(*ENDPOINTS)
    outcomes = egress.get(URL, n=90, concurrency=3)
    assert outcomes.reachable
    assert outcomes.share_by_upstream.agree_with(EVENLY) is promised
    assert egress.upstream(HOST).count == 90


@pytest.mark.parametrize("name", ["x-user", "X-User"])
def test_stickiness_by_header(pod: Pod, promised: bool, name: str) -> None:
    """The same value goes to the same endpoint, other values to others."""
    hashed = {"consistentHash": {"httpHeaderName": "x-user"}}
    egress = pod(static(), policy(promised, loadBalancer=hashed))
    users = [egress.get(URL, headers={name: f"user-{n}"}, n=8) for n in range(12)]
    stuck = [len(outcomes.share_by_upstream) == 1 for outcomes in users]
    assert all(stuck) is promised
    assert len({outcome.upstream for outcomes in users for outcome in outcomes}) > 1


def test_stickiness_by_cookie(pod: Pod, promised: bool) -> None:
    """The proxy hands out a cookie, and who sends it back stays where it was."""
    hashed = {"consistentHash": {"httpCookie": {"name": "session", "ttl": "60s"}}}
    egress = pod(static(), policy(promised, loadBalancer=hashed))
    first = egress.get(URL)
    cookie = first.headers.get("set-cookie") or ""
    assert cookie.startswith("session=") is promised
    outcomes = egress.get(URL, headers={"cookie": cookie.partition(";")[0] or "session=x"}, n=20)
    assert (outcomes.share(upstream=first.upstream).fraction == 1) is promised


def test_stickiness_by_query(pod: Pod, promised: bool) -> None:
    """A query parameter can be the key."""
    hashed = {"consistentHash": {"httpQueryParameterName": "tenant"}}
    egress = pod(static(), policy(promised, loadBalancer=hashed))
    tenants = [egress.get(f"{URL}/?tenant={n}", n=8) for n in range(8)]
    assert all(len(it.share_by_upstream) == 1 for it in tenants) is promised


def subsets(promised: bool) -> list[str]:
    """Two versions of a host, one endpoint each; without ``promised``, v2 is not told apart."""
    labels = [{"version": "v1"}, {"version": "v2"}]
    endpoints = [{"address": a, "labels": b} for a, b in zip(ENDPOINTS, labels, strict=False)]
    named = [
        {"name": "v1", "labels": {"version": "v1"}},
        {"name": "v2", "labels": {"version": "v2"} if promised else {}},
    ]
    return [static(*endpoints), rule(subsets=named)]


def to_subset(name: str, weight: int = 0) -> dict[str, Any]:
    """A destination in a subset."""
    weighted = {"weight": weight} if weight else {}
    return {"destination": {"host": HOST, "subset": name}, **weighted}


def test_subset(pod: Pod, promised: bool) -> None:
    """A subset has only the endpoints with its labels."""
    egress = pod(*subsets(promised), route(to=[to_subset("v2")]))
    outcomes = egress.get(URL, n=40)
    assert outcomes.share_by_subset == {"v2": 1.0}
    assert outcomes[0].declared
    assert str(outcomes[0].declared_by[0]) == "egress.yaml:8:5"
    assert (outcomes.share(upstream=ENDPOINTS[1]).fraction == 1) is promised


def test_weights_of_versions(pod: Pod, promised: bool) -> None:
    """One request in five goes to the new version, and to no other endpoint than its own."""
    weights = [to_subset("v1", 80), to_subset("v2", 20)]
    egress = pod(*subsets(promised=True), route(to=weights if promised else [to_subset("v1")]))
    outcomes = egress.get(URL, n=200, concurrency=4)
    assert outcomes.reachable
    assert outcomes.share_by_subset.agree_with({"v1": 80, "v2": 20}) is promised
    assert outcomes.share(subset="v2").agrees_with(0.2) is promised
    versions = (("v1", ENDPOINTS[0]), ("v2", ENDPOINTS[1]))
    for version, address in versions if promised else versions[:1]:
        share = outcomes.share(subset=version)
        assert outcomes.share(subset=version, upstream=address) == share


def test_endpoint_weights(pod: Pod, promised: bool) -> None:
    """Endpoints of one host can have weights of their own."""
    weights = [{"weight": 5}, {"weight": 1}] if promised else [{}, {}]
    endpoints = [{"address": a, **b} for a, b in zip(ENDPOINTS, weights, strict=False)]
    egress = pod(static(*endpoints), policy(base={"loadBalancer": {"simple": "ROUND_ROBIN"}}))
    outcomes = egress.get(URL, n=120)
    expected = {ENDPOINTS[0]: 5, ENDPOINTS[1]: 1}
    assert outcomes.share_by_upstream.agree_with(expected) is promised
