"""Clusters (CDS) and the endpoints of those that Istio serves over EDS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_egress.envoy.endpoints import eds_assignment, locality_endpoints
from pytest_egress.envoy.forward_proxy import (
    ALLOW_ANY_CACHE,
    allow_any_dns_cache,
    dns_cache,
    forward_proxy_cluster_type,
)
from pytest_egress.envoy.instances import Registry
from pytest_egress.envoy.mutual_tls import apply_mutual_tls
from pytest_egress.envoy.names import cluster_name
from pytest_egress.envoy.protocols import HTTP2, SNIFFED
from pytest_egress.envoy.services import Service, ServicePort

__all__ = ["allow_any_dynamic_dns_cluster", "fixed_clusters", "service_clusters"]

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_NO_LIMIT = 2**32 - 1
_CONNECT_TIMEOUT = "10s"  # MeshConfig.connectTimeout
_DYNAMIC_PROTOCOLS = ("HTTP", "TLS", "GRPC", "HTTP2")

_BREAKERS = {
    "thresholds": [
        {
            "max_connections": _NO_LIMIT,
            "max_pending_requests": _NO_LIMIT,
            "max_requests": _NO_LIMIT,
            "max_retries": _NO_LIMIT,
        }
    ]
}
_ADS = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
_DOWNSTREAM_PROTOCOL: dict[str, Any] = {"http_protocol_options": {}, "http2_protocol_options": {}}
_RESOLVER = {
    "name": "envoy.network.dns_resolver.cares",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3"
        ".CaresDnsResolverConfig",
        "udp_max_queries": 100,
    },
}
_NO_PANIC: dict[str, Any] = {"healthy_panic_threshold": {}}


def service_clusters(
    service: Service, registry: Registry
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """The clusters of one service, each with its EDS answer where it is of type EDS.

    A DNS cluster without endpoints is left out, as is a DYNAMIC_DNS port of a protocol that
    Envoy's dynamic forward proxy does not serve.
    """
    for port in service.ports:
        if port.protocol == "UDP":
            continue
        name = cluster_name(service.host, port.number)
        if service.dynamic_wildcard:
            if port.protocol not in _DYNAMIC_PROTOCOLS:
                continue
            cluster = _dynamic_cluster(name, service)
        else:
            found = _service_cluster(name, service, port, registry)
            if found is None:
                continue
            cluster = found
        options = _upstream_protocol(port)
        apply_mutual_tls(cluster, options, service, port, registry)
        if options:
            cluster["typed_extension_protocol_options"] = _http_options(options)
        assignment = None
        if cluster.get("type") == "EDS":
            assignment = eds_assignment(name, service, port, registry)
        yield cluster, assignment


def fixed_clusters() -> tuple[dict[str, Any], ...]:
    """``BlackHoleCluster``, which has no endpoint, and ``PassthroughCluster``."""
    blackhole = {
        "name": "BlackHoleCluster",
        "alt_stat_name": "BlackHoleCluster;",
        "type": "STATIC",
        "connect_timeout": _CONNECT_TIMEOUT,
    }
    passthrough = {
        **_base("PassthroughCluster"),
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "typed_extension_protocol_options": _passthrough_options(),
    }
    return blackhole, passthrough


def allow_any_dynamic_dns_cluster(*, dns_capture: bool) -> dict[str, Any]:
    """``AllowAnyDynamicDNSCluster``: undeclared HTTP of mode ALLOW_ANY_DYNAMIC_DNS (Istio 1.31)."""
    return {
        **_base("AllowAnyDynamicDNSCluster"),
        "cluster_type": forward_proxy_cluster_type(
            allow_any_dns_cache(ALLOW_ANY_CACHE, dns_capture=dns_capture), insecure=True
        ),
        "lb_policy": "CLUSTER_PROVIDED",
        "typed_extension_protocol_options": _passthrough_options(),
    }


def _service_cluster(
    name: str, service: Service, port: ServicePort, registry: Registry
) -> dict[str, Any] | None:
    cluster = _base(name)
    cluster["common_lb_config"] = _NO_PANIC
    resolution = service.resolution
    if resolution in ("DNS", "DNS_ROUND_ROBIN"):
        localities = locality_endpoints(
            it for it in registry.instances(service) if it.service_port == port.number
        )
        if not localities:
            return None
        race = service.races_connections
        cluster["type"] = "LOGICAL_DNS" if race or resolution != "DNS" else "STRICT_DNS"
        cluster["lb_policy"] = "LEAST_REQUEST"
        cluster["load_assignment"] = {"cluster_name": name, "endpoints": localities}
        cluster["dns_refresh_rate"] = "60s"  # MeshConfig.dnsRefreshRate
        cluster["dns_jitter"] = "0.100s"
        cluster["respect_dns_ttl"] = True
        cluster["dns_lookup_family"] = "ALL" if race else "V4_ONLY"
        cluster["typed_dns_resolver_config"] = _RESOLVER
    elif resolution == "NONE":
        cluster["type"] = "ORIGINAL_DST"
        cluster["lb_policy"] = "CLUSTER_PROVIDED"
        override = _target_port(service, port)
        if override:
            cluster["original_dst_lb_config"] = {"upstream_port_override": override}
    else:
        cluster["type"] = "EDS"
        cluster["lb_policy"] = "LEAST_REQUEST"
        cluster["eds_cluster_config"] = {"eds_config": _ADS, "service_name": name}
    return cluster


def _dynamic_cluster(name: str, service: Service) -> dict[str, Any]:
    cluster = _base(name)
    cluster["cluster_type"] = forward_proxy_cluster_type(dns_cache(service.host))
    cluster["lb_policy"] = "CLUSTER_PROVIDED"
    return cluster


def _base(name: str) -> dict[str, Any]:
    """What each cluster has: names and the connection pool without limits."""
    return {
        "name": name,
        "alt_stat_name": f"{name};",
        "connect_timeout": _CONNECT_TIMEOUT,
        "circuit_breakers": _BREAKERS,
    }


def _target_port(service: Service, port: ServicePort) -> int:
    """The port override of an ORIGINAL_DST cluster; the last one wins, 0 means none.

    Only the ports of the service's own entry count: one merged in from another entry has none.
    """
    targets = [it.target_port for it in service.entry.ports if it.number == port.number]
    return next((target for target in reversed(targets) if target), 0)


def _upstream_protocol(port: ServicePort) -> dict[str, Any]:
    """HTTP protocol options towards the upstream; empty leaves Envoy at HTTP/1.1."""
    if port.protocol in HTTP2:
        return {"explicit_http_config": {"http2_protocol_options": {}}}
    if port.protocol == SNIFFED:
        return {"use_downstream_protocol_config": _DOWNSTREAM_PROTOCOL}
    return {}


def _passthrough_options() -> dict[str, Any]:
    return _http_options(
        {
            "common_http_protocol_options": {"idle_timeout": "300s"},
            "use_downstream_protocol_config": _DOWNSTREAM_PROTOCOL,
        }
    )


def _http_options(options: dict[str, Any]) -> dict[str, Any]:
    return {_HTTP_OPTIONS: {"@type": f"type.googleapis.com/{_HTTP_OPTIONS}", **options}}
