"""Rules for connection pools, which Sidecar, DestinationRule and MeshConfig share."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.report import Path, Report

__all__ = ["check_connection_pool"]

_COUNTS = (
    ("http", "http1MaxPendingRequests"),
    ("http", "http2MaxRequests"),
    ("http", "maxRequestsPerConnection"),
    ("http", "maxRetries"),
    ("http", "maxConcurrentStreams"),
    ("tcp", "maxConnections"),
)


def check_connection_pool(
    pool: dict[str, Any], raw: dict[str, Any], path: Path, report: Report
) -> None:
    """Report what istiod says of a pool; its durations have been read by the schema.

    Args:
        pool: without what the schema refused.
        raw: as written.
        path: where it stands.
        report: takes the findings.
    """
    if "http" not in raw and "tcp" not in raw:
        message = "a connection pool needs http or tcp settings"
        report.error("connection-pool/empty", message, path, key=True)
    for group, name in _COUNTS:
        if pool.get(group, {}).get(name, 0) < 0:
            message = f"{name} must not be negative"
            report.error("connection-pool/negative", message, (*path, group, name))
    http = pool.get("http", {})
    if http.get("h2UpgradePolicy") == "UPGRADE" and http.get("useClientProtocol"):
        message = "useClientProtocol and h2UpgradePolicy UPGRADE exclude each other"
        report.error("connection-pool/protocol", message, (*path, "http", "useClientProtocol"))
    if "http2KeepAlive" in http:
        for name in ("interval", "timeout"):
            if name not in raw["http"]["http2KeepAlive"]:
                message = f"http2KeepAlive needs {name}"
                place = (*path, "http", "http2KeepAlive", name)
                report.error("connection-pool/keepalive", message, place)
