"""What of a run somebody has to look at, as results with a place: SARIF, annotations, GitLab."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_egress.bypass.bypass import WAYS
from pytest_egress.contract.position import Position
from pytest_egress.report.run import Run, Test
from pytest_egress.report.sarif import Result, Rule

__all__ = ["RULES", "gist", "results_of"]

FAILED, BROKEN = "egress/test-failed", "egress/test-error"
BYPASS = "egress/bypass"

RULES = (
    Rule(FAILED, "A test of the egress contract failed", "error"),
    Rule(BROKEN, "A test of the egress contract failed in its set-up or tear-down", "error"),
    *(
        Rule(f"{BYPASS}-{way}", f"A way around the sidecar; stopped by: {by}", "note")
        for way, by in WAYS.items()
    ),
)
_MOST = 4000  # characters of one failure


def results_of(run: Run) -> Iterator[Result]:
    """Each failed test at its first line, each warning at its place, each open way around."""
    for test in run.tests:
        if test.failed:
            rule = FAILED if test.outcome == "failed" else BROKEN
            message = f"{test.id}\n{gist(test)}"
            yield Result(rule, message, Position(test.file, test.line), "error")
    for problem in dict.fromkeys(it for contract in run.contracts for it in contract.warnings):
        yield Result(problem.rule, problem.message, problem.position, problem.severity)
    for way in run.bypasses:
        if way.open:
            message = f"{way.target}: {way.reason}; stopped by: {way.enforced_by}"
            yield Result(f"{BYPASS}-{way.way}", message, way.position, "note")


def gist(test: Test) -> str:
    """What matters of a failure: the assertion, and the story of the last finding."""
    lines = test.message.splitlines()
    told = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")] or lines
    text = "\n".join(line for line in told if line) or test.outcome
    last = test.findings[-1].explanation if test.findings else ""
    if last and last not in test.message:
        text += f"\n\n{last}"
    return text if len(text) <= _MOST else f"{text[:_MOST]}\n..."
