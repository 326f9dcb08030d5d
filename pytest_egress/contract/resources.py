"""The typed resources of a contract, as Istio's API defines them.

Values are kept as the file gives them (case included); defaults are Istio's. Each resource can
tell the position of any of its values: ``entry.at("spec", "ports", 0, "number")``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pytest_egress.contract.duration import Duration
from pytest_egress.contract.resource import Locate, Metadata, Resource

if TYPE_CHECKING:
    from pytest_egress.contract.destination_rule.resource import (
        LocalityLb,
        TcpKeepalive,
        TrafficPolicy,
        ZoneAwareLb,
    )
    from pytest_egress.contract.virtual_service.resource import Retries

__all__ = [
    "EgressListener",
    "Endpoint",
    "Locate",
    "MeshConfig",
    "Metadata",
    "OutboundTrafficPolicy",
    "PolicyMode",
    "Port",
    "ProxyDestination",
    "Resolution",
    "Resource",
    "ServiceEntry",
    "Sidecar",
    "SidecarPort",
    "TlsDefaults",
    "Workload",
    "WorkloadEntry",
]

Resolution = Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]
PolicyMode = Literal["REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"]

_EMPTY: Mapping[str, str] = MappingProxyType({})
# The labels of nodes that tell where a workload is, and those that say it in one.
_PLACES = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
)
_PLACE_IN_ONE = ("topology.istio.io/locality", "istio-locality")
_NO_PORTS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Port:
    """``ServiceEntry.spec.ports[]``; ``protocol`` as written, ``target_port`` 0 when absent."""

    number: int
    name: str
    protocol: str = ""
    target_port: int = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``WorkloadEntry.spec``, also used inline as ``ServiceEntry.spec.endpoints[]``."""

    address: str = ""
    ports: Mapping[str, int] = field(default_factory=lambda: _NO_PORTS)
    labels: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    network: str = ""
    locality: str = ""
    weight: int = 0
    service_account: str = ""


@dataclass(frozen=True, slots=True)
class ServiceEntry(Resource):
    """``networking.istio.io`` ServiceEntry.

    ``location`` unset means MESH_EXTERNAL, ``resolution`` unset means NONE. ``workload_selector``
    is None when absent. ``status_addresses`` are ``status.addresses[]`` as (host, value).
    ``registry`` is istiod's: it knows Kubernetes Services and what ServiceEntries declare in the
    same words, and prefers the former. No file says Kubernetes.
    """

    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Resolution = "NONE"
    endpoints: tuple[Endpoint, ...] = ()
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    workload_selector: Mapping[str, str] | None = None
    status_addresses: tuple[tuple[str, str], ...] = ()
    registry: Literal["External", "Kubernetes"] = "External"


@dataclass(frozen=True, slots=True)
class WorkloadEntry(Resource):
    """``networking.istio.io`` WorkloadEntry."""

    endpoint: Endpoint = Endpoint()


@dataclass(frozen=True, slots=True)
class ProxyDestination:
    """``outboundTrafficPolicy.egressProxy``."""

    host: str
    port: int = 0
    subset: str = ""


@dataclass(frozen=True, slots=True)
class OutboundTrafficPolicy:
    """``outboundTrafficPolicy`` of a Sidecar or of the mesh; an unset mode is REGISTRY_ONLY."""

    mode: PolicyMode = "REGISTRY_ONLY"
    egress_proxy: ProxyDestination | None = None


@dataclass(frozen=True, slots=True)
class SidecarPort:
    """``Sidecar.spec.egress[].port``."""

    number: int
    protocol: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class EgressListener:
    """``Sidecar.spec.egress[]``; ``capture_mode`` is DEFAULT, IPTABLES or NONE."""

    hosts: tuple[str, ...]
    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: Literal["DEFAULT", "IPTABLES", "NONE"] = "DEFAULT"


@dataclass(frozen=True, slots=True)
class Sidecar(Resource):
    """``networking.istio.io`` Sidecar, its outbound half. Selector None: every workload."""

    workload_selector: Mapping[str, str] | None = None
    egress: tuple[EgressListener, ...] = ()
    outbound_traffic_policy: OutboundTrafficPolicy | None = None


@dataclass(frozen=True, slots=True)
class TlsDefaults:
    """``MeshConfig.TLSConfig`` of ``tlsDefaults``: what TLS that a DestinationRule adds may use."""

    ecdh_curves: tuple[str, ...] = ()
    cipher_suites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """The part of MeshConfig that decides outbound traffic; defaults are Istio's but for one.

    ``outbound_traffic_policy`` defaults to REGISTRY_ONLY: a contract test wants a closed mesh
    (Istio's own default is ALLOW_ANY). ``access_log_file`` is only compiled, never opened here.
    Durations are nanoseconds; ``protocol_detection_timeout`` 0 waits for ever.
    ``dns_capture`` is what ``defaultConfig.proxyMetadata`` says of ``ISTIO_META_DNS_CAPTURE``.
    """

    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy()
    root_namespace: str = "istio-system"
    default_service_export_to: tuple[str, ...] = ("*",)
    default_virtual_service_export_to: tuple[str, ...] = ("*",)
    default_destination_rule_export_to: tuple[str, ...] = ("*",)
    access_log_file: str = ""
    protocol_detection_timeout: Duration = 0
    connect_timeout: Duration = 10_000_000_000
    dns_refresh_rate: Duration = 60_000_000_000
    tcp_keepalive: TcpKeepalive | None = None
    h2_upgrade_policy: Literal["DO_NOT_UPGRADE", "UPGRADE"] = "DO_NOT_UPGRADE"
    enable_auto_mtls: bool = True
    default_http_retry_policy: Retries | None = None
    default_traffic_policy: TrafficPolicy | None = None
    locality_lb: LocalityLb | None = None
    zone_aware_lb: ZoneAwareLb | None = None
    path_normalization: Literal[
        "DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"
    ] = "DEFAULT"
    proxy_listen_port: int = 15001
    proxy_inbound_listen_port: int = 15006
    proxy_http_port: int = 0
    trust_domain: str = "cluster.local"
    tls_defaults: TlsDefaults | None = None
    dns_capture: bool = False

    @property
    def prefers_localities(self) -> bool:
        """Whether the mesh says more of localities than Istio's default."""
        return self.locality_lb is not None or self.zone_aware_lb is not None


@dataclass(frozen=True, slots=True)
class Workload:
    """Who is asking: the pod whose sidecar is configured.

    ``dns_capture`` stands for the proxy metadata ``ISTIO_META_DNS_CAPTURE=true``.
    """

    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    dns_capture: bool = False

    @property
    def locality(self) -> str:
        """``region/zone/subzone``, as its labels say; istiod adds those of the node to a pod's."""
        if any(it in self.labels for it in _PLACES):
            return "/".join(self.labels.get(it, "") for it in _PLACES).rstrip("/")
        return next((self.labels[it] for it in _PLACE_IN_ONE if it in self.labels), "")
