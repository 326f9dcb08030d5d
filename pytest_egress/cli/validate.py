"""``pytest-egress validate``: what istiod would refuse, for people and as JSON lines."""

from __future__ import annotations

import json
import sys

from pytest_egress.cli.lines import read_lines
from pytest_egress.contract import check, load, verdict
from pytest_egress.errors import ContractError

__all__ = ["validate_batch", "validate_files"]


def validate_files(paths: list[str]) -> int:
    """Print every problem of every file; return 1 when one of them is an error."""
    try:
        contract = load(paths)
    except ContractError as error:
        print(error)
        return 1
    for problem in contract.warnings:
        print(problem)
    entries = len(contract.service_entries)
    print(f"{entries} ServiceEntries in {len(contract.files)} files accepted", file=sys.stderr)
    return 0


def validate_batch(source: str) -> int:
    """Answer each document ``{"id", "yaml"}`` with its verdict and problems; return 0."""
    for case in read_lines(source):
        problems = check(case.get("yaml", ""), file=f"<{case.get('id')}>")
        answer = {
            "id": case.get("id"),
            "verdict": verdict(problems),
            "problems": [
                {
                    "severity": problem.severity,
                    "message": problem.message,
                    "line": problem.position.line,
                    "column": problem.position.column,
                    "rule": problem.rule,
                }
                for problem in problems
            ],
        }
        print(json.dumps(answer, separators=(",", ":")), flush=True)
    return 0
