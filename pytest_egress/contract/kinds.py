"""Which kinds of objects there are, and what becomes of each.

A kind with an entry in ``_SUPPORTED`` or ``_LATE`` is decoded; the next one to come is added there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any

from pytest_egress.contract.crds import SERVICE_ENTRY, SIDECAR, WORKLOAD_ENTRY
from pytest_egress.contract.decode import (
    build_service_entry,
    build_sidecar,
    build_workload_entry,
)
from pytest_egress.contract.endpoints import check_workload_entry
from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Report
from pytest_egress.contract.resources import Metadata, Resource
from pytest_egress.contract.schema import Obj
from pytest_egress.contract.service_entry import check_service_entry
from pytest_egress.contract.sidecar import check_sidecar
from pytest_egress.contract.suggest import did_you_mean, nearest

__all__ = ["GROUP", "KNOWN", "VERSIONS", "Kind", "classify"]

GROUP = "networking.istio.io"
VERSIONS = ("v1", "v1beta1", "v1alpha3")


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind is read: its shape, its rules, its typed resource.

    ``lint`` looks at all resources, once the contract has one of this kind; it is also given the
    kinds of which an object was refused, so that what is missing may be there.
    """

    shape: Obj
    check: Callable[[dict[str, Any], dict[str, Any], Metadata, Report], None]
    build: Callable[..., Resource]
    lint: Callable[[Sequence[Resource], frozenset[str]], Iterable[Problem]] | None = None


_SUPPORTED: Mapping[str, Kind] = MappingProxyType(
    {
        "ServiceEntry": Kind(SERVICE_ENTRY, check_service_entry, build_service_entry),
        "WorkloadEntry": Kind(
            WORKLOAD_ENTRY,
            lambda spec, raw, _metadata, report: check_workload_entry(spec, raw, report),
            build_workload_entry,
        ),
        "Sidecar": Kind(SIDECAR, check_sidecar, build_sidecar),
    }
)
# Their many types and rules are imported when the first such object is met.
_LATE: Mapping[str, str] = MappingProxyType(
    {
        "DestinationRule": "pytest_egress.contract.destination_rule.kind",
        "Gateway": "pytest_egress.contract.gateway.kind",
        "VirtualService": "pytest_egress.contract.virtual_service.kind",
    }
)
# These change what a pod may reach: reading past them would make a wrong verdict.
_UNSUPPORTED = ("EnvoyFilter", "ProxyConfig")
_HARMLESS = ("WorkloadGroup",)
KNOWN = (*_SUPPORTED, *_LATE, *_UNSUPPORTED, *_HARMLESS)
_ONLY_ISTIO = frozenset(KNOWN) - {"Gateway", "Sidecar", "ProxyConfig"}
_CORE_GROUPS = frozenset({"apps", "batch", "autoscaling", "policy", ""})


def classify(value: Any, report: Report) -> Kind | str | None:
    """What a document is: a supported kind, the name of one to leave alone, or an error (None)."""
    if not isinstance(value, dict):
        message = "not a Kubernetes object: a document is a mapping with apiVersion, kind, metadata"
        report.error("document/not-an-object", message, ())
        return None
    version, kind = value.get("apiVersion"), value.get("kind")
    for name, given in (("apiVersion", version), ("kind", kind)):
        if isinstance(given, str) and given:
            continue
        if name in value:
            message = f"{name} must be a text"
        else:
            similar = nearest(name, [key for key in value if key not in _TOP], cutoff=0.75)
            example = "networking.istio.io/v1" if name == "apiVersion" else "ServiceEntry"
            hint = f': found "{similar}"' if similar else f", such as {name}: {example}"
            message = f"not a Kubernetes object: {name} is missing{hint}"
        report.error(f"document/{name.lower()}", message, (name,))
        return None
    assert isinstance(version, str)
    assert isinstance(kind, str)
    group, slash, number = version.rpartition("/")
    if group == GROUP:
        return _istio_kind(kind, number, report)
    if not slash and version == GROUP:
        message = f'apiVersion "{version}" lacks the version: write {GROUP}/v1'
    elif kind in _ONLY_ISTIO or (kind in KNOWN and nearest(group, [GROUP], 0.9)):
        message = f'{kind} is of the group {GROUP}, not "{version}": write {GROUP}/v1'
    else:
        return f"{kind} of {group}" if kind in KNOWN else kind
    report.error("document/apiversion", message, ("apiVersion",))
    return None


_TOP = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})


def _istio_kind(kind: str, version: str, report: Report) -> Kind | str | None:
    if kind not in KNOWN:
        message = f'unknown kind "{kind}" in {GROUP}: {did_you_mean(kind, KNOWN)}'
        report.error("unknown-kind", message, ("kind",))
        return None
    if version not in VERSIONS:
        versions = [f"{GROUP}/{known}" for known in VERSIONS]
        message = f'unknown version "{version}": {did_you_mean(f"{GROUP}/{version}", versions)}'
        report.error("document/apiversion", message, ("apiVersion",))
        return None
    if kind in _UNSUPPORTED:
        message = (
            f"{kind} is not supported yet, and it can change what a pod may reach: "
            "leave it out of the contract"
        )
        report.error("unsupported-kind", message, ("kind",))
        return None
    if kind in _LATE:
        return _late(kind)
    return _SUPPORTED.get(kind, kind)


@cache
def _late(kind: str) -> Kind:
    found = import_module(_LATE[kind]).KIND
    assert isinstance(found, Kind)
    return found
