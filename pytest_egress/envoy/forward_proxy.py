"""Envoy's dynamic forward proxy, which resolves the name of each connection (DYNAMIC_DNS)."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ALLOW_ANY_CACHE",
    "allow_any_dns_cache",
    "dns_cache",
    "forward_proxy_cluster_type",
    "http_forward_proxy",
    "sni_forward_proxy",
]

ALLOW_ANY_CACHE = "allow_any_dfp_dns_cache"
_TYPE = "type.googleapis.com/envoy.extensions"


def dns_cache(host: str) -> dict[str, Any]:
    """The DNS cache that the filters and the cluster of one wildcard host share by its name."""
    return {"name": f"{host}_dfp_dns_cache", "dns_lookup_family": "V4_ONLY"}


def allow_any_dns_cache(name: str, *, dns_capture: bool) -> dict[str, Any]:
    """The cache of mode ALLOW_ANY_DYNAMIC_DNS; with DNS capture the agent's resolver is asked."""
    cache: dict[str, Any] = {"name": name, "dns_lookup_family": "V4_ONLY", "max_hosts": 1024}
    if dns_capture:
        resolver = {"socket_address": {"address": "127.0.0.1", "port_value": 15053}}
        cache["typed_dns_resolver_config"] = {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": f"{_TYPE}.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [resolver],
            },
        }
    return cache


def forward_proxy_cluster_type(cache: dict[str, Any], *, insecure: bool = False) -> dict[str, Any]:
    """``cluster_type`` of a cluster that dials whatever name the connection carries.

    ``insecure`` sets ``allow_insecure_cluster_options``.
    """
    config: dict[str, Any] = {
        "@type": f"{_TYPE}.clusters.dynamic_forward_proxy.v3.ClusterConfig",
        "dns_cache_config": cache,
    }
    if insecure:
        config["allow_insecure_cluster_options"] = True
    return {"name": "envoy.clusters.dynamic_forward_proxy", "typed_config": config}


def http_forward_proxy(cache: dict[str, Any]) -> dict[str, Any]:
    """The HTTP filter that resolves the Host header."""
    return {
        "name": "envoy.filters.http.dynamic_forward_proxy",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.dynamic_forward_proxy.v3.FilterConfig",
            "dns_cache_config": cache,
        },
    }


def sni_forward_proxy(host: str, port: int) -> dict[str, Any]:
    """The network filter that resolves the server name of a TLS handshake."""
    return {
        "name": "envoy.extensions.filters.network.sni_dynamic_forward_proxy",
        "typed_config": {
            "@type": f"{_TYPE}.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
            "dns_cache_config": dns_cache(host),
            "port_value": port,
        },
    }
