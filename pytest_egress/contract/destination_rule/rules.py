"""Rules for a DestinationRule: istiod's ``ValidateDestinationRule`` and the CRD's CEL rules."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.destination_rule.traffic_policy import check_traffic_policy
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.resources import Metadata
from pytest_egress.contract.schema import WRONG
from pytest_egress.contract.selector import check_export_to, check_labels
from pytest_egress.contract.syntax import host_flaw, is_dns_label, label_flaw

__all__ = ["check_destination_rule"]

_KIND = "destination-rule"


def check_destination_rule(
    spec: dict[str, Any], raw: dict[str, Any], metadata: Metadata, report: Report
) -> None:
    """Report what istiod or the API server says of this rule (see ``check_service_entry``)."""
    if "spec" not in report.value:
        message = "a DestinationRule needs a spec with a host"
        report.error("destination-rule/host", message, ("spec",))
    if "host" in spec and (flaw := host_flaw(spec["host"])):
        report.error("destination-rule/host", flaw, ("spec", "host"))
    if "trafficPolicy" in spec:
        path: Path = ("spec", "trafficPolicy")
        check_traffic_policy(
            spec["trafficPolicy"], raw["trafficPolicy"], path, metadata.namespace, report
        )
    names: set[str] = set()
    for i, subset in enumerate(spec.get("subsets", ())):
        if subset is not WRONG:
            _check_subset(
                subset, raw["subsets"][i], ("spec", "subsets", i), names, metadata, report
            )
    selector = spec.get("workloadSelector")
    if "exportTo" in spec:
        check_export_to(spec["exportTo"], metadata.namespace, _KIND, report)
        if selector is not None:
            _check_own_namespace(spec["exportTo"], metadata.namespace, report)
    if selector is not None:
        path = ("spec", "workloadSelector", "matchLabels")
        check_labels(selector.get("matchLabels", {}), path, _KIND, report)
        if not raw["workloadSelector"].get("matchLabels"):
            message = "workloadSelector has no labels: it selects every workload of the namespace"
            report.warning("destination-rule/selector-empty", message, path[:-1])


def _check_subset(
    subset: dict[str, Any],
    raw: dict[str, Any],
    path: Path,
    names: set[str],
    metadata: Metadata,
    report: Report,
) -> None:
    name = subset.get("name")
    if name is not None:
        if not is_dns_label(name):
            message = f'"{name}" is not a subset name: letters, digits and inner hyphens'
            report.error("destination-rule/subset-name", message, (*path, "name"))
        if name in names:
            message = f'subset "{name}" is defined already: give each its own name'
            report.error("destination-rule/subset-duplicate", message, (*path, "name"))
        names.add(name)
    for key, value in subset.get("labels", {}).items():
        if flaw := label_flaw(key, value):
            report.error("destination-rule/label", flaw, (*path, "labels", key), key=True)
    if "trafficPolicy" in subset:
        check_traffic_policy(
            subset["trafficPolicy"],
            raw["trafficPolicy"],
            (*path, "trafficPolicy"),
            metadata.namespace,
            report,
            warn=False,
        )


def _check_own_namespace(export_to: list[Any], namespace: str, report: Report) -> None:
    """A rule for some workloads is seen by its own namespace only."""
    named = {namespace if it == "." else it for it in export_to if it is not WRONG}
    if named and named != {namespace}:
        message = 'with a workloadSelector the rule stays in its own namespace: exportTo: ["."]'
        report.error("destination-rule/export-to-selector", message, ("spec", "exportTo"))
