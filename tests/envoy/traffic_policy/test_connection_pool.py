"""``connectionPool`` and ``retryBudget``."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import (
    ConnectionPool,
    HttpPool,
    KeepAlive,
    RetryBudget,
    TcpKeepalive,
    TcpPool,
    TrafficPolicy,
)
from pytest_egress.contract.resources import MeshConfig
from tests.envoy.build import by_name, compiled, entry
from tests.envoy.traffic_policy.shaped import HOST, options_of, shaped

SECOND = 1_000_000_000
NO_LIMIT = 2**32 - 1
UNLIMITED = {
    "max_connections": NO_LIMIT,
    "max_pending_requests": NO_LIMIT,
    "max_requests": NO_LIMIT,
    "max_retries": NO_LIMIT,
}
HTTP1: dict[str, Any] = {"explicit_http_config": {"http_protocol_options": {}}}
HTTP2: dict[str, Any] = {"explicit_http_config": {"http2_protocol_options": {}}}
AS_CLIENT: dict[str, Any] = {
    "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}
}


def pool(tcp: TcpPool | None = None, http: HttpPool | None = None) -> ConnectionPool:
    """A connection pool of these halves."""
    return ConnectionPool(tcp, http)


def limits(cluster: dict[str, Any]) -> dict[str, Any]:
    """The one threshold of a cluster."""
    (threshold,) = cluster["circuit_breakers"]["thresholds"]
    return dict(threshold)


def test_limits() -> None:
    """Each limit has its place; what is zero has none."""
    http = HttpPool(http1_max_pending_requests=2, http2_max_requests=3, max_retries=4)
    limited = shaped(connection_pool=pool(TcpPool(max_connections=1), http))
    assert limits(limited) == {
        "max_connections": 1,
        "max_pending_requests": 2,
        "max_requests": 3,
        "max_retries": 4,
    }
    assert limits(shaped(connection_pool=pool(TcpPool()))) == UNLIMITED
    assert options_of(limited) == {}


def test_connect_timeout() -> None:
    """The rule's, else the mesh's."""
    mesh = MeshConfig(connect_timeout=3 * SECOND)
    timeout = pool(TcpPool(connect_timeout=SECOND // 4))
    assert shaped(mesh=mesh, connection_pool=timeout)["connect_timeout"] == "0.250s"
    assert shaped(mesh=mesh, connection_pool=pool(TcpPool()))["connect_timeout"] == "3s"
    assert compiled(entry(HOST, "80/HTTP")).clusters[0]["connect_timeout"] == "10s"


def test_keepalive() -> None:
    """The mesh's keepalive, attribute by attribute overridden by the rule's, in whole seconds."""
    mesh = MeshConfig(tcp_keepalive=TcpKeepalive(probes=3, time=90 * SECOND))
    own = TcpPool(tcp_keepalive=TcpKeepalive(time=SECOND * 3 // 2, interval=5 * SECOND))
    expected = {"keepalive_probes": 3, "keepalive_time": 1, "keepalive_interval": 5}
    found = shaped(mesh=mesh, connection_pool=pool(own))
    assert found["upstream_connection_options"] == {"tcp_keepalive": expected}
    plain = compiled(entry(HOST, "80/HTTP"), mesh=mesh)
    for name in (f"outbound|80||{HOST}", "PassthroughCluster"):
        options = by_name(plain.clusters, name)["upstream_connection_options"]
        assert options == {"tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 90}}
    empty = shaped(connection_pool=pool(TcpPool(tcp_keepalive=TcpKeepalive())))
    assert empty["upstream_connection_options"] == {"tcp_keepalive": {}}
    assert "upstream_connection_options" not in shaped(connection_pool=pool(TcpPool()))


@pytest.mark.parametrize(
    ("tcp", "http", "common"),
    [
        (TcpPool(idle_timeout=SECOND), None, {"idle_timeout": "1s"}),
        (
            TcpPool(idle_timeout=SECOND),
            HttpPool(idle_timeout=2 * SECOND),
            {"idle_timeout": "2s"},
        ),
        (TcpPool(max_connection_duration=SECOND), None, {"max_connection_duration": "1s"}),
        (None, HttpPool(max_requests_per_connection=1), {"max_requests_per_connection": 1}),
        (None, HttpPool(max_concurrent_streams=1), {}),
    ],
)
def test_http_options(tcp: TcpPool | None, http: HttpPool | None, common: dict[str, Any]) -> None:
    """Times and counts of HTTP connections; those of HTTP/2 alone do nothing to HTTP/1.1."""
    found = shaped(connection_pool=pool(tcp, http))
    assert options_of(found) == {"common_http_protocol_options": common, **HTTP1}


def test_http2_options() -> None:
    """Streams and keepalive of a cluster that speaks HTTP/2."""
    http = HttpPool(max_concurrent_streams=7, http2_keep_alive=KeepAlive(SECOND, SECOND // 2))
    found = options_of(shaped(ports="80/GRPC", connection_pool=pool(http=http)))
    assert found["explicit_http_config"]["http2_protocol_options"] == {
        "max_concurrent_streams": 7,
        "connection_keepalive": {"interval": "1s", "timeout": "0.500s"},
    }


@pytest.mark.parametrize(
    ("ports", "http", "mesh", "expected"),
    [
        ("80/HTTP", HttpPool(h2_upgrade_policy="UPGRADE"), False, HTTP2),
        ("80/TCP", HttpPool(h2_upgrade_policy="UPGRADE"), False, HTTP2),
        ("80/", HttpPool(h2_upgrade_policy="UPGRADE"), False, AS_CLIENT),
        ("80/HTTP", HttpPool(h2_upgrade_policy="DO_NOT_UPGRADE"), True, {}),
        ("80/HTTP", HttpPool(), True, HTTP2),
        ("80/HTTP", None, True, HTTP2),
        ("80/TCP", None, True, {}),
        ("80/", HttpPool(), True, AS_CLIENT),
        ("80/HTTP", HttpPool(use_client_protocol=True), True, AS_CLIENT),
        ("80/GRPC", HttpPool(use_client_protocol=True), False, AS_CLIENT),
        ("80/GRPC", HttpPool(h2_upgrade_policy="DO_NOT_UPGRADE"), False, HTTP2),
    ],
)
def test_http_version(
    ports: str, http: HttpPool | None, mesh: bool, expected: dict[str, Any]
) -> None:
    """A rule upgrades any port, the mesh those of plain HTTP; the client's own version wins."""
    config = MeshConfig(h2_upgrade_policy="UPGRADE" if mesh else "DO_NOT_UPGRADE")
    found = shaped(ports=ports, mesh=config, connection_pool=pool(http=http))
    assert options_of(found) == expected


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (RetryBudget(), {"budget_percent": {"value": 20.0}, "min_retry_concurrency": 3}),
        (RetryBudget(percent=0), {"budget_percent": {}, "min_retry_concurrency": 3}),
        (
            RetryBudget(12.5, 5, SECOND),
            {
                "budget_percent": {"value": 12.5},
                "min_retry_concurrency": 5,
                "budget_interval": "1s",
            },
        ),
    ],
)
def test_retry_budget(budget: RetryBudget, expected: dict[str, Any]) -> None:
    """A budget that is there has defaults; without one there is none."""
    assert limits(shaped(retry_budget=budget)) == {**UNLIMITED, "retry_budget": expected}


def test_mesh_default_policy() -> None:
    """It limits hosts without rule and undeclared traffic too, but for its HTTP options."""
    default = pool(TcpPool(max_connections=9, idle_timeout=SECOND))
    mesh = MeshConfig(default_traffic_policy=TrafficPolicy(connection_pool=default))
    program = compiled(entry(HOST, "80/HTTP"), mesh=mesh)
    own = by_name(program.clusters, f"outbound|80||{HOST}")
    passthrough = by_name(program.clusters, "PassthroughCluster")
    assert limits(own)["max_connections"] == limits(passthrough)["max_connections"] == 9
    assert options_of(own)["common_http_protocol_options"] == {"idle_timeout": "1s"}
    assert options_of(passthrough)["common_http_protocol_options"] == {"idle_timeout": "300s"}
