"""What a run found: the one value that every report is written from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_egress.bypass.bypass import Bypass
from pytest_egress.report.coverage import Coverage, cover
from pytest_egress.report.facts import Declaration
from pytest_egress.report.findings import Finding
from pytest_egress.report.sheets import Sheets

__all__ = ["Run", "Test"]


@dataclass(frozen=True, slots=True)
class Test:
    """One test that had a pod.

    Attributes:
        id: its node id.
        file: its file, relative to where pytest was started if it lies below.
        line: the line it begins at, from 1.
        outcome: ``passed``, ``failed``, ``error`` (of its set-up or tear-down), ``skipped``,
            ``xfailed`` or ``xpassed``.
        seconds: how long it took, set-up and tear-down included.
        message: what pytest prints of its failure, empty where it did not fail.
        findings: its probes and calls, in their order.
        bypasses: the ways around the sidecar that its marker had tried.
    """

    __test__ = False  # pytest: not a test class

    id: str
    file: str
    line: int
    outcome: str
    seconds: float = 0.0
    message: str = ""
    findings: tuple[Finding, ...] = ()
    bypasses: tuple[Bypass, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it makes the run fail."""
        return self.outcome in {"failed", "error"}


@dataclass(frozen=True, slots=True)
class Run:
    """A run of pytest, as far as it concerns egress.

    Attributes:
        version: of this package.
        backend: where the contract was enforced, in one line; empty: nobody asked for a pod.
        started: when it began, ISO 8601 in UTC.
        seconds: how long it took.
        tests: those that had a pod, by file and line; the same with any number of workers.
        contracts: those that its tests lived under; the run's own first.
        others: how many tests had no pod, by outcome.
    """

    version: str
    backend: str
    started: str
    seconds: float
    tests: tuple[Test, ...] = ()
    contracts: tuple[Sheets, ...] = ()
    others: tuple[tuple[str, int], ...] = ()

    @property
    def findings(self) -> Iterator[Finding]:
        """Those of all tests."""
        for test in self.tests:
            yield from test.findings

    @property
    def bypasses(self) -> list[Bypass]:
        """The ways of all tests, each way and target once; the open ones first."""
        found = {(it.way, it.target, it.open): it for test in self.tests for it in test.bypasses}
        order = {True: 0, None: 1, False: 2}
        return sorted(found.values(), key=lambda it: order[it.open])

    @property
    def verdicts(self) -> Counter[str]:
        """How many findings have each verdict."""
        return Counter(finding.verdict for finding in self.findings)

    @property
    def outcomes(self) -> Counter[str]:
        """How many tests ended how."""
        return Counter(test.outcome for test in self.tests)

    @property
    def declared(self) -> Iterable[Declaration]:
        """What its contracts declare, each host on each port once."""
        return dict.fromkeys(it for sheets in self.contracts for it in sheets.declared)

    @property
    def coverage(self) -> Coverage:
        """What of the contracts was exercised."""
        return cover(self.declared, (finding.fact for finding in self.findings))
