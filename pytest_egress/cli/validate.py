"""``pytest-egress validate``: what istiod would refuse, for people and as JSON lines."""

from __future__ import annotations

import sys

from pytest_egress.cli.lines import answer, field, read_lines, refuse
from pytest_egress.contract import check, load, verdict
from pytest_egress.errors import ContractError, ProbeError

__all__ = ["validate_batch", "validate_files"]


def validate_files(paths: list[str]) -> int:
    """Print every problem of every file.

    Returns:
        0, 1 when Istio would refuse one of them, 2 when one of them cannot be read.
    """
    try:
        contract = load(paths)
    except ContractError as error:
        print(error)
        return 2 if any(it.rule.startswith("file/") for it in error.problems) else 1
    for problem in contract.warnings:
        print(problem)
    entries, files = len(contract.service_entries), len(contract.files)
    print(
        f"{entries} {'ServiceEntry' if entries == 1 else 'ServiceEntries'} "
        f"in {files} file{'s' if files != 1 else ''} accepted",
        file=sys.stderr,
    )
    return 0


def validate_batch(source: str) -> int:
    """Answer each document ``{"id", "yaml"}`` with its verdict and problems; return 0.

    Raises:
        ProbeError: at the end, for lines that are no JSON objects.
    """
    broken = []
    for case in read_lines(source):
        if isinstance(case, ProbeError):
            broken.append(case)
            answer({"id": None, "error": [str(case)]})
            continue
        identity = case.get("id")
        try:
            text = field(case, "yaml", str)
        except ProbeError as error:
            answer({"id": identity, "error": [str(error)]})
            continue
        problems = check(text, file=f"<{identity}>")
        told = [
            {
                "severity": problem.severity,
                "message": problem.message,
                "line": problem.position.line,
                "column": problem.position.column,
                "rule": problem.rule,
            }
            for problem in problems
        ]
        answer({"id": identity, "verdict": verdict(problems), "problems": told})
    refuse(broken)
    return 0
