"""``proxyProtocol``: a PROXY header before everything else that goes upstream."""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["wrap_transport_sockets"]

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets"
_RAW = {
    "name": "raw_buffer",
    "typed_config": {"@type": f"{_TYPE}.raw_buffer.v3.RawBuffer"},
}


def wrap_transport_sockets(cluster: dict[str, Any], version: Literal["V1", "V2"]) -> None:
    """Put the header before each transport socket of a cluster, or before plain bytes."""

    def wrapped(socket: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": "envoy.transport_sockets.upstream_proxy_protocol",
            "typed_config": {
                "@type": f"{_TYPE}.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
                "config": {"version": "V2"} if version == "V2" else {},
                "transport_socket": socket,
            },
        }

    matches = cluster.get("transport_socket_matches")
    if matches:
        cluster["transport_socket_matches"] = [
            {**match, "transport_socket": wrapped(match["transport_socket"])} for match in matches
        ]
    if not matches or "transport_socket" in cluster:
        cluster["transport_socket"] = wrapped(cluster.get("transport_socket", _RAW))
