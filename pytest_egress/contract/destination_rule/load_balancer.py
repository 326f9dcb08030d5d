"""Rules for load balancers (istiod's ``validateLoadBalancer``)."""

from __future__ import annotations

from math import isqrt
from typing import Any

from pytest_egress.contract.destination_rule.locality import check_locality_lb, check_zone_aware_lb
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.schema import WRONG

__all__ = ["check_load_balancer"]

_TABLE_LIMIT = 5_000_011


def check_load_balancer(
    settings: dict[str, Any],
    raw: dict[str, Any],
    path: Path,
    report: Report,
    *,
    ejects: bool,
    warn: bool,
) -> None:
    """Report what istiod says of ``loadBalancer`` at ``path``.

    Args:
        settings: without what the schema refused.
        raw: as written.
        path: where it stands.
        report: takes the findings.
        ejects: whether outlierDetection stands beside it, which failover needs.
        warn: also what istiod only warns of.
    """
    if "consistentHash" in settings:
        place: Path = (*path, "consistentHash")
        _check_hash(settings["consistentHash"], raw["consistentHash"], place, report, warn=warn)
    if "localityLbSetting" in raw and "zoneAwareLbSetting" in raw:
        message = "localityLbSetting and zoneAwareLbSetting exclude one another: keep one"
        report.error("locality/both", message, (*path, "zoneAwareLbSetting"), key=True)
    warn = warn and not ejects
    if "localityLbSetting" in settings:
        locality = settings["localityLbSetting"]
        check_locality_lb(locality, (*path, "localityLbSetting"), report, warn=warn)
    if "zoneAwareLbSetting" in settings:
        zones = settings["zoneAwareLbSetting"]
        check_zone_aware_lb(zones, (*path, "zoneAwareLbSetting"), report, warn=warn)
    if settings.get("warmup", {}).get("aggression") == 0:
        message = "aggression must be greater than 0"
        report.error("destination-rule/warmup", message, (*path, "warmup", "aggression"))


def _check_hash(
    values: dict[str, Any], raw: dict[str, Any], path: Path, report: Report, *, warn: bool
) -> None:
    if "httpCookie" in values:
        _check_cookie(values["httpCookie"], (*path, "httpCookie"), report)
    if values.get("minimumRingSize"):
        place = (*path, "minimumRingSize")
        if warn:
            message = "minimumRingSize is deprecated here: write ringHash: {minimumRingSize: ...}"
            report.warning("destination-rule/ring-size", message, place, key=True)
        if "ringHash" in raw or "maglev" in raw:
            message = "minimumRingSize excludes ringHash and maglev: keep one of them"
            report.error("destination-rule/ring-size", message, place, key=True)
    if "maglev" in values and ("tableSize" in values["maglev"] or not raw["maglev"]):
        size = values["maglev"].get("tableSize", 0)
        if size >= _TABLE_LIMIT or not _is_prime(size):
            message = f"tableSize {size} must be a prime number less than {_TABLE_LIMIT}"
            report.error("destination-rule/maglev", message, (*path, "maglev", "tableSize"))


def _check_cookie(cookie: dict[str, Any], path: Path, report: Report) -> None:
    if cookie.get("name") == "":
        report.error("destination-rule/cookie", "the cookie needs a name", (*path, "name"))
    seen: set[str] = set()
    for i, attribute in enumerate(cookie.get("attributes", ())):
        if attribute is WRONG or "name" not in attribute:
            continue
        name = attribute["name"]
        if not name or name in seen:
            message = f'attribute "{name}" is given already' if name else "the name is empty"
            report.error("destination-rule/cookie", message, (*path, "attributes", i, "name"))
        seen.add(name)


def _is_prime(number: int) -> bool:
    """As Envoy has it: 1 counts, 0 does not."""
    if 0 < number < 4:
        return True
    return number % 2 == 1 and all(number % factor for factor in range(3, isqrt(number) + 1, 2))
