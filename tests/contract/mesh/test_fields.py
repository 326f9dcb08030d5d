"""MeshConfig: Istio's own reading of a mesh file."""

from __future__ import annotations

import pytest

from pytest_egress.contract import MeshConfig, parse_mesh
from pytest_egress.contract.destination_rule.resource import (
    ConnectionPool,
    Failover,
    LocalityLb,
    OutlierDetection,
    TcpKeepalive,
    TcpPool,
    TrafficPolicy,
    ZoneAwareLb,
)
from pytest_egress.contract.duration import MILLISECOND, SECOND
from pytest_egress.contract.mesh import read_mesh
from pytest_egress.contract.resources import OutboundTrafficPolicy, TlsDefaults
from pytest_egress.contract.virtual_service.resource import Retries
from pytest_egress.errors import ContractError


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("", "ALLOW_ANY"),
        ("rootNamespace: x", "ALLOW_ANY"),
        ("outboundTrafficPolicy: {}", "REGISTRY_ONLY"),
        ("outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "REGISTRY_ONLY"),
        ("outboundTrafficPolicy:\n  mode: ALLOW_ANY", "ALLOW_ANY"),
        ("outbound_traffic_policy: {mode: REGISTRY_ONLY}", "REGISTRY_ONLY"),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}", "ALLOW_ANY_DYNAMIC_DNS"),
        ("outboundTrafficPolicy: null", "ALLOW_ANY"),
        ("outboundTrafficPolicy: {mode: REGISTRY_ONLY, tls: {}}", "REGISTRY_ONLY"),
    ],
)
def test_outbound_traffic_policy(text: str, mode: str) -> None:
    """Absent it is Istio's ALLOW_ANY, empty it is the enum's zero."""
    assert parse_mesh(text).outbound_traffic_policy.mode == mode


def test_a_usual_installation() -> None:
    """What it sets beside the fields that are read changes no outbound verdict."""
    text = """\
accessLogFile: /dev/stdout
defaultConfig:
  discoveryAddress: istiod.istio-system.svc:15012
  proxyMetadata: {A: b}
defaultProviders: {metrics: [prometheus]}
enablePrometheusMerge: true
rootNamespace: root
trustDomain: cluster.local
defaultServiceExportTo: ["."]
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
"""
    assert parse_mesh(text) == MeshConfig(
        OutboundTrafficPolicy(), "root", (".",), access_log_file="/dev/stdout"
    )


EVERYTHING = """\
protocolDetectionTimeout: 5s
connectTimeout: 1m
dnsRefreshRate: 5s
tcpKeepalive: {probes: 3, time: 10s, interval: 1s}
h2UpgradePolicy: UPGRADE
enableAutoMtls: false
defaultHttpRetryPolicy: {attempts: 5, perTryTimeout: 2s, retryOn: 5xx, backoff: 25ms}
defaultTrafficPolicy:
  connectionPool: {tcp: {maxConnections: 7}}
  outlierDetection: {consecutive5xxErrors: 3}
localityLbSetting: {failover: [{from: eu, to: us}]}
zoneAwareLbSetting: {enabled: true, minClusterSize: 3}
pathNormalization: {normalization: MERGE_SLASHES}
proxyListenPort: 15101
proxyInboundListenPort: 15106
proxyHttpPort: 3128
trustDomain: td.example
trustDomainAliases: [old.example]
defaultVirtualServiceExportTo: ["."]
defaultDestinationRuleExportTo: ["~", shop]
tlsDefaults: {minProtocolVersion: TLSV1_3, ecdhCurves: [P-256], cipherSuites: [AES128-SHA]}
defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}}
"""


def test_every_field_that_is_read() -> None:
    """Durations in nanoseconds; what is not said has Istio's default."""
    expected = MeshConfig(
        OutboundTrafficPolicy("ALLOW_ANY"),
        default_virtual_service_export_to=(".",),
        default_destination_rule_export_to=("~", "shop"),
        protocol_detection_timeout=5 * SECOND,
        connect_timeout=60 * SECOND,
        dns_refresh_rate=5 * SECOND,
        tcp_keepalive=TcpKeepalive(3, 10 * SECOND, SECOND),
        h2_upgrade_policy="UPGRADE",
        enable_auto_mtls=False,
        default_http_retry_policy=Retries(5, 2 * SECOND, "5xx", backoff=25 * MILLISECOND),
        default_traffic_policy=TrafficPolicy(
            connection_pool=ConnectionPool(TcpPool(7)),
            outlier_detection=OutlierDetection(consecutive_5xx_errors=3),
        ),
        locality_lb=LocalityLb(failover=(Failover("eu", "us"),)),
        zone_aware_lb=ZoneAwareLb(True, min_cluster_size=3),
        path_normalization="MERGE_SLASHES",
        proxy_listen_port=15101,
        proxy_inbound_listen_port=15106,
        proxy_http_port=3128,
        trust_domain="td.example",
        tls_defaults=TlsDefaults(("P-256",), ("AES128-SHA",)),
        dns_capture=True,
    )
    assert parse_mesh(EVERYTHING) == expected


