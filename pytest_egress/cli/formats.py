"""What ``pytest-egress validate`` prints: text, JSON, GitHub's annotations, GitLab's Code Quality.

JSON is one object; ``schema`` grows when a field changes its meaning or goes away, not when one is
added.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pytest_egress.contract.collect import STDIN
from pytest_egress.contract.position import Problem
from pytest_egress.contract.survey import Survey
from pytest_egress.report.annotation import annotation

__all__ = ["FORMATS", "count", "summary", "tell"]

SCHEMA = 1


def summary(survey: Survey) -> str:
    """One line: what was checked, whether it is acceptable, what was left alone."""
    counts = Counter(problem.severity for problem in survey.problems)
    checked = ", ".join(count(n, kind) for kind, n in survey.kinds.items()) or "nothing"
    found = ", ".join(count(counts[it], it) for it in ("error", "warning") if counts[it])
    files = f" in {count(len(survey.files), 'file')}" if survey.files else ""
    line = f"{checked}{files} {'refused' if counts['error'] else 'accepted'}"
    if found:
        line += f": {found}"
    if survey.other_kinds:
        others = (f"{n} {kind}" for kind, n in sorted(survey.other_kinds.items()))
        line += f"; left alone: {', '.join(others)}"
    return line


def tell(survey: Survey) -> Iterator[str]:
    """One line for each problem, as compilers write them."""
    for problem in survey.problems:
        yield _line(problem, survey)


def tell_json(survey: Survey) -> Iterator[str]:
    """All of it as one JSON object."""
    counts = Counter(problem.severity for problem in survey.problems)
    told = {
        "schema": SCHEMA,
        "verdict": "refused" if counts["error"] else "warned" if counts else "accepted",
        "errors": counts["error"],
        "warnings": counts["warning"],
        "files": list(survey.files),
        "kinds": dict(survey.kinds),
        "left_alone": dict(survey.other_kinds),
        "problems": [_object(problem, survey) for problem in survey.problems],
    }
    yield json.dumps(told, indent=2)


def tell_github(survey: Survey) -> Iterator[str]:
    """Workflow commands: each problem becomes an annotation at its line."""
    for problem in survey.problems:
        stream = problem.position.file == STDIN
        message = _line(problem, survey) if stream else problem.message
        yield annotation(problem.severity, problem.rule, message, problem.position)


def tell_gitlab(survey: Survey) -> Iterator[str]:
    """GitLab's Code Quality report."""
    from pytest_egress.report.code_quality import code_quality
    from pytest_egress.report.sarif import Result

    found = (Result(it.rule, it.message, it.position, it.severity) for it in survey.problems)
    yield json.dumps(code_quality(found), indent=2)


FORMATS: Mapping[str, Callable[[Survey], Iterator[str]]] = MappingProxyType(
    {"text": tell, "json": tell_json, "github": tell_github, "gitlab": tell_gitlab}
)


def _line(problem: Problem, survey: Survey) -> str:
    """A problem; in a stream, whose lines nobody can look up, with the object that it is of."""
    subject = survey.subjects.get(problem) if problem.position.file == STDIN else None
    return f"{problem} ({subject})" if subject else str(problem)


def _object(problem: Problem, survey: Survey) -> dict[str, Any]:
    told: dict[str, Any] = {
        "severity": problem.severity,
        "rule": problem.rule,
        "message": problem.message,
        "file": problem.position.file,
        "line": problem.position.line,
        "column": problem.position.column,
    }
    subject = survey.subjects.get(problem)
    if subject is not None:
        told["resource"] = {
            "kind": subject.kind,
            "namespace": subject.namespace,
            "name": subject.name,
        }
        if subject.template:
            told["template"] = subject.template
    return told


def count(number: int, noun: str) -> str:
    """A number and its noun, in the plural where there are several."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("try") else f"{noun}s"
    return f"{number} {plural}"
