"""The typed DestinationRule, as ``networking/v1alpha3/destination_rule.proto`` defines it.

None stands for a message or wrapper that is absent, 0 and "" for a plain field that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pytest_egress.contract.duration import Duration
from pytest_egress.contract.resource import Resource

__all__ = [
    "ClientTls",
    "ConnectionPool",
    "ConsistentHash",
    "DestinationRule",
    "Distribute",
    "Failover",
    "HttpCookie",
    "HttpPool",
    "KeepAlive",
    "LoadBalancer",
    "LocalityLb",
    "OutlierDetection",
    "PortPolicy",
    "RetryBudget",
    "Subset",
    "TcpKeepalive",
    "TcpPool",
    "TrafficPolicy",
    "Tunnel",
    "Warmup",
    "ZoneAwareLb",
]

_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
_NO_WEIGHTS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class HttpCookie:
    """``ConsistentHashLB.HTTPCookie``; attributes as (name, value)."""

    name: str
    path: str = ""
    ttl: Duration | None = None
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ConsistentHash:
    """``LoadBalancerSettings.ConsistentHashLB``: one hash key, at most one algorithm.

    ``use_source_ip`` is None where absent.
    ``ring_size`` and ``table_size`` are None where ringHash or maglev is absent and 0 where its
    size is; ``minimum_ring_size`` is the deprecated field beside them.
    """

    http_header_name: str = ""
    http_cookie: HttpCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str = ""
    ring_size: int | None = None
    table_size: int | None = None
    minimum_ring_size: int = 0


@dataclass(frozen=True, slots=True)
class Distribute:
    """``LocalityLoadBalancerSetting.Distribute``."""

    source: str = ""
    to: Mapping[str, int] = field(default_factory=lambda: _NO_WEIGHTS)


@dataclass(frozen=True, slots=True)
class Failover:
    """``LocalityLoadBalancerSetting.Failover``."""

    source: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True)
class LocalityLb:
    """``LocalityLoadBalancerSetting``."""

    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class ZoneAwareLb:
    """``ZoneAwareLoadBalancerSetting``."""

    enabled: bool | None = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    min_cluster_size: int | None = None


@dataclass(frozen=True, slots=True)
class Warmup:
    """``WarmupConfiguration``; the deprecated ``warmupDurationSecs`` gives ``duration`` alone."""

    duration: Duration
    minimum_percent: float | None = None
    aggression: float | None = None


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """``LoadBalancerSettings``; ``simple`` None where absent.

    ``warmup_duration`` is the deprecated ``warmupDurationSecs``.
    """

    simple: (
        Literal[
            "UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"
        ]
        | None
    ) = None
    consistent_hash: ConsistentHash | None = None
    locality: LocalityLb | None = None
    zone_aware: ZoneAwareLb | None = None
    warmup: Warmup | None = None
    warmup_duration: Duration | None = None


@dataclass(frozen=True, slots=True)
class TcpKeepalive:
    """``ConnectionPoolSettings.TCPSettings.TcpKeepalive``."""

    probes: int = 0
    time: Duration | None = None
    interval: Duration | None = None


@dataclass(frozen=True, slots=True)
class TcpPool:
    """``ConnectionPoolSettings.TCPSettings``."""

    max_connections: int = 0
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: Duration | None = None


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """``ConnectionPoolSettings.HTTPSettings.ConnectionKeepalive``."""

    interval: Duration | None = None
    timeout: Duration | None = None


@dataclass(frozen=True, slots=True)
class HttpPool:
    """``ConnectionPoolSettings.HTTPSettings``."""

    http1_max_pending_requests: int = 0
    http2_max_requests: int = 0
    max_requests_per_connection: int = 0
    max_retries: int = 0
    idle_timeout: Duration | None = None
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] = "DEFAULT"
    use_client_protocol: bool = False
    max_concurrent_streams: int = 0
    http2_keep_alive: KeepAlive | None = None


@dataclass(frozen=True, slots=True)
class ConnectionPool:
    """``ConnectionPoolSettings``."""

    tcp: TcpPool | None = None
    http: HttpPool | None = None


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """``OutlierDetection``; counts are None where the wrapper is absent."""

    consecutive_errors: int = 0
    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: int | None = None
    consecutive_gateway_errors: int | None = None
    consecutive_5xx_errors: int | None = None
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: int = 0
    min_health_percent: int = 0
    http_error_codes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientTls:
    """``ClientTLSSettings``."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: bool | None = None


@dataclass(frozen=True, slots=True)
class Tunnel:
    """``TrafficPolicy.TunnelSettings``; protocol empty means CONNECT."""

    target_host: str
    target_port: int
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """``TrafficPolicy.RetryBudget``; percent (0-100) None where absent, which is 20."""

    percent: float | None = None
    min_retry_concurrency: int = 0
    budget_interval: Duration | None = None


@dataclass(frozen=True, slots=True)
class PortPolicy:
    """``TrafficPolicy.PortTrafficPolicy``: replaces the policy around it for one port."""

    port: int
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """``TrafficPolicy``; ``proxy_protocol`` is V1, V2 or None where absent."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None
    port_level: tuple[PortPolicy, ...] = ()
    tunnel: Tunnel | None = None
    proxy_protocol: Literal["V1", "V2"] | None = None
    retry_budget: RetryBudget | None = None


@dataclass(frozen=True, slots=True)
class Subset:
    """``Subset``."""

    name: str
    labels: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    traffic_policy: TrafficPolicy | None = None


@dataclass(frozen=True, slots=True)
class DestinationRule(Resource):
    """``networking.istio.io`` DestinationRule.

    ``export_to`` empty means ``meshConfig.defaultDestinationRuleExportTo``; ``workload_selector``
    is None when absent.
    """

    host: str = ""
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: Mapping[str, str] | None = None
