"""Istio's default access log, as text or as JSON, read into evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["read_line"]

# The operators of Istio's default format, in its order; quoted ones stand in quotes there.
_FIELDS = (
    "start_time",
    '"request"',
    "response_code",
    "response_flags",
    "response_code_details",
    "connection_termination_details",
    '"upstream_transport_failure_reason"',
    "bytes_received",
    "bytes_sent",
    "duration",
    "upstream_service_time",
    '"x_forwarded_for"',
    '"user_agent"',
    '"request_id"',
    '"authority"',
    '"upstream_host"',
    "upstream_cluster",
    "upstream_local_address",
    "downstream_local_address",
    "downstream_remote_address",
    "requested_server_name",
    "route_name",
)
_LINE = re.compile(
    r"\[(?P<start_time>[^\]]*)\] "
    + " ".join(
        f'"(?P<{name.strip(chr(34))}>[^"]*)"' if name.startswith('"') else f"(?P<{name}>\\S+)"
        for name in _FIELDS[1:]
    )
    + r"\s*$"
)


def read_line(line: str) -> dict[str, Any] | None:
    """The record of one line, as an access logger of ours would have made it.

    Returns:
        None: the line is no record of this format.
    """
    line = line.strip()
    if line.startswith("{"):
        try:
            told = json.loads(line)
        except ValueError:
            return None
        if not isinstance(told, dict) or "downstream_remote_address" not in told:
            return None
        fields = {key: "-" if value is None else str(value) for key, value in told.items()}
        words = (fields.get("method", "-"), fields.get("path", "-"))
    else:
        found = _LINE.match(line)
        if found is None:
            return None
        fields = found.groupdict()
        method, _, rest = fields["request"].partition(" ")
        words = (method, rest.rpartition(" ")[0])
    return _record(fields, *words)


def _record(fields: Mapping[str, str], method: str, path: str) -> dict[str, Any]:
    def get(name: str) -> str | None:
        value = fields.get(name, "-")
        return None if value in {"-", ""} else value

    http = method not in {"-", ""}
    source = get("downstream_remote_address")
    service_time = get("upstream_service_time")
    return {
        "type": "DownstreamEnd" if http else "NotSet",
        "listener": "",
        "tcp.source": source,
        "http.source": source,
        "destination": get("downstream_local_address"),
        "cluster": get("upstream_cluster"),
        "upstream_host": get("upstream_host"),
        "upstream_local_address": get("upstream_local_address"),
        "response_flags": fields.get("response_flags", "-"),
        "response_code": get("response_code"),
        "response_code_details": get("response_code_details"),
        "connection_termination_details": get("connection_termination_details"),
        "upstream_transport_failure_reason": get("upstream_transport_failure_reason"),
        "requested_server_name": get("requested_server_name"),
        "bytes_received": get("bytes_received"),
        "bytes_sent": get("bytes_sent"),
        "duration": get("duration"),
        "route": get("route_name"),
        "authority": get("authority"),
        "method": method if http else None,
        "path": path if http else None,
        "request_id": get("request_id"),
        "upstream_duration": None if service_time is None else float(service_time) * 1000,
    }
