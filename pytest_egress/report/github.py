"""The summary of a run that GitHub shows on the page of a job."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_egress.report.results import gist
from pytest_egress.report.run import Run, Test

__all__ = ["job_summary"]

_MOST_FAILURES = 30
_MOST_LISTED = 20
_SPECIAL = re.compile(r"[&<>\"'\\`*_{}\[\]()#+!|~@]")
_BACKTICKS = re.compile("`+")


def job_summary(run: Run) -> str:
    """The summary of a job, as Markdown; texts of the run are text in it."""
    failed = [test for test in run.tests if test.failed]
    coverage = run.coverage
    sign = "❌" if failed else "✅"
    lines = [f"### {sign} Egress: {_tests(run)}", ""]
    lines += ["| verdict | findings |", "|---|---:|"]
    lines += [f"| {verdict} | {count} |" for verdict, count in sorted(run.verdicts.items())]
    exercised = f"{len(coverage.exercised)} of {coverage.total} declared hosts and ports exercised"
    lines += ["", f"{exercised} ({coverage.percent:.0f} %)", ""]
    for test in failed[:_MOST_FAILURES]:
        lines += [*_failure(test), ""]
    if len(failed) > _MOST_FAILURES:
        lines += [f"and {len(failed) - _MOST_FAILURES} more", ""]
    ways = [it for it in run.bypasses if it.open]
    if ways:
        lines += [f"<details><summary>{len(ways)} ways around the sidecar (advice)</summary>", ""]
        lines += [
            f"- {_text(way.way)} {_code(way.target)}: {_text(way.reason)}"
            for way in ways[:_MOST_LISTED]
        ]
        if len(ways) > _MOST_LISTED:
            lines.append(f"- and {len(ways) - _MOST_LISTED} more")
        lines += ["", "</details>", ""]
    lacking = [*coverage.never_called, *coverage.never_opened]
    if lacking:
        lines += [f"<details><summary>{len(lacking)} not exercised</summary>", ""]
        for it in lacking[:_MOST_LISTED]:
            lines.append(f"- {_code(f'{it.host}:{it.port}/{it.protocol}')} {_text(it.place)}")
        if len(lacking) > _MOST_LISTED:
            lines.append(f"- and {len(lacking) - _MOST_LISTED} more")
        lines += ["", "</details>", ""]
    warnings = dict.fromkeys(it for contract in run.contracts for it in contract.warnings)
    if warnings:
        lines += [f"<details><summary>{len(warnings)} warnings of the contract</summary>", ""]
        lines += [f"- {_text(str(it))}" for it in list(warnings)[:_MOST_LISTED]]
        if len(warnings) > _MOST_LISTED:
            lines.append(f"- and {len(warnings) - _MOST_LISTED} more")
        lines += ["", "</details>", ""]
    return "\n".join(lines)


def _tests(run: Run) -> str:
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(run.outcomes.items()))
    return told or "no test had a pod"


def _failure(test: Test) -> Iterator[str]:
    yield f"<details><summary>{_code(test.id)} {test.outcome}</summary>"
    yield ""
    yield from _fenced(gist(test))
    yield ""
    yield "</details>"


def _fenced(text: str) -> Iterator[str]:
    """A block of code; its fence is longer than any within."""
    fence = "`" * max([3, *(len(it) + 1 for it in _BACKTICKS.findall(text))])
    yield f"{fence}text"
    yield text
    yield fence


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _text(text: str) -> str:
    """A text of one line in which Markdown and HTML mean nothing."""
    return _SPECIAL.sub(lambda it: f"&#{ord(it[0])};", " ".join(text.split()))
