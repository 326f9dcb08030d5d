"""The fields of MeshConfig and ProxyConfig: those that are read, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pytest_egress.contract.crds import CONNECTION_POOL, INT32, TEXTS, UINT32
from pytest_egress.contract.destination_rule.shape import (
    LOCALITY_LB,
    OUTLIER_DETECTION,
    ZONE_AWARE_LB,
)
from pytest_egress.contract.schema import Bool, Int, List, Map, Obj, Span, Text

__all__ = [
    "DECISIVE",
    "HARMLESS",
    "MESH_CONFIG",
    "PROXY_DECISIVE",
    "PROXY_HARMLESS",
    "PROXY_METADATA",
]

_KEEPALIVE = Obj({"probes": UINT32, "time": Span(), "interval": Span()})
_PORT = Int(0, 65535)
_RETRIES = Obj(
    {
        "attempts": INT32,
        "perTryTimeout": Span(),
        "retryOn": Text(),
        "retryRemoteLocalities": Bool(),
        "retryIgnorePreviousHosts": Bool(),
        "backoff": Span(),
    }
)
_MODES = ("REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS")
_NORMALIZATION = ("DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")
_PROXY_CONFIG = Obj(
    {
        "interceptionMode": Text(choices=("REDIRECT", "TPROXY", "NONE")),
        "proxyMetadata": Map(Text()),
    },
    open=True,
)

#: What is read, with the names of protobuf's JSON; other fields are looked up below.
MESH_CONFIG = Obj(
    {
        "accessLogFile": Text(),
        "connectTimeout": Span(positive=True, whole=True),
        "defaultConfig": _PROXY_CONFIG,
        "defaultDestinationRuleExportTo": TEXTS,
        "defaultHttpRetryPolicy": _RETRIES,
        "defaultServiceExportTo": TEXTS,
        "defaultTrafficPolicy": Obj(
            {"connectionPool": CONNECTION_POOL, "outlierDetection": OUTLIER_DETECTION}
        ),
        "defaultVirtualServiceExportTo": TEXTS,
        "dnsRefreshRate": Span(positive=True),
        "enableAutoMtls": Bool(),
        "h2UpgradePolicy": Text(choices=("DO_NOT_UPGRADE", "UPGRADE")),
        "localityLbSetting": LOCALITY_LB,
        "outboundTrafficPolicy": Obj({"mode": Text(choices=_MODES)}, open=True),
        "pathNormalization": Obj({"normalization": Text(choices=_NORMALIZATION)}),
        "protocolDetectionTimeout": Span(),
        "proxyHttpPort": _PORT,
        "proxyInboundListenPort": _PORT,
        "proxyListenPort": Int(1, 65535),
        "rootNamespace": Text(),
        "serviceEntryVisibility": Obj({"applyToSidecars": Bool()}, open=True),
        "tcpKeepalive": _KEEPALIVE,
        "tlsDefaults": Obj(
            {
                "minProtocolVersion": Text(choices=("TLS_AUTO", "TLSV1_2", "TLSV1_3")),
                "ecdhCurves": TEXTS,
                "cipherSuites": TEXTS,
            }
        ),
        "trustDomain": Text(),
        "trustDomainAliases": List(Text()),
        "zoneAwareLbSetting": ZONE_AWARE_LB,
    },
    open=True,
)
#: No outbound verdict depends on these: telemetry, inbound traffic, ingress, ambient mode,
#: certificates of the mesh itself, where istiod reads its own configuration.
HARMLESS = frozenset(
    (
        "accessLogEncoding",
        "accessLogFormat",
        "ca",
        "caCertificates",
        "certificates",
        "configSources",
        "defaultProviders",
        "disableEnvoyListenerLog",
        "enableEnvoyAccessLogService",
        "enablePrometheusMerge",
        "enableTracing",
        "extensionProviders",
        "hboneIdleTimeout",
        "inboundClusterStatName",
        "inboundTrafficPolicy",
        "ingressClass",
        "ingressControllerMode",
        "ingressSelector",
        "ingressService",
        "meshMTLS",
        "outboundClusterStatName",
        "serviceScopeConfigs",
        "serviceSettings",
        "verifyCertificateAtClient",
    )
)
#: An error with its reason, unless the value is empty.
DECISIVE: Mapping[str, str] = MappingProxyType(
    {
        "discoverySelectors": "it hides whole namespaces, and their labels are not known here",
    }
)

#: Of ``defaultConfig``: telemetry, bootstrap and life cycle of the proxy.
PROXY_HARMLESS = frozenset(
    (
        "availabilityZone",
        "binaryPath",
        "caCertificatesPem",
        "concurrency",
        "configPath",
        "controlPlaneAuthPolicy",
        "discoveryAddress",
        "discoveryRefreshDelay",
        "drainDuration",
        "envoyAccessLogService",
        "envoyMetricsService",
        "envoyMetricsServiceAddress",
        "extraStatTags",
        "fileFlushInterval",
        "fileFlushMinSizeKb",
        "gatewayTopology",
        "holdApplicationUntilProxyStarts",
        "image",
        "meshId",
        "privateKeyProvider",
        "proxyAdminPort",
        "proxyStatsMatcher",
        "readinessProbe",
        "sds",
        "serviceCluster",
        "statNameLength",
        "statsCompression",
        "statsdUdpAddress",
        "statusPort",
        "terminationDrainDuration",
        "tracing",
        "tracingServiceName",
        "zipkinAddress",
    )
)
PROXY_DECISIVE: Mapping[str, str] = MappingProxyType(
    {
        "connectionSettings": "it changes timeouts and which requests the proxy takes",
        "customConfigFile": "it replaces the proxy's own configuration",
        "proxyBootstrapTemplatePath": "it replaces the proxy's own bootstrap",
        "proxyHeaders": "it changes the headers of requests and answers",
        "runtimeValues": "it switches parts of Envoy on and off",
    }
)
#: Of ``defaultConfig.proxyMetadata``, which become the proxy's environment: those that change
#: outbound traffic, with what the value must be for them not to.
PROXY_METADATA: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ISTIO_DUAL_STACK": ("false", ""),
        "ISTIO_META_HTTP10": ("",),
        "ISTIO_META_HTTP_PROXY_PORT": ("",),
        "ISTIO_META_IDLE_TIMEOUT": ("",),
        "ISTIO_META_INTERCEPTION_MODE": ("REDIRECT", "TPROXY", ""),
        "ISTIO_META_REQUESTED_NETWORK_VIEW": ("",),
        "ISTIO_META_ROUTER_MODE": ("standard", ""),
        "ISTIO_META_TLS_CLIENT_CERT_CHAIN": ("",),
        "ISTIO_META_TLS_CLIENT_KEY": ("",),
        "ISTIO_META_TLS_CLIENT_ROOT_CERT": ("",),
    }
)
