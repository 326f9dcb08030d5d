"""``pytest-egress lint``: what Istio accepts and rarely means what it says."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pytest_egress.cli.formats import count
from pytest_egress.contract.analyzers import Finding
from pytest_egress.contract.analyzers.finding import Level
from pytest_egress.contract.collect import STDIN
from pytest_egress.contract.linting import Linted, lint
from pytest_egress.contract.mesh import load_mesh
from pytest_egress.contract.rules import RULES
from pytest_egress.report.annotation import annotation
from pytest_egress.report.code_quality import code_quality
from pytest_egress.report.sarif import Result, Rule, sarif

__all__ = ["FORMATS", "LEVELS", "lint_files"]

#: From the worst to the most harmless.
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
SCHEMA = 1


def lint_files(
    paths: list[str], *, form: str = "text", fail_on: str = "warning", mesh_config: str = ""
) -> int:
    """Tell every finding of every file; ``-`` is standard input.

    Args:
        paths: files, directories and globs.
        form: one of ``FORMATS``.
        fail_on: the most harmless level that makes the command fail.
        mesh_config: the mesh file; empty for Istio's defaults.

    Returns:
        0 when nothing of that level or worse is found, 1 when something is, 2 when a file cannot
        be read.

    Raises:
        ContractError: the mesh file cannot be used.
    """
    mesh, warnings = load_mesh(mesh_config) if mesh_config else (None, ())
    for problem in warnings:
        print(problem, file=sys.stderr)
    stdin = sys.stdin.buffer.read() if "-" in paths else None
    linted = lint(paths, stdin=stdin, mesh=mesh)
    for line in FORMATS[form](linted):
        print(line)
    sys.stdout.flush()
    if form in {"text", "github"}:
        print(_summary(linted), file=sys.stderr)
    if any(finding.rule.startswith("file/") for finding in linted.findings):
        return 2
    failing = LEVELS[: [str(it) for it in LEVELS].index(fail_on) + 1]
    return 1 if any(finding.level in failing for finding in linted.findings) else 0


def _summary(linted: Linted) -> str:
    levels = Counter(finding.level for finding in linted.findings)
    found = ", ".join(count(levels[it], it) for it in LEVELS if levels[it]) or "nothing found"
    silenced = f", {len(linted.silenced)} silenced" if linted.silenced else ""
    return f"{count(len(linted.survey.files), 'file')}: {found}{silenced}"


def _tell(linted: Linted) -> Iterator[str]:
    for finding in linted.findings:
        yield f"{_line(finding, linted)} [{', '.join(finding.rules)}]"


def _line(finding: Finding, linted: Linted) -> str:
    """A finding; in a stream, whose lines nobody can look up, with the object that it is of."""
    line = f"{finding.position}: {finding.level}: {finding.message}"
    subject = linted.subjects.get(finding) if finding.position.file == STDIN else None
    return f"{line} ({subject})" if subject else line


def _tell_json(linted: Linted) -> Iterator[str]:
    levels = Counter(finding.level for finding in linted.findings)
    yield json.dumps(
        {
            "schema": SCHEMA,
            **{f"{level}s": levels[level] for level in LEVELS},
            "files": list(linted.survey.files),
            "findings": [_object(it, linted) for it in linted.findings],
            "silenced": [
                {**_object(it.finding, linted), "reason": it.reason} for it in linted.silenced
            ],
        },
        indent=2,
    )


def _object(finding: Finding, linted: Linted) -> dict[str, Any]:
    told: dict[str, Any] = {
        "rule": finding.rule,
        "also": list(finding.also),
        "level": finding.level,
        "message": finding.message,
        "file": finding.position.file,
        "line": finding.position.line,
        "column": finding.position.column,
    }
    subject = linted.subjects.get(finding)
    if subject is not None:
        told["resource"] = {
            "kind": subject.kind,
            "namespace": subject.namespace,
            "name": subject.name,
        }
    return told


def _tell_sarif(linted: Linted) -> Iterator[str]:
    results = [_result(it) for it in linted.findings]
    results += [_result(it.finding, it.reason) for it in linted.silenced]
    rules = (Rule(it.id, it.warns_of.replace("`", ""), it.level) for it in RULES.values())
    yield json.dumps(sarif(results, rules), indent=2)


def _result(finding: Finding, reason: str | None = None) -> Result:
    return Result(finding.rule, finding.message, finding.position, finding.level, reason)


def _tell_gitlab(linted: Linted) -> Iterator[str]:
    """GitLab's Code Quality report."""
    yield json.dumps(code_quality(_result(it) for it in linted.findings), indent=2)


def _tell_github(linted: Linted) -> Iterator[str]:
    for finding in linted.findings:
        message = _line(finding, linted) if finding.position.file == STDIN else finding.message
        level = "notice" if finding.level == "note" else finding.level
        yield annotation(level, ", ".join(finding.rules), message, finding.position)


FORMATS: Mapping[str, Callable[[Linted], Iterator[str]]] = MappingProxyType(
    {
        "text": _tell,
        "json": _tell_json,
        "sarif": _tell_sarif,
        "github": _tell_github,
        "gitlab": _tell_gitlab,
    }
)
