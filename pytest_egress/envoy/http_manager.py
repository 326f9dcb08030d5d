"""The HTTP connection manager of outbound listeners and gateways, without Istio's extensions."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.resources import MeshConfig
from pytest_egress.envoy.forward_proxy import (
    ALLOW_ANY_CACHE,
    allow_any_dns_cache,
    dns_cache,
    http_forward_proxy,
)
from pytest_egress.envoy.protocols import Protocol
from pytest_egress.envoy.services import Service

__all__ = ["connection_manager", "gateway_manager", "rds"]

_TYPE = "type.googleapis.com/envoy.extensions"
_FILTERS = f"{_TYPE}.filters.http"
_MANAGER = f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"

_GRPC_WEB = {
    "name": "envoy.filters.http.grpc_web",
    "typed_config": {"@type": f"{_FILTERS}.grpc_web.v3.GrpcWeb"},
}
_GRPC_STATS = {
    "name": "envoy.filters.http.grpc_stats",
    "typed_config": {
        "@type": f"{_FILTERS}.grpc_stats.v3.FilterConfig",
        "emit_filter_state": True,
        "stats_for_all_methods": False,
    },
}
_FAULT = {
    "name": "envoy.filters.http.fault",
    "typed_config": {"@type": f"{_FILTERS}.fault.v3.HTTPFault"},
}
_CORS = {
    "name": "envoy.filters.http.cors",
    "typed_config": {"@type": f"{_FILTERS}.cors.v3.Cors"},
}
_ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{_FILTERS}.router.v3.Router"},
}
_EXPLICIT_PROXY = {"http_protocol_options": {"allow_absolute_url": True}}
_REQUEST_ID = {
    "typed_config": {
        "@type": f"{_TYPE}.request_id.uuid.v3.UuidRequestIdConfig",
        "use_request_id_for_trace_sampling": True,
    }
}
_GATEWAY = {
    "http_protocol_options": {},
    "server_name": "istio-envoy",
    "use_remote_address": True,
    "forward_client_cert_details": "SANITIZE_SET",
    "set_current_client_cert_details": {"subject": True, "cert": True, "dns": True, "uri": True},
}


def rds(name: str) -> dict[str, Any]:
    """The route specifier that asks for route configuration ``name`` over ADS."""
    return {
        "rds": {
            "config_source": {
                "ads": {},
                "initial_fetch_timeout": "0s",
                "resource_api_version": "V3",
            },
            "route_config_name": name,
        }
    }


def connection_manager(
    stat_prefix: str,
    routes: dict[str, Any],
    mesh: MeshConfig,
    *,
    protocol: Protocol = "HTTP",
    service: Service | None = None,
    explicit_proxy: bool = False,
    allow_any_dynamic_dns: bool = False,
    dns_capture: bool = False,
) -> dict[str, Any]:
    """The network filter ``http_connection_manager``.

    Args:
        stat_prefix: such as ``outbound_0.0.0.0_80;``.
        routes: ``{"rds": ...}`` or ``{"route_config": ...}``.
        mesh: says how paths are normalized.
        protocol: of the listener's first service; GRPC-Web adds its filter.
        service: the listener's first service; a DYNAMIC_DNS wildcard adds the dynamic forward
            proxy. One that comes later does not, and its routes then lack the filter.
        explicit_proxy: applications name it as their HTTP proxy (``proxyHttpPort``).
        allow_any_dynamic_dns: the outbound policy is ALLOW_ANY_DYNAMIC_DNS.
        dns_capture: the workload's names are resolved by Istio's agent.
    """
    filters = [_GRPC_WEB] if protocol == "GRPC-Web" else []
    filters += [_GRPC_STATS, _FAULT, _CORS]
    if service is not None and service.dynamic_wildcard:
        filters.append(http_forward_proxy(dns_cache(service.host)))
    if allow_any_dynamic_dns:
        cache = allow_any_dns_cache(ALLOW_ANY_CACHE, dns_capture=dns_capture)
        filters.append(http_forward_proxy(cache))
    filters.append(_ROUTER)
    settings = _EXPLICIT_PROXY if explicit_proxy else {}
    return _manager(stat_prefix, routes, filters, mesh, {"use_remote_address": False, **settings})


def gateway_manager(
    stat_prefix: str, routes: dict[str, Any], mesh: MeshConfig, *, protocol: Protocol = "HTTP"
) -> dict[str, Any]:
    """The network filter of a gateway: whoever connects is the client, whatever headers say."""
    filters = [_GRPC_WEB] if protocol == "GRPC-Web" else []
    filters += [_GRPC_STATS, _FAULT, _CORS, _ROUTER]
    return _manager(stat_prefix, routes, filters, mesh, _GATEWAY)


def _manager(
    stat_prefix: str,
    routes: dict[str, Any],
    filters: list[dict[str, Any]],
    mesh: MeshConfig,
    settings: dict[str, Any],
) -> dict[str, Any]:
    merge = mesh.path_normalization in ("MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")
    decode = mesh.path_normalization == "DECODE_AND_MERGE_SLASHES"
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": _MANAGER,
            "stat_prefix": stat_prefix,
            **routes,
            "http_filters": filters,
            "stream_idle_timeout": "0s",
            "proxy_100_continue": True,
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "normalize_path": mesh.path_normalization != "NONE",
            **({"merge_slashes": True} if merge else {}),
            "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"
            if decode
            else "KEEP_UNCHANGED",
            "request_id_extension": _REQUEST_ID,
            **settings,
        },
    }
