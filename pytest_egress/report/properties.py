"""Findings as properties of a test, which pytest writes into its JUnit XML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_egress.report.findings import Finding

__all__ = ["properties_of"]


def properties_of(findings: Iterable[Finding]) -> Iterator[tuple[str, str]]:
    """Five properties for each finding that differs from the others, always in this order."""
    seen = set()
    for finding in findings:
        cluster = finding.records[-1].get("cluster", "") if finding.records else ""
        places = ", ".join(map(str, finding.declared_by))
        told = (finding.target, finding.verdict, finding.reason, cluster, places)
        if told in seen:
            continue
        seen.add(told)
        names = ("target", "verdict", "reason", "cluster", "declared_by")
        yield from zip((f"egress_{name}" for name in names), told, strict=True)
