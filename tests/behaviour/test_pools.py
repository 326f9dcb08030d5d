"""Connection pools: what overflows, how long connections live, which protocol they speak."""

from __future__ import annotations

import time
from typing import Any

from .conftest import Pod
from .contracts import HOST, URL, host, policy


def test_requests_overflow(pod: Pod, promised: bool) -> None:
    """One request is under way, one waits; the others are refused at once."""
    pool = {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1}}
    egress = pod(host(), policy(promised, connectionPool=pool))
    upstream = egress.upstream(HOST).delay(2)
    outcomes = egress.get(URL, n=6, concurrency=6)
    assert (outcomes.flags["UO"] == 4) is promised, outcomes.explain()
    assert outcomes.statuses == ({200: 2, 503: 4} if promised else {200: 6})
    assert upstream.count == (2 if promised else 6)
    assert len(upstream.connections) == (1 if promised else 6)


def test_connections_overflow(pod: Pod, promised: bool) -> None:
    """A TCP connection too many is closed without a byte."""
    egress = pod(host(), policy(promised, connectionPool={"tcp": {"maxConnections": 2}}))
    upstream = egress.upstream(HOST).delay(2)
    outcomes = egress.connect(f"{HOST}:5432", n=5, concurrency=5)
    assert (outcomes.flags["UO"] == 3) is promised, outcomes.explain()
    assert len(upstream.connections) == (2 if promised else 5)


def test_concurrent_http2_requests_overflow(pod: Pod, promised: bool) -> None:
    """``http2MaxRequests`` limits what is under way, whatever the number of connections."""
    pool = {"http": {"http2MaxRequests": 2}}
    egress = pod(host(), policy(promised, connectionPool=pool))
    egress.upstream(HOST).delay(2)
    outcomes = egress.grpc(f"{HOST}:50051", n=5, concurrency=5)
    assert (outcomes.flags["UO"] == 3) is promised, outcomes.explain()


def test_requests_per_connection(pod: Pod, promised: bool) -> None:
    """Each connection serves so many requests; without a limit, one serves all."""
    pool = {"http": {"maxRequestsPerConnection": 2}}
    egress = pod(host(), policy(promised, connectionPool=pool))
    egress.get(URL, n=6)
    upstream = egress.upstream(HOST)
    assert upstream.count == 6
    assert len(upstream.connections) == (3 if promised else 1)
    assert len({request.client for request in upstream.requests}) == (3 if promised else 1)


def test_idle_connections_are_closed(pod: Pod, promised: bool) -> None:
    """A pooled connection that nobody uses is closed; the next request makes a new one."""
    pool = {"http": {"idleTimeout": "0.2s"}}
    egress = pod(host(), policy(promised, connectionPool=pool))
    upstream = egress.upstream(HOST)
    egress.get(URL)
    [connection] = upstream.connections
    deadline = time.monotonic() + (30 if promised else 1)
    while connection.open and time.monotonic() < deadline:
        time.sleep(0.05)
    assert connection.open is not promised
    egress.get(URL)
    assert len(upstream.connections) == (2 if promised else 1)


def test_idle_tcp_is_closed(pod: Pod, promised: bool) -> None:
    """A raw connection on which nothing moves ends; without the setting, the probe ends it."""
    pool = {"tcp": {"idleTimeout": "0.3s"}}
    egress = pod(host(), policy(promised, connectionPool=pool))
    outcome = egress.connect(f"{HOST}:5432", payload="hello", quiet=2)
    assert outcome.reachable
    assert outcome.timings.total >= 0.25
    assert (outcome.timings.total < 1.9) is promised


def test_lifetime_of_tcp(pod: Pod, promised: bool) -> None:
    """A raw connection ends when its time is up, although it is not idle long enough."""
    pool = {"tcp": {"maxConnectionDuration": "0.3s"}}
    egress = pod(host(), policy(promised, connectionPool=pool))
    outcome = egress.connect(f"{HOST}:5432", payload="hello", quiet=2)
    assert outcome.timings.total >= 0.25
    assert (outcome.timings.total < 1.9) is promised


def test_upgrade_to_http2(pod: Pod, promised: bool) -> None:
    """The client speaks HTTP/1.1, the upstream sees HTTP/2."""
    pool: dict[str, Any] = {"http": {"h2UpgradePolicy": "UPGRADE"}}
    egress = pod(host(), policy(promised, connectionPool=pool))
    outcome = egress.get(URL)
    assert outcome.reachable
    assert outcome.response is not None
    assert outcome.response.http_version == "1.1"
    [request] = outcome.requests
    assert request.http_version == ("HTTP/2" if promised else "HTTP/1.1")


def test_the_clients_own_protocol(pod: Pod, promised: bool) -> None:
    """``useClientProtocol`` passes HTTP/2 on; a port of protocol HTTP alone goes down to 1.1."""
    egress = pod(host(), policy(promised, connectionPool={"http": {"useClientProtocol": True}}))
    [request] = egress.get(URL, http_version="2").requests
    assert request.http_version == ("HTTP/2" if promised else "HTTP/1.1")


def test_connect_timeout(pod: Pod, promised: bool) -> None:
    """A host that never accepts is given up when the rule says so."""
    pool = {"tcp": {"connectTimeout": "0.3s"}}
    egress = pod(
        host(),
        policy(promised, connectionPool=pool),
        mesh="{connectTimeout: 2s, outboundTrafficPolicy: {}}",
    )
    egress.upstream(HOST).hang()
    outcome = egress.connect(f"{HOST}:5432")
    assert outcome.unreachable
    assert outcome.flags >= {"UF"}
    assert outcome.timings.total >= 0.25
    assert (outcome.timings.total < 1.9) is promised
