"""From a sidecar to a gateway of ours: clusters whose endpoints are pods of a gateway.

The pods' addresses exist nowhere. What would go to them goes to the Unix sockets that the
gateway's listeners have, behind a PROXY header with the addresses of the connection to the
sidecar: the gateway's record of it then names the same source as the sidecar's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["move_endpoints", "with_proxy_header"]

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy."
_RAW: Json = {
    "name": "envoy.transport_sockets.raw_buffer",
    "typed_config": {"@type": _TYPE + "extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
}
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def move_endpoints(
    assignments: Mapping[str, Json], gateways: Mapping[tuple[str, int], Path]
) -> tuple[dict[str, Json], set[str]]:
    """EDS answers with the pods of ``gateways`` where these really listen.

    Returns them with the names of the clusters that lead to such pods.
    """
    moved: dict[str, Json] = {}
    for name, assignment in assignments.items():
        groups = assignment.get("endpoints", [])
        found = [
            {**group, "lb_endpoints": [_moved(it, gateways) for it in group["lb_endpoints"]]}
            for group in groups
        ]
        if found != groups:
            moved[name] = {**assignment, "endpoints": found}
    return {**assignments, **moved}, set(moved)


def with_proxy_header(cluster: Json) -> Json:
    """The cluster with a PROXY header before all that it sends.

    A header belongs to one connection of the client, so connections cannot be kept for others:
    each request has one of its own.
    """
    result = {**cluster, "transport_socket": _behind_header(cluster.get("transport_socket", _RAW))}
    if "transport_socket_matches" in cluster:
        result["transport_socket_matches"] = [
            {**it, "transport_socket": _behind_header(it["transport_socket"])}
            for it in cluster["transport_socket_matches"]
        ]
    extensions = dict(cluster.get("typed_extension_protocol_options", {}))
    options = dict(extensions.get(_OPTIONS, {"@type": f"type.googleapis.com/{_OPTIONS}"}))
    if not options.keys() & {"explicit_http_config", "use_downstream_protocol_config"}:
        options["explicit_http_config"] = {"http_protocol_options": {}}
    options["common_http_protocol_options"] = {
        **options.get("common_http_protocol_options", {}),
        "max_requests_per_connection": 1,
    }
    extensions[_OPTIONS] = options
    result["typed_extension_protocol_options"] = extensions
    return result


def _moved(endpoint: Json, gateways: Mapping[tuple[str, int], Path]) -> Json:
    address = endpoint["endpoint"]["address"].get("socket_address", {})
    path = gateways.get((address.get("address", ""), address.get("port_value", 0)))
    if path is None:
        return endpoint
    return {
        **endpoint,
        "endpoint": {**endpoint["endpoint"], "address": {"pipe": {"path": str(path)}}},
    }


def _behind_header(socket: Json) -> Json:
    return {
        "name": "envoy.transport_sockets.upstream_proxy_protocol",
        "typed_config": {
            "@type": _TYPE
            + "extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            "config": {"version": "V1"},
            "transport_socket": socket,
        },
    }
