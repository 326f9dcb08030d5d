"""Rules for locality load balancing, in a DestinationRule and in the mesh."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.schema import WRONG

__all__ = ["check_locality_lb", "check_zone_aware_lb"]

_TOPOLOGY = frozenset(
    {
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "topology.istio.io/subzone",
    }
)
_WHOLE = 100


def check_locality_lb(
    setting: dict[str, Any], path: Path, report: Report, *, warn: bool = False
) -> None:
    """``localityLbSetting``; ``warn`` where failover lacks the outlier detection it needs."""
    distribute, failover = setting.get("distribute", []), setting.get("failover", [])
    if distribute and failover:
        message = "distribute and failover exclude one another: keep one"
        report.error("locality/both", message, (*path, "failover"), key=True)
    if failover:
        for i, label in enumerate(setting.get("failoverPriority", ())):
            if label in _TOPOLOGY:
                message = f'failover and the label "{label}" exclude one another: keep one'
                report.error("locality/priority", message, (*path, "failoverPriority", i))
    _check_distribute(distribute, (*path, "distribute"), report)
    _check_failover(setting, path, report, warn=warn)


def check_zone_aware_lb(
    setting: dict[str, Any], path: Path, report: Report, *, warn: bool = False
) -> None:
    """``zoneAwareLbSetting``; ``warn`` where failover lacks the outlier detection it needs."""
    for i, label in enumerate(setting.get("failoverPriority", ())):
        if label in _TOPOLOGY:
            message = f'"{label}" is handled by zone-aware balancing itself: remove it'
            report.error("locality/priority", message, (*path, "failoverPriority", i))
    _check_failover(setting, path, report, warn=warn)


def _check_failover(setting: dict[str, Any], path: Path, report: Report, *, warn: bool) -> None:
    used = [name for name in ("failover", "failoverPriority") if setting.get(name)]
    if warn and used:
        message = "failover happens only beside outlierDetection, which is missing here"
        report.warning("locality/outlier-detection", message, (*path, used[0]), key=True)
    for i, item in enumerate(setting.get("failover", ())):
        if item is WRONG:
            continue
        source, target = item.get("from", ""), item.get("to", "")
        if source == target:
            message = f'failover from "{source}" to itself: name two regions'
        elif "/" in source + target:
            message = "failover is between regions: remove the zone"
        elif "*" in source + target:
            message = "failover is between regions by name: no wildcard"
        else:
            continue
        report.error("locality/failover", message, (*path, "failover", i))


def _check_distribute(distribute: list[Any], path: Path, report: Report) -> None:
    sources: list[tuple[str, Path]] = []
    for i, item in enumerate(distribute):
        if item is WRONG:
            continue
        place: Path = (*path, i)
        sources.append((item.get("from", ""), (*place, "from")))
        weights = item.get("to", {})
        for locality, weight in weights.items():
            if not 0 < weight <= _WHOLE:
                message = f"the weight {weight} is out of range: 1 to {_WHOLE}"
                report.error("locality/weight", message, (*place, "to", locality))
        total = sum(weights.values())
        if total != _WHOLE:
            message = f"the weights make {total}, not {_WHOLE}"
            report.error("locality/weight", message, (*place, "to"), key=True)
        _check_localities([(it, (*place, "to", it)) for it in weights], report)
    _check_localities(sources, report)


def _check_localities(localities: list[tuple[str, Path]], report: Report) -> None:
    """region, region/zone or region/zone/subzone, a wildcard at the end, none within another.

    Where one follows that is wider by its wildcard, istiod lets it pass: the order decides.
    """
    seen: list[list[str]] = []
    for locality, place in localities:
        parts = locality.split("/", 2)
        if "*" in locality[:-1]:
            message = f'"{locality}": the wildcard * stands once, at the end'
        elif "" in parts:
            message = f'"{locality}" has an empty part: write region/zone/subzone'
        elif any(_overlap(earlier, parts) for earlier in seen):
            message = f'"{locality}" overlaps with one before it'
        else:
            seen.append(parts)
            continue
        report.error("locality/locality", message, place)


def _overlap(earlier: list[str], later: list[str]) -> bool:
    for one, other in zip(earlier, later, strict=False):
        if one == "*":
            return True
        if one != other:
            return False
    return True
