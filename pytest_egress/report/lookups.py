"""What a run found out about one lookup of a name, as plain values."""

from __future__ import annotations

from typing import Any

from pytest_egress.outcome import Resolution
from pytest_egress.report.facts import Fact
from pytest_egress.report.findings import Finding, text_of
from pytest_egress.report.steps import Step

__all__ = ["RESOLVED", "finding_of_lookup"]

#: The verdict of a lookup that gave an address; of others it is UNRESOLVED or INCONCLUSIVE.
RESOLVED = "RESOLVED"
_WIDTH = 10


def finding_of_lookup(resolution: Resolution, test: str) -> Finding:
    """What a lookup says."""
    answer = resolution.answer
    verdict = _verdict(resolution)
    found = ", ".join(answer.addresses)
    target = f"dns://{resolution.name}"
    if resolution.family != "A":
        target += f"?type={resolution.family}"  # RFC 4501
    workload = resolution.workload
    asked = "Istio's agent" if workload is not None and workload.dns_capture else "the name server"
    reason = resolution.failure or f"{asked} answered {found or answer.rcode}"
    decided = "missed" if verdict == "INCONCLUSIVE" else "decided"
    record: dict[str, Any] = {"proxy": asked, "kind": "lookup", "rcode": answer.rcode}
    if answer.addresses:
        record["addresses"] = list(answer.addresses)
    if answer.cnames:
        record["cnames"] = list(answer.cnames)
    if answer.ttl is not None:
        record["ttl"] = answer.ttl
    declared = ", ".join(map(str, resolution.declared_by)) or "nowhere"
    told = {"target": target, "verdict": f"{verdict}: {reason}", "declared": declared}
    return Finding(
        Fact(resolution.name.lower().removesuffix("."), 0, "dns", "", verdict, False, "", test),
        "lookup",
        target,
        reason,
        text_of(workload),
        resolution.declared_by,
        (Step("dns", "", resolution.name, found or answer.rcode, decided),),
        (record,),
        None,
        round(answer.elapsed, 6),
        "",
        "\n".join(f"{label:<{_WIDTH}}{text}" for label, text in told.items()),
    )


def _verdict(resolution: Resolution) -> str:
    if resolution.failure:
        return "INCONCLUSIVE"
    return RESOLVED if resolution.answer.addresses else "UNRESOLVED"