def test_names_and_numbers_as_protobuf_reads_them() -> None:
    """snake_case at every depth, quoted numbers, null for absent."""
    text = """\
connect_timeout: 1m
proxy_listen_port: "15101"
default_config: {proxy_metadata: {ISTIO_META_DNS_CAPTURE: "1"}}
default_traffic_policy:
  connection_pool: {http: {http1_max_pending_requests: 4, max_retries: null}}
root_namespace: null
enable_auto_mtls: null
"""
    mesh = parse_mesh(text)
    assert mesh.connect_timeout == 60 * SECOND
    assert mesh.proxy_listen_port == 15101
    assert mesh.dns_capture
    assert mesh.root_namespace == "istio-system"
    assert mesh.enable_auto_mtls
    policy = mesh.default_traffic_policy
    assert policy is not None
    assert policy.connection_pool is not None
    assert policy.connection_pool.http is not None
    assert policy.connection_pool.http.http1_max_pending_requests == 4


def test_what_does_nothing_is_warned_of() -> None:
    """A warning of istiod's own warning, not an error."""
    text = 'defaultConfig: {proxyMetadata: {ISTIO_META_DNS_AUTO_ALLOCATE: "true"}}'
    mesh, (warning,) = read_mesh(text, "mesh.yaml")
    assert not mesh.dns_capture
    assert warning.severity == "warning"
    assert str(warning.position) == "mesh.yaml:1:33"


def test_empty_values_are_the_defaults() -> None:
    """An empty list exports to everyone, an empty name is the root namespace."""
    mesh = parse_mesh("defaultServiceExportTo: []\nrootNamespace: ''\n")
    assert mesh.default_service_export_to == ("*",)
    assert mesh.root_namespace == "istio-system"


@pytest.mark.parametrize(
    ("text", "place", "rule", "words"),
    [
        ("outboundTraficPolicy: {}", "1:1", "mesh/unknown-field", '"outboundTrafficPolicy"'),
        ("outboundTrafficPolicy: {mod: x}", "1:25", "mesh/unknown-field", '"mode"'),
        ("outboundTrafficPolicy: {mode: BLOCK}", "1:31", "schema/enum", "REGISTRY_ONLY"),
        (
            "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE}}",
            "1:54",
            "mesh/unsupported-field",
            "cluster",
        ),
        ("outboundTrafficPolicy: ALLOW_ANY", "1:24", "schema/type", "a mapping"),
        (
            "serviceEntryVisibility: {apply_to_sidecars: true}",
            "1:26",
            "mesh/unsupported-field",
            "exportTo",
        ),
        ("discoverySelectors: [{}]", "1:1", "mesh/unsupported-field", "cluster"),
        ("connectTimeout: 2h", "1:17", "mesh/duration", "an hour"),
        ("connectTimeout: 0s", "1:17", "schema/duration", "at least 1ms"),
        ("connectTimeout: 5", "1:17", "schema/type", "a text such as 30s"),
        ("protocolDetectionTimeout: 1500us", "1:27", "mesh/duration", "whole milliseconds"),
        ("dnsRefreshRate: 1ms", "1:17", "mesh/duration", "Envoy"),
        ("proxyListenPort: 0", "1:18", "schema/range", "1 to 65535"),
        ("trustDomain: a_b", "1:14", "mesh/trust-domain", "cluster.local"),
        ("trustDomainAliases: [a, '']", "1:25", "mesh/trust-domain", "cluster.local"),
        (
            "localityLbSetting: {distribute: [{from: a, to: {b: 1}}]}",
            "1:44",
            "locality/weight",
            "100",
        ),
        ("localityLbSetting: {failover: [true]}", "1:32", "schema/type", "a mapping"),
        ("localityLbSetting: {distribute: [[]]}", "1:34", "schema/type", "a mapping"),
        ("defaultServiceExportTo: [1]", "1:26", "schema/type", "quotes"),
        ("defaultTrafficPolicy: {connection_pool: {}}", "1:24", "connection-pool/empty", "tcp"),
        ("defaultConfig: {proxyHeaders: {}}\nh2UpgradePolicy: x", "2:18", "schema/enum", "UPGRADE"),
        ("defaultConfig: {runtimeValues: {a: b}}", "1:17", "mesh/unsupported-field", "Envoy"),
        ("defaultConfig: {interceptionMode: NONE}", "1:35", "mesh/unsupported-field", "captures"),
        ("defaultConfig: {concurency: 1}", "1:17", "mesh/unknown-field", '"concurrency"'),
        (
            "defaultConfig: {proxyMetadata: {ISTIO_META_IDLE_TIMEOUT: 5s}}",
            "1:33",
            "mesh/unsupported-field",
            "outbound",
        ),
        ("defaultConfig: {proxyMetadata: {A: true}}", "1:36", "schema/type", "quotes"),
        ("defaultConfig: []", "1:16", "schema/type", "a mapping"),
        ("defaultServiceExportTo: [Foo_]", "1:26", "mesh/export-to", "namespace"),
        ("rootNamespace: 5", "1:16", "schema/type", "quotes"),
        ("- a", "1:1", "mesh/form", "MeshConfig"),
        ("a: b", "1:1", "mesh/form", "MeshConfig"),
        ("a: [", "1:4", "yaml/syntax", "brackets"),
        ("rootNamespace: a\n---\nrootNamespace: b", "3:1", "mesh/documents", "one document"),
        (
            "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'yes'}}",
            "1:57",
            "mesh/proxy-metadata",
            "boolean",
        ),
    ],
)
def test_what_is_wrong_with_a_mesh_file(text: str, place: str, rule: str, words: str) -> None:
    """Unknown fields and fields that could change a verdict are errors at their place."""
    with pytest.raises(ContractError) as caught:
        parse_mesh(text, "mesh.yaml")
    problem = caught.value.problems[-1]
    assert str(problem.position) == f"mesh.yaml:{place}"
    assert problem.rule == rule
    assert words in problem.message
