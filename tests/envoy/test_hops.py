"""Clusters that lead to the pods of a gateway, moved to where our gateway listens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_egress.envoy.hops import move_endpoints, with_proxy_header

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
GATEWAYS = {("10.244.0.10", 8080): Path("/p/0.sock"), ("10.244.0.10", 8443): Path("/p/1.sock")}


def assignment(name: str, *addresses: tuple[str, int]) -> dict[str, Any]:
    """An EDS answer with one locality."""
    endpoints = [
        {
            "endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}},
            "load_balancing_weight": 1,
        }
        for host, port in addresses
    ]
    return {"cluster_name": name, "endpoints": [{"locality": {}, "lb_endpoints": endpoints}]}


def test_pods_of_gateways_move() -> None:
    """Their endpoints become sockets; other endpoints, and other clusters, stay as they are."""
    given = {
        "edge": assignment("edge", ("10.244.0.10", 8080), ("203.0.113.9", 80)),
        "other": assignment("other", ("10.244.0.10", 80)),
        "empty": {"cluster_name": "empty"},
    }
    assignments, moved = move_endpoints(given, GATEWAYS)
    assert moved == {"edge"}
    first, second = assignments["edge"]["endpoints"][0]["lb_endpoints"]
    assert first["endpoint"]["address"] == {"pipe": {"path": "/p/0.sock"}}
    assert first["load_balancing_weight"] == 1
    assert second == given["edge"]["endpoints"][0]["lb_endpoints"][1]
    assert (assignments["other"], assignments["empty"]) == (given["other"], given["empty"])
    assert given["edge"] == assignment("edge", ("10.244.0.10", 8080), ("203.0.113.9", 80))


def test_proxy_header_goes_before_plain_text_and_tls() -> None:
    """Whatever socket an endpoint gets is wrapped, by its own names."""
    tls = {"name": "envoy.transport_sockets.tls", "typed_config": {"sni": "x"}}
    matches = [{"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transport_socket": tls}]
    cluster = with_proxy_header({"name": "edge", "transport_socket_matches": matches})
    for socket, inner in (
        (cluster["transport_socket"], "envoy.transport_sockets.raw_buffer"),
        (cluster["transport_socket_matches"][0]["transport_socket"], tls["name"]),
    ):
        assert socket["name"] == "envoy.transport_sockets.upstream_proxy_protocol"
        assert socket["typed_config"]["transport_socket"]["name"] == inner
    assert cluster["transport_socket_matches"][0]["match"] == {"tlsMode": "istio"}


def test_each_request_has_a_connection_of_its_own() -> None:
    """The cluster's own HTTP options stay: protocol, and what else it asks for."""
    plain = with_proxy_header({"name": "edge"})["typed_extension_protocol_options"][OPTIONS]
    assert plain["explicit_http_config"] == {"http_protocol_options": {}}
    http2 = {
        "explicit_http_config": {"http2_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": "5s"},
    }
    cluster = with_proxy_header(
        {"name": "edge", "typed_extension_protocol_options": {OPTIONS: http2}}
    )
    options = cluster["typed_extension_protocol_options"][OPTIONS]
    assert options["explicit_http_config"] == {"http2_protocol_options": {}}
    assert options["common_http_protocol_options"] == {
        "idle_timeout": "5s",
        "max_requests_per_connection": 1,
    }
