"""Values of Istio's Helm charts beside ``meshConfig`` that change outbound traffic."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pytest_egress.contract.report import Path, Report

__all__ = ["HELM_VALUES", "check_values", "defaults_of", "pilot_env"]

#: Top-level names by which a file is known as values of the charts base, istiod or a profile.
HELM_VALUES = frozenset(
    (
        "_internal_defaults_do_not_set",
        "base",
        "cni",
        "compatibilityVersion",
        "defaultRevision",
        "gateways",
        "global",
        "istio_cni",
        "istiodRemote",
        "meshConfig",
        "pilot",
        "profile",
        "sidecarInjectorWebhook",
        "telemetry",
        "ztunnel",
    )
)
_NEEDS = "only a cluster can enforce it"
_LEGACY: Mapping[str, str] = MappingProxyType(
    {
        "outboundTrafficPolicy": "meshConfig.outboundTrafficPolicy",
        "defaultConfigVisibilitySettings": "meshConfig.defaultServiceExportTo and its siblings",
        "localityLbSetting": "meshConfig.localityLbSetting",
        "trustDomain": "meshConfig.trustDomain",
    }
)
_CAPTURE: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "includeIPRanges": ("*", "", None),
        "excludeIPRanges": ("", None),
        "includeOutboundPorts": ("", None),
        "excludeOutboundPorts": ("", None),
    }
)
#: Flags of istiod that change what a sidecar gets for outbound traffic, with the values that
#: keep it as it is compiled here.
_PILOT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "COMPLIANCE_POLICY": ("",),
        "DISABLE_SHADOW_HOST_SUFFIX": ("true",),
        "ENABLE_ENHANCED_DESTINATIONRULE_MERGE": ("true",),
        "ENABLE_LOCALITY_WEIGHTED_LB_CONFIG": ("false",),
        "ENABLE_WILDCARD_HOST_SERVICE_ENTRIES_FOR_TLS": ("false",),
        "ISTIO_DUAL_STACK": ("false",),
        "ISTIO_WATCH_NAMESPACE": ("",),
        "PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS": ("true",),
        "PILOT_ENABLE_ABSOLUTE_FQDN_VHOST_DOMAIN": ("true",),
        "PILOT_ENABLE_IP_AUTOALLOCATE": ("true",),
        "PILOT_ENABLE_MONGO_FILTER": ("true",),
        "PILOT_ENABLE_MYSQL_FILTER": ("false",),
        "PILOT_ENABLE_PERSISTENT_SESSION_FILTER": ("false",),
        "PILOT_ENABLE_REDIS_FILTER": ("false",),
        "PILOT_ENABLE_SERVICEENTRY_SELECT_PODS": ("true",),
        "PILOT_ENABLE_STRICT_GATEWAY_MERGING": ("true",),
        "PILOT_HTTP10": ("false",),
        "PILOT_IGNORE_RESOURCES": ("",),
        "PILOT_INCLUDE_RESOURCES": ("",),
        "PILOT_IP_AUTOALLOCATE_IPV4_PREFIX": ("240.240.0.0/16",),
        "PILOT_IP_AUTOALLOCATE_IPV6_PREFIX": ("2001:2::/48",),
        "PILOT_SCOPE_GATEWAY_TO_NAMESPACE": ("false",),
        "PILOT_SEND_UNHEALTHY_ENDPOINTS": ("false",),
        "PILOT_SIDECAR_PICK_BEST_SERVICE_NAMESPACE": ("true",),
        "PILOT_SIDECAR_USE_REMOTE_ADDRESS": ("false",),
        "PILOT_UNIFIED_SIDECAR_SCOPE": ("true",),
        "PREFER_DESTINATIONRULE_TLS_FOR_EXTERNAL_SERVICES": ("true",),
        "SHARED_MESH_CONFIG": ("",),
    }
)
_PROFILES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "ambient": {},
        "default": {},
        "demo": {"accessLogFile": "/dev/stdout"},
        "empty": {},
        "minimal": {},
        "openshift": {},
        "openshift-ambient": {},
        "preview": {"defaultConfig": {"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}}},
        "remote": {},
        "stable": {},
    }
)


def defaults_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a profile and ``global.istioNamespace`` put into MeshConfig."""
    found = dict(_PROFILES.get(_profile(values), {}))
    namespace = _global(values).get("istioNamespace")
    if isinstance(namespace, str) and namespace:
        found["rootNamespace"] = namespace
    return found


def check_values(values: Mapping[str, Any], base: Path, report: Report) -> None:
    """Report the values at ``base`` that change outbound traffic and are not enforced."""
    profile = _profile(values)
    if profile and profile not in _PROFILES:
        message = f'profile "{profile}" is not known, and not what it sets: {_NEEDS}'
        report.error("mesh/unsupported-field", message, (*base, *_profile_path(values)))
    if values.get("compatibilityVersion"):
        message = (
            "compatibilityVersion makes istiod behave as an older one, which is not known here: "
            f"{_NEEDS}"
        )
        place = (*base, "compatibilityVersion")
        report.error("mesh/unsupported-field", message, place, key=True)
    settings = _global(values)
    for name, successor in _LEGACY.items():
        if settings.get(name):
            message = f"global.{name} is read by no chart any more: write {successor}"
            report.error("mesh/legacy", message, (*base, "global", name), key=True)
    proxy = settings.get("proxy")
    for name, harmless in _CAPTURE.items():
        if isinstance(proxy, dict) and proxy.get(name) not in harmless:
            _check_capture(name, proxy[name], (*base, "global", "proxy", name), report)
    for path in (("env",), ("pilot", "env")):
        holder: Any = values
        for step in path:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            names = {name: ((name,), value) for name, value in holder.items()}
            pilot_env(names, (*base, *path), report)


def pilot_env(variables: Mapping[Any, tuple[Path, Any]], base: Path, report: Report) -> None:
    """The environment of istiod: each variable with its place below ``base`` and its value."""
    for name, (step, value) in variables.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if name in _PILOT and text not in _PILOT[name]:
            message = f"{name}={text} changes what istiod gives to sidecars: {_NEEDS}"
            report.error("mesh/unsupported-field", message, (*base, *step), key=True)


def _check_capture(name: str, value: Any, path: Path, report: Report) -> None:
    if name == "includeIPRanges":
        message = (
            f'with includeIPRanges "{value}" calls to all other addresses bypass the sidecar: '
            f"a verdict on them would be wrong, {_NEEDS}"
        )
        report.error("mesh/unsupported-field", message, path)
    elif name.startswith("exclude"):
        message = (
            f"calls to {value} bypass the sidecar ({name}), and are judged here as if they did not"
        )
        report.warning("lint/mesh-bypass", message, path)


def _global(values: Mapping[str, Any]) -> Mapping[str, Any]:
    found = values.get("global")
    return found if isinstance(found, dict) else {}


def _profile_path(values: Mapping[str, Any]) -> Path:
    return ("profile",) if values.get("profile") else ("global", "profile")


def _profile(values: Mapping[str, Any]) -> str:
    found = values.get("profile") or _global(values).get("profile")
    return found if isinstance(found, str) else ""
