"""From a MeshConfig as written to the part of it that decides outbound traffic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pytest_egress.contract.connection_pool import check_connection_pool
from pytest_egress.contract.destination_rule.build import (
    build_connection_pool,
    build_locality_lb,
    build_outlier_detection,
    build_tcp_keepalive,
    build_zone_aware_lb,
)
from pytest_egress.contract.destination_rule.locality import check_locality_lb, check_zone_aware_lb
from pytest_egress.contract.destination_rule.resource import TrafficPolicy
from pytest_egress.contract.destination_rule.traffic_policy import check_outlier_detection
from pytest_egress.contract.duration import MILLISECOND, SECOND
from pytest_egress.contract.mesh.fields import (
    DECISIVE,
    HARMLESS,
    MESH_CONFIG,
    PROXY_DECISIVE,
    PROXY_HARMLESS,
    PROXY_METADATA,
)
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.resources import MeshConfig, OutboundTrafficPolicy, TlsDefaults
from pytest_egress.contract.schema import WRONG, check
from pytest_egress.contract.suggest import did_you_mean
from pytest_egress.contract.syntax import is_dns_label
from pytest_egress.contract.virtual_service.build import build_retries

__all__ = ["build_mesh"]

_T = TypeVar("_T")
_DEFAULT = MeshConfig(OutboundTrafficPolicy("ALLOW_ANY"))
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_NEEDS = "only a cluster can enforce it"


def build_mesh(values: dict[str, Any], report: Report) -> MeshConfig:
    """The mesh of canonical values; whatever is wrong with them is reported.

    Absent fields have Istio's defaults.
    """
    values = dict(values)
    for name in ("outboundTrafficPolicy", "defaultConfig"):
        if name in values and not isinstance(values[name], dict):
            check(values.pop(name), MESH_CONFIG.fields[name], (name,), report)
    _unknown(values, (), HARMLESS, DECISIVE, MESH_CONFIG.fields, "MeshConfig", report)
    fields: dict[str, Any] = check(values, MESH_CONFIG, (), report)
    policy = fields.get("outboundTrafficPolicy")
    if policy is not None:
        name, dynamic = "outboundTrafficPolicy", policy.get("mode") == "ALLOW_ANY_DYNAMIC_DNS"
        tls = {"tls": "it sets how undeclared hosts are called"} if dynamic else {}
        _unknown(values[name], (name,), frozenset({"tls"}), tls, {"mode": None}, name, report)
    _check(fields, report)
    raw = values.get("defaultConfig", {})
    dns_capture = _proxy_config(fields.get("defaultConfig", {}), raw, report)
    if any(problem.severity == "error" for problem in report.problems):
        return _DEFAULT  # what was refused has left gaps

    def value(name: str, default: _T) -> _T:
        found: _T = fields.get(name, default)
        return found

    def part(name: str, build: Callable[[dict[str, Any]], _T]) -> _T | None:
        return build(fields[name]) if name in fields else None

    def names(field: str) -> tuple[str, ...]:
        return tuple(fields.get(field, ())) or ("*",)

    return MeshConfig(
        _DEFAULT.outbound_traffic_policy
        if policy is None
        else OutboundTrafficPolicy(policy.get("mode", "REGISTRY_ONLY")),
        value("rootNamespace", "") or _DEFAULT.root_namespace,
        names("defaultServiceExportTo"),
        names("defaultVirtualServiceExportTo"),
        names("defaultDestinationRuleExportTo"),
        access_log_file=value("accessLogFile", ""),
        protocol_detection_timeout=value("protocolDetectionTimeout", 0),
        connect_timeout=value("connectTimeout", _DEFAULT.connect_timeout),
        dns_refresh_rate=value("dnsRefreshRate", _DEFAULT.dns_refresh_rate),
        tcp_keepalive=part("tcpKeepalive", build_tcp_keepalive),
        h2_upgrade_policy=value("h2UpgradePolicy", _DEFAULT.h2_upgrade_policy),
        enable_auto_mtls=value("enableAutoMtls", True),
        default_http_retry_policy=part("defaultHttpRetryPolicy", build_retries),
        default_traffic_policy=part("defaultTrafficPolicy", _traffic_policy),
        locality_lb=part("localityLbSetting", build_locality_lb),
        zone_aware_lb=part("zoneAwareLbSetting", build_zone_aware_lb),
        path_normalization=fields.get("pathNormalization", {}).get("normalization", "DEFAULT"),
        proxy_listen_port=value("proxyListenPort", _DEFAULT.proxy_listen_port),
        proxy_inbound_listen_port=value(
            "proxyInboundListenPort", _DEFAULT.proxy_inbound_listen_port
        ),
        proxy_http_port=value("proxyHttpPort", 0),
        trust_domain=value("trustDomain", _DEFAULT.trust_domain),
        tls_defaults=part("tlsDefaults", _tls_defaults),
        dns_capture=dns_capture,
    )


def _unknown(
    values: Mapping[str, Any],
    path: Path,
    harmless: frozenset[str],
    decisive: Mapping[str, str],
    read: Mapping[str, Any],
    holder: str,
    report: Report,
) -> None:
    for name, value in values.items():
        if name in decisive:
            if value not in ({}, []):
                message = f"{name} is not supported ({decisive[name]}): {_NEEDS}"
                report.error("mesh/unsupported-field", message, (*path, name), key=True)
        elif name not in read and name not in harmless:
            known = sorted({*read, *harmless, *decisive})
            message = f'unknown field "{name}" in {holder}: {did_you_mean(name, known)}'
            report.error("mesh/unknown-field", message, (*path, name), key=True)


def _check(fields: dict[str, Any], report: Report) -> None:
    """What istiod's ``ValidateMeshConfig`` says of the fields that are read."""
    for name in (
        "defaultServiceExportTo",
        "defaultVirtualServiceExportTo",
        "defaultDestinationRuleExportTo",
    ):
        for i, entry in enumerate(fields.get(name, ())):
            if entry is not WRONG and entry not in {".", "*", "~"} and not is_dns_label(entry):
                message = f'"{entry}" is no exportTo entry: expected ".", "*", "~" or a namespace'
                report.error("mesh/export-to", message, (name, i))
    if fields.get("connectTimeout", 0) > 3600 * SECOND:
        message = "connectTimeout must not be longer than an hour"
        report.error("mesh/duration", message, ("connectTimeout",))
    timeout = fields.get("protocolDetectionTimeout", 0)
    if timeout < 0 or timeout % MILLISECOND:
        message = "protocolDetectionTimeout must be whole milliseconds; 0s waits for ever"
        report.error("mesh/duration", message, ("protocolDetectionTimeout",))
    if fields.get("dnsRefreshRate") == MILLISECOND:
        message = "Envoy refuses a dnsRefreshRate of 1ms: it must be longer"
        report.error("mesh/duration", message, ("dnsRefreshRate",))
    if "trustDomain" in fields:
        _check_trust_domain(fields["trustDomain"], ("trustDomain",), report)
    for i, alias in enumerate(fields.get("trustDomainAliases", ())):
        _check_trust_domain(alias, ("trustDomainAliases", i), report)
    visibility = fields.get("serviceEntryVisibility")
    if isinstance(visibility, dict) and visibility.get("applyToSidecars"):
        message = f"with applyToSidecars this narrows exportTo by labels of namespaces: {_NEEDS}"
        place = ("serviceEntryVisibility", "applyToSidecars")
        report.error("mesh/unsupported-field", message, place, key=True)
    if "localityLbSetting" in fields:
        check_locality_lb(fields["localityLbSetting"], ("localityLbSetting",), report)
    if "zoneAwareLbSetting" in fields:
        check_zone_aware_lb(fields["zoneAwareLbSetting"], ("zoneAwareLbSetting",), report)
    policy = fields.get("defaultTrafficPolicy", {})
    if "connectionPool" in policy:
        pool = policy["connectionPool"]
        check_connection_pool(pool, pool, ("defaultTrafficPolicy", "connectionPool"), report)
    if "outlierDetection" in policy:
        place = ("defaultTrafficPolicy", "outlierDetection")
        check_outlier_detection(policy["outlierDetection"], place, report, warn=False)


