"""Rules that several resources share: workload selectors and ``exportTo``."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.schema import WRONG
from pytest_egress.contract.syntax import is_dns_label

__all__ = ["check_export_to", "check_labels", "check_selector"]

_WORDS = (".", "*", "~")


def check_selector(selector: Any, raw: Any, kind: str, report: Report) -> None:
    """``workloadSelector``: no wildcards, no empty key; without labels it takes every workload."""
    path: Path = ("spec", "workloadSelector")
    if selector is None:
        return
    check_labels(selector.get("labels", {}), (*path, "labels"), kind, report)
    if not raw.get("labels"):
        message = "workloadSelector has no labels: it selects every workload of the namespace"
        report.warning(f"{kind}/selector-empty", message, path)


def check_labels(labels: dict[str, str], path: Path, kind: str, report: Report) -> None:
    """The labels of a selector, at ``path``: no wildcards, no empty key."""
    for key, value in labels.items():
        place = (*path, key)
        if key == "":
            message = "a label of the selector has an empty key: give the label's name"
            report.error(f"{kind}/selector-key", message, place, key=True)
        elif "*" in key or "*" in value:
            message = f'"{key}: {value}": wildcards are not supported in a selector'
            report.error(f"{kind}/selector-wildcard", message, place, key="*" in key)


def check_export_to(export_to: list[Any], namespace: str, kind: str, report: Report) -> None:
    """``exportTo``: ``.``, ``*`` or namespaces, each once; a ServiceEntry may say ``~``.

    ``*`` and ``~`` stand alone.
    """
    words = _WORDS if kind == "service-entry" else _WORDS[:-1]
    path: Path = ("spec", "exportTo")
    seen: set[str] = set()
    for i, entry in enumerate(export_to):
        if entry is WRONG:
            continue
        key = namespace if entry == "." else entry
        if key in seen:
            own = f" ({namespace} is this resource's own namespace)" if key == namespace else ""
            message = f'"{entry}" is in exportTo already{own}: remove it'
            report.error(f"{kind}/export-to-duplicate", message, (*path, i))
        elif entry not in words and not is_dns_label(entry):
            expected = ", ".join(f'"{word}"' for word in words)
            message = f'"{entry}" is not an exportTo entry: expected {expected} or a namespace'
            report.error(f"{kind}/export-to", message, (*path, i))
        else:
            seen.add(key)
    for alone, meaning in (("*", "everyone"), ("~", "no one")):
        if alone in seen and len(export_to) > 1:
            message = f'"{alone}" ({meaning}) must be the only entry of exportTo'
            report.error(f"{kind}/export-to-alone", message, (*path, export_to.index(alone)))
