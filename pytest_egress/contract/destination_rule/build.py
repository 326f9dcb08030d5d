"""Checked plain values to the typed DestinationRule and the parts of it that MeshConfig has too."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, TypeVar

from pytest_egress.contract.destination_rule.resource import (
    ClientTls,
    ConnectionPool,
    ConsistentHash,
    DestinationRule,
    Distribute,
    Failover,
    HttpCookie,
    HttpPool,
    KeepAlive,
    LoadBalancer,
    LocalityLb,
    OutlierDetection,
    PortPolicy,
    RetryBudget,
    Subset,
    TcpKeepalive,
    TcpPool,
    TrafficPolicy,
    Tunnel,
    Warmup,
    ZoneAwareLb,
)
from pytest_egress.contract.report import Report
from pytest_egress.contract.resources import Locate, Metadata

__all__ = [
    "build_connection_pool",
    "build_destination_rule",
    "build_locality_lb",
    "build_outlier_detection",
    "build_tcp_keepalive",
    "build_zone_aware_lb",
]

_T = TypeVar("_T")
_Values = dict[str, Any]


def build_destination_rule(
    metadata: Metadata, spec: _Values, _status: Any, locate: Locate, _report: Report
) -> DestinationRule:
    """A DestinationRule from a spec without errors."""
    selector = spec.get("workloadSelector")
    return DestinationRule(
        metadata,
        host=spec["host"],
        traffic_policy=_part(spec, "trafficPolicy", _traffic_policy),
        subsets=tuple(_subset(it) for it in spec.get("subsets", ())),
        export_to=tuple(spec.get("exportTo", ())),
        workload_selector=None
        if selector is None
        else MappingProxyType(selector.get("matchLabels", {})),
        locate=locate,
    )


def build_connection_pool(values: _Values) -> ConnectionPool:
    """``connectionPool``."""
    return ConnectionPool(_part(values, "tcp", _tcp_pool), _part(values, "http", _http_pool))


def build_outlier_detection(values: _Values) -> OutlierDetection:
    """``outlierDetection``."""
    return OutlierDetection(
        consecutive_errors=values.get("consecutiveErrors", 0),
        split_external_local_origin_errors=values.get("splitExternalLocalOriginErrors", False),
        consecutive_local_origin_failures=values.get("consecutiveLocalOriginFailures"),
        consecutive_gateway_errors=values.get("consecutiveGatewayErrors"),
        consecutive_5xx_errors=values.get("consecutive5xxErrors"),
        interval=values.get("interval"),
        base_ejection_time=values.get("baseEjectionTime"),
        max_ejection_percent=values.get("maxEjectionPercent", 0),
        min_health_percent=values.get("minHealthPercent", 0),
        http_error_codes=tuple(values.get("outlierDetectionHttpErrorCodes", ())),
    )


def build_locality_lb(values: _Values) -> LocalityLb:
    """``localityLbSetting``."""
    return LocalityLb(
        distribute=tuple(
            Distribute(it.get("from", ""), MappingProxyType(it.get("to", {})))
            for it in values.get("distribute", ())
        ),
        failover=_failover(values),
        failover_priority=tuple(values.get("failoverPriority", ())),
        enabled=values.get("enabled"),
    )


def build_zone_aware_lb(values: _Values) -> ZoneAwareLb:
    """``zoneAwareLbSetting``."""
    return ZoneAwareLb(
        values.get("enabled"),
        _failover(values),
        tuple(values.get("failoverPriority", ())),
        values.get("minClusterSize"),
    )


def build_tcp_keepalive(values: _Values) -> TcpKeepalive:
    """``tcpKeepalive``."""
    return TcpKeepalive(values.get("probes", 0), values.get("time"), values.get("interval"))


def _part(values: _Values, name: str, build: Callable[[_Values], _T]) -> _T | None:
    return build(values[name]) if name in values else None


def _subset(values: _Values) -> Subset:
    return Subset(
        values["name"],
        MappingProxyType(values.get("labels", {})),
        _part(values, "trafficPolicy", _traffic_policy),
    )


def _traffic_policy(values: _Values) -> TrafficPolicy:
    proxy_protocol = values.get("proxyProtocol")
    return TrafficPolicy(
        load_balancer=_part(values, "loadBalancer", _load_balancer),
        connection_pool=_part(values, "connectionPool", build_connection_pool),
        outlier_detection=_part(values, "outlierDetection", build_outlier_detection),
        tls=_part(values, "tls", _tls),
        port_level=tuple(_port_policy(it) for it in values.get("portLevelSettings", ())),
        tunnel=_part(values, "tunnel", _tunnel),
        proxy_protocol=None if proxy_protocol is None else proxy_protocol.get("version", "V1"),
        retry_budget=_part(values, "retryBudget", _retry_budget),
    )


def _port_policy(values: _Values) -> PortPolicy:
    return PortPolicy(
        values["port"].get("number", 0),
        load_balancer=_part(values, "loadBalancer", _load_balancer),
        connection_pool=_part(values, "connectionPool", build_connection_pool),
        outlier_detection=_part(values, "outlierDetection", build_outlier_detection),
        tls=_part(values, "tls", _tls),
    )


def _load_balancer(values: _Values) -> LoadBalancer:
    return LoadBalancer(
        simple=values.get("simple"),
        consistent_hash=_part(values, "consistentHash", _consistent_hash),
        locality=_part(values, "localityLbSetting", build_locality_lb),
        zone_aware=_part(values, "zoneAwareLbSetting", build_zone_aware_lb),
        warmup=_part(values, "warmup", _warmup),
        warmup_duration=values.get("warmupDurationSecs"),
    )


def _consistent_hash(values: _Values) -> ConsistentHash:
    ring, table = values.get("ringHash"), values.get("maglev")
    return ConsistentHash(
        http_header_name=values.get("httpHeaderName", ""),
        http_cookie=_part(values, "httpCookie", _cookie),
        use_source_ip=values.get("useSourceIp"),
        http_query_parameter_name=values.get("httpQueryParameterName", ""),
        ring_size=None if ring is None else ring.get("minimumRingSize", 0),
        table_size=None if table is None else table.get("tableSize", 0),
        minimum_ring_size=values.get("minimumRingSize", 0),
    )


def _cookie(values: _Values) -> HttpCookie:
    return HttpCookie(
        values["name"],
        values.get("path", ""),
        values.get("ttl"),
        tuple((it["name"], it.get("value", "")) for it in values.get("attributes", ())),
    )


def _failover(values: _Values) -> tuple[Failover, ...]:
    found = values.get("failover", ())
    return tuple(Failover(it.get("from", ""), it.get("to", "")) for it in found)


def _warmup(values: _Values) -> Warmup:
    return Warmup(values["duration"], values.get("minimumPercent"), values.get("aggression"))


def _tcp_pool(values: _Values) -> TcpPool:
    return TcpPool(
        max_connections=values.get("maxConnections", 0),
        connect_timeout=values.get("connectTimeout"),
        tcp_keepalive=_part(values, "tcpKeepalive", build_tcp_keepalive),
        max_connection_duration=values.get("maxConnectionDuration"),
        idle_timeout=values.get("idleTimeout"),
    )


def _http_pool(values: _Values) -> HttpPool:
    return HttpPool(
        http1_max_pending_requests=values.get("http1MaxPendingRequests", 0),
        http2_max_requests=values.get("http2MaxRequests", 0),
        max_requests_per_connection=values.get("maxRequestsPerConnection", 0),
        max_retries=values.get("maxRetries", 0),
        idle_timeout=values.get("idleTimeout"),
        h2_upgrade_policy=values.get("h2UpgradePolicy", "DEFAULT"),
        use_client_protocol=values.get("useClientProtocol", False),
        max_concurrent_streams=values.get("maxConcurrentStreams", 0),
        http2_keep_alive=_part(values, "http2KeepAlive", _keep_alive),
    )


def _keep_alive(values: _Values) -> KeepAlive:
    return KeepAlive(values.get("interval"), values.get("timeout"))


def _tls(values: _Values) -> ClientTls:
    return ClientTls(
        mode=values.get("mode", "DISABLE"),
        client_certificate=values.get("clientCertificate", ""),
        private_key=values.get("privateKey", ""),
        ca_certificates=values.get("caCertificates", ""),
        ca_crl=values.get("caCrl", ""),
        credential_name=values.get("credentialName", ""),
        subject_alt_names=tuple(values.get("subjectAltNames", ())),
        sni=values.get("sni", ""),
        insecure_skip_verify=values.get("insecureSkipVerify"),
    )


def _tunnel(values: _Values) -> Tunnel:
    return Tunnel(values["targetHost"], values["targetPort"], values.get("protocol", ""))


def _retry_budget(values: _Values) -> RetryBudget:
    return RetryBudget(
        values.get("percent"),
        values.get("minRetryConcurrency", 0),
        values.get("budgetInterval"),
    )
