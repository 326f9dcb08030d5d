"""``connectionPool`` and ``retryBudget``: circuit breakers, timeouts, keepalive."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.destination_rule.resource import (
    ConnectionPool,
    HttpPool,
    KeepAlive,
    RetryBudget,
    TcpKeepalive,
    TcpPool,
)
from pytest_egress.contract.duration import duration_json
from pytest_egress.envoy.cluster_draft import ClusterDraft
from pytest_egress.envoy.traffic_policy.limits import NO_LIMIT

__all__ = ["apply_http_pool", "apply_pool"]

_SECOND = 1_000_000_000


def apply_pool(
    cluster: dict[str, Any],
    pool: ConnectionPool | None,
    budget: RetryBudget | None,
    mesh_keepalive: TcpKeepalive | None,
) -> None:
    """Limits and TCP settings of a cluster; zero means that there is no limit."""
    tcp = (pool and pool.tcp) or TcpPool()
    http = (pool and pool.http) or HttpPool()
    threshold: dict[str, Any] = {
        "max_connections": tcp.max_connections or NO_LIMIT,
        "max_pending_requests": http.http1_max_pending_requests or NO_LIMIT,
        "max_requests": http.http2_max_requests or NO_LIMIT,
        "max_retries": http.max_retries or NO_LIMIT,
    }
    if budget is not None:
        threshold["retry_budget"] = _retry_budget(budget)
    cluster["circuit_breakers"] = {"thresholds": [threshold]}
    if tcp.connect_timeout is not None:
        cluster["connect_timeout"] = duration_json(tcp.connect_timeout)
    keepalives = [it for it in (mesh_keepalive, tcp.tcp_keepalive) if it is not None]
    if keepalives:
        merged: dict[str, int] = {}
        for keepalive in keepalives:
            merged |= _keepalive(keepalive)
        cluster["upstream_connection_options"] = {"tcp_keepalive": merged}


def apply_http_pool(draft: ClusterDraft, pool: ConnectionPool) -> None:
    """The pool's settings of HTTP connections."""
    http, tcp = pool.http or HttpPool(), pool.tcp or TcpPool()
    idle_timeout = tcp.idle_timeout if http.idle_timeout is None else http.idle_timeout
    common: dict[str, Any] = {}
    if idle_timeout is not None:
        common["idle_timeout"] = duration_json(idle_timeout)
    if http.max_requests_per_connection:
        common["max_requests_per_connection"] = http.max_requests_per_connection
    if tcp.max_connection_duration is not None:
        common["max_connection_duration"] = duration_json(tcp.max_connection_duration)
    # What is said of HTTP/2 alone leaves a trace on other clusters too.
    if common or http.max_concurrent_streams or http.http2_keep_alive is not None:
        draft.options["common_http_protocol_options"] = common
    if draft.speaks_http2:
        http2: dict[str, Any] = {}
        if http.max_concurrent_streams:
            http2["max_concurrent_streams"] = http.max_concurrent_streams
        if http.http2_keep_alive is not None:
            http2["connection_keepalive"] = _connection_keepalive(http.http2_keep_alive)
        draft.options["explicit_http_config"] = {"http2_protocol_options": http2}
    if http.use_client_protocol:
        draft.speak_as_client()


def _retry_budget(budget: RetryBudget) -> dict[str, Any]:
    percent = 20.0 if budget.percent is None else budget.percent
    built: dict[str, Any] = {
        "budget_percent": {"value": percent} if percent else {},
        "min_retry_concurrency": budget.min_retry_concurrency or 3,
    }
    if budget.budget_interval is not None:
        built["budget_interval"] = duration_json(budget.budget_interval)
    return built


def _keepalive(keepalive: TcpKeepalive) -> dict[str, int]:
    """Envoy knows whole seconds only."""
    built: dict[str, int] = {}
    if keepalive.probes:
        built["keepalive_probes"] = keepalive.probes
    if keepalive.time is not None:
        built["keepalive_time"] = keepalive.time // _SECOND
    if keepalive.interval is not None:
        built["keepalive_interval"] = keepalive.interval // _SECOND
    return built


def _connection_keepalive(keepalive: KeepAlive) -> dict[str, str]:
    times = {"interval": keepalive.interval, "timeout": keepalive.timeout}
    return {name: duration_json(it) for name, it in times.items() if it is not None}
