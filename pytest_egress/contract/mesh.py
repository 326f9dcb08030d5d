"""MeshConfig YAML to the part of it that decides outbound traffic."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pytest_egress.contract.position import Problem
from pytest_egress.contract.reader import read_documents
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.resources import MeshConfig, OutboundTrafficPolicy
from pytest_egress.contract.schema import WRONG, List, Obj, Shape, Text, check
from pytest_egress.contract.source import Source
from pytest_egress.contract.suggest import did_you_mean
from pytest_egress.contract.syntax import is_dns_label
from pytest_egress.errors import ContractError

__all__ = ["parse_mesh"]

_MODES = ("REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS")
_READ: Mapping[str, Shape] = MappingProxyType(
    {
        "outboundTrafficPolicy": Obj({"mode": Text(choices=_MODES)}, open=True),
        "rootNamespace": Text(),
        "defaultServiceExportTo": List(Text()),
        "accessLogFile": Text(),
    }
)
# No outbound verdict depends on these: ports and telemetry of the proxy, inbound traffic,
# identity, and rules about kinds of resources that are not supported here.
_HARMLESS = frozenset(
    (
        "accessLogEncoding",
        "accessLogFormat",
        "ca",
        "caCertificates",
        "certificates",
        "configSources",
        "connectTimeout",
        "defaultConfig",
        "defaultDestinationRuleExportTo",
        "defaultProviders",
        "defaultVirtualServiceExportTo",
        "disableEnvoyListenerLog",
        "dnsRefreshRate",
        "enableAutoMtls",
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
        "localityLbSetting",
        "meshMTLS",
        "outboundClusterStatName",
        "pathNormalization",
        "proxyHttpPort",
        "serviceScopeConfigs",
        "serviceSettings",
        "tcpKeepalive",
        "tlsDefaults",
        "trustDomain",
        "trustDomainAliases",
        "verifyCertificateAtClient",
        "zoneAwareLbSetting",
    )
)
_DECISIVE: Mapping[str, str] = MappingProxyType(
    {
        "defaultHttpRetryPolicy": "it changes how often a call is tried",
        "defaultTrafficPolicy": "it changes how upstreams are called",
        "discoverySelectors": "it hides whole namespaces",
        "h2UpgradePolicy": "it changes the protocol of calls",
        "protocolDetectionTimeout": "it changes how an unknown protocol is told",
        "proxyInboundListenPort": "the port is reserved, and outbound calls to it are not routed",
        "proxyListenPort": "the port is reserved, and outbound calls to it are not routed",
        "serviceEntryVisibility": "it narrows exportTo",
    }
)


def parse_mesh(text: str, file: str = "<string>") -> MeshConfig:
    """A MeshConfig file, read as Istio reads it.

    Without ``outboundTrafficPolicy`` the policy is Istio's default, ALLOW_ANY; with an empty
    one (``outboundTrafficPolicy: {}``) it is REGISTRY_ONLY. Field names may be camelCase or
    snake_case, as in protobuf's JSON.

    Raises:
        ContractError: the text is not a MeshConfig, or has a field that could change an outbound
            verdict and is not implemented.
    """
    problems: list[Problem] = []
    source = Source(file, text)
    documents = [d for d in read_documents(source, problems) if not d.is_empty()]
    mesh = MeshConfig(OutboundTrafficPolicy("ALLOW_ANY"))
    if len(documents) > 1:
        message = "a MeshConfig is one document: this file has several"
        problems.append(Problem("error", message, documents[1].position(()), "mesh/documents"))
    elif documents:
        report = Report(documents[0])
        mesh = _read(documents[0].value, report)
        problems.extend(report.problems)
    if problems:
        raise ContractError(problems)
    return mesh


def _read(value: Any, report: Report) -> MeshConfig:
    default = MeshConfig(OutboundTrafficPolicy("ALLOW_ANY"))
    if not isinstance(value, dict) or "kind" in value:
        message = "not a MeshConfig: give the mapping itself, such as rootNamespace: istio-system"
        if isinstance(value, dict):
            message += " (in a ConfigMap it is the text under data.mesh)"
        report.error("mesh/not-a-mapping", message, ())
        return default
    fields: dict[str, Any] = {}
    for given, inner in value.items():
        name = _camel(given)
        if name in _READ:
            checked = check(inner, _READ[name], (given,), report)
            if checked is not WRONG:
                fields[name] = checked
        elif name in _DECISIVE:
            message = f"{given} is not supported ({_DECISIVE[name]}): only a cluster can enforce it"
            report.error("mesh/unsupported-field", message, (given,), key=True)
        elif name not in _HARMLESS:
            known = sorted({*_READ, *_HARMLESS, *_DECISIVE})
            message = f'unknown field "{given}" in MeshConfig: {did_you_mean(given, known)}'
            report.error("mesh/unknown-field", message, (given,), key=True)
    _check_metadata(value, report)
    return MeshConfig(
        _policy(value, fields, report),
        fields.get("rootNamespace") or default.root_namespace,
        _export_to(fields, report) or default.default_service_export_to,
        access_log_file=fields.get("accessLogFile", ""),
    )


def _policy(value: dict[str, Any], fields: dict[str, Any], report: Report) -> OutboundTrafficPolicy:
    policy = fields.get("outboundTrafficPolicy")
    if policy is None:
        return OutboundTrafficPolicy("ALLOW_ANY")
    given = next(name for name in value if _camel(name) == "outboundTrafficPolicy")
    for name in value[given]:
        if name == "tls":
            message = "outboundTrafficPolicy.tls is not supported: only a cluster can enforce it"
            report.error("mesh/unsupported-field", message, (given, name), key=True)
        elif name != "mode":
            message = f'unknown field "{name}" in {given}: {did_you_mean(name, ["mode"])}'
            report.error("mesh/unknown-field", message, (given, name), key=True)
    return OutboundTrafficPolicy(policy.get("mode", "REGISTRY_ONLY"))


def _export_to(fields: dict[str, Any], report: Report) -> tuple[str, ...]:
    entries = fields.get("defaultServiceExportTo", [])
    for i, entry in enumerate(entries):
        if entry is not WRONG and entry not in {".", "*", "~"} and not is_dns_label(entry):
            message = f'"{entry}" is not an exportTo entry: expected ".", "*", "~" or a namespace'
            report.error("mesh/export-to", message, ("defaultServiceExportTo", i))
    return tuple(entry for entry in entries if entry is not WRONG)


def _check_metadata(value: dict[str, Any], report: Report) -> None:
    """``defaultConfig.proxyMetadata`` may switch DNS capture on for every pod."""
    config = value.get("defaultConfig", value.get("default_config"))
    metadata = config.get("proxyMetadata") if isinstance(config, dict) else None
    for name in metadata if isinstance(metadata, dict) else ():
        if name in {"ISTIO_META_DNS_CAPTURE", "ISTIO_META_DNS_AUTO_ALLOCATE"}:
            path: Path = ("defaultConfig", "proxyMetadata", name)
            message = (
                f"{name} in proxyMetadata is not read from here: set dns_capture of the workload"
            )
            report.error("mesh/unsupported-field", message, path, key=True)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