def _check_trust_domain(domain: Any, path: Path, report: Report) -> None:
    if domain is WRONG:
        return
    labels = domain.split(".")
    if len(labels) > 1 and labels[-1] == "":
        labels.pop()  # a trailing dot
    if not all(is_dns_label(label) for label in labels):
        message = f'"{domain}" is not a trust domain: DNS labels, such as cluster.local'
        report.error("mesh/trust-domain", message, path)


def _traffic_policy(values: dict[str, Any]) -> TrafficPolicy:
    pool, outlier = values.get("connectionPool"), values.get("outlierDetection")
    return TrafficPolicy(
        connection_pool=None if pool is None else build_connection_pool(pool),
        outlier_detection=None if outlier is None else build_outlier_detection(outlier),
    )


def _tls_defaults(values: dict[str, Any]) -> TlsDefaults:
    return TlsDefaults(tuple(values.get("ecdhCurves", ())), tuple(values.get("cipherSuites", ())))


def _proxy_config(values: dict[str, Any], raw: dict[str, Any], report: Report) -> bool:
    """Check ``defaultConfig``; return whether it switches DNS capture on."""
    path: Path = ("defaultConfig",)
    read = {"interceptionMode": None, "proxyMetadata": None}
    _unknown(raw, path, PROXY_HARMLESS, PROXY_DECISIVE, read, "defaultConfig", report)
    if values.get("interceptionMode") == "NONE":
        message = f"interceptionMode NONE captures no traffic: {_NEEDS}"
        report.error("mesh/unsupported-field", message, (*path, "interceptionMode"))
    capture = False
    for name, value in values.get("proxyMetadata", {}).items():
        place = (*path, "proxyMetadata", name)
        if name == "ISTIO_META_DNS_CAPTURE":
            capture = value in _TRUE
            if value not in _TRUE and value not in _FALSE:
                message = f'"{value}" is not a boolean: expected "true" or "false"'
                report.error("mesh/proxy-metadata", message, place)
        elif name == "ISTIO_META_DNS_AUTO_ALLOCATE":
            message = f"{name} is deprecated and does nothing: addresses are allocated anyway"
            report.warning("mesh/proxy-metadata", message, place, key=True)
        elif name in PROXY_METADATA and value not in PROXY_METADATA[name]:
            message = f"{name} is not supported (it changes outbound traffic): {_NEEDS}"
            report.error("mesh/unsupported-field", message, place, key=True)
    return capture
