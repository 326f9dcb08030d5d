"""Kubernetes object metadata: checked as the API server does, as far as this program uses it."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

from pytest_egress.contract.crds import METADATA
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.resources import Metadata
from pytest_egress.contract.schema import WRONG, check
from pytest_egress.contract.syntax import label_flaw

__all__ = ["read_metadata"]

_LABEL = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NAMESPACE = re.compile(_LABEL)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(?:Z|([-+])(\d\d):(\d\d))", re.ASCII
)
_REFUSED_ANNOTATIONS = frozenset(
    {
        "internal.istio.io/parent-namespace",
        "internal.istio.io/parents",
        "internal.istio.io/webhook-always-reject",
        "istio.io/dry-run",
    }
)


def read_metadata(raw: Any, report: Report) -> Metadata:
    """The metadata of an object; whatever is wrong with it is reported and left at its default.

    A missing namespace is ``default``. ``creationTimestamp`` is RFC 3339.
    """
    path: Path = ("metadata",)
    if raw is None:
        message = "metadata is missing: an object needs at least metadata.name"
        report.error("metadata/name", message, path)
        return Metadata("")
    values = check(raw, METADATA, path, report)
    if values is WRONG:
        return Metadata("")
    name = values.get("name", "")
    if "name" in values or "name" not in raw:
        _check_name(name, values, report)
    namespace = _text(values.get("namespace"), (*path, "namespace"), report)
    if namespace and (len(namespace) > 63 or _NAMESPACE.fullmatch(namespace) is None):
        message = f'"{namespace}" is not a namespace: lower case letters, digits, inner hyphens'
        report.error("metadata/namespace", message, (*path, "namespace"))
    labels = _texts(values, "labels", report)
    for key, value in labels.items():
        if flaw := label_flaw(key, value) or _long_value(value):
            report.error("metadata/label", flaw, (*path, "labels", key))
    annotations = _texts(values, "annotations", report)
    for key in annotations:
        if key in _REFUSED_ANNOTATIONS:
            message = f'annotation "{key}" is refused by istiod here: remove it'
            report.error("metadata/annotation", message, (*path, "annotations", key), key=True)
    return Metadata(
        name,
        namespace or "default",
        MappingProxyType(labels),
        MappingProxyType(annotations),
        _timestamp(values.get("creationTimestamp"), report),
    )


def _check_name(name: str, values: dict[str, Any], report: Report) -> None:
    if not name:
        if not values.get("generateName"):
            message = "metadata.name is missing: Kubernetes stores no object without a name"
            report.error("metadata/name", message, ("metadata", "name"))
    elif len(name) > 253 or _SUBDOMAIN.fullmatch(name) is None:
        message = (
            f'"{name}" is not a name: lower case letters, digits, "-" and ".", '
            "beginning and ending with a letter or digit"
        )
        report.error("metadata/name", message, ("metadata", "name"))


def _text(value: Any, path: Path, report: Report) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    message = f"{path[-1]} must be a text, not {value!r}: put it in quotes"
    report.error("schema/type", message, path)
    return ""


def _texts(values: dict[str, Any], field: str, report: Report) -> dict[str, str]:
    """A map of texts; Kubernetes takes null for an empty map and for an empty text."""
    raw = values.get(field)
    if raw is None:
        return {}
    path: Path = ("metadata", field)
    if not isinstance(raw, dict):
        report.error("schema/type", f"{field} must be a mapping of texts", path)
        return {}
    return {key: _text(value, (*path, key), report) for key, value in raw.items()}


def _long_value(value: str) -> str | None:
    return f"the label value has {len(value)} characters: at most 63" if len(value) > 63 else None


def _timestamp(value: Any, report: Report) -> float:
    """Seconds since the epoch; infinity when the file gives none, as Istio's own store says now."""
    if value is None:
        return math.inf
    moment = _rfc3339(value) if isinstance(value, str) else None
    if moment is not None:
        return moment
    message = f'"{value}" is not a time: write it as RFC 3339 does, 2024-01-31T12:00:00Z'
    report.error("metadata/creation-timestamp", message, ("metadata", "creationTimestamp"))
    return math.inf


def _rfc3339(text: str) -> float | None:
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:  # a day that no calendar has
        return None
    ahead = (int(found[9] or 0) * 3600 + int(found[10] or 0) * 60) * (1 if found[8] == "+" else -1)
    return moment.timestamp() + float(found[7] or 0) - ahead
