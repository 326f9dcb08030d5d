"""``pytest-egress validate``: what istiod would refuse, for people, programs and CI."""

from __future__ import annotations

import gc
import sys
from typing import Any

from pytest_egress.cli.formats import FORMATS, summary
from pytest_egress.cli.lines import answer, field, read_lines, refuse, unforeseen
from pytest_egress.contract import check, verdict
from pytest_egress.contract.mesh import load_mesh
from pytest_egress.contract.survey import survey
from pytest_egress.errors import ProbeError

__all__ = ["validate_batch", "validate_files"]


def validate_files(
    paths: list[str], *, form: str = "text", strict: bool = False, mesh_config: str = ""
) -> int:
    """Tell every problem of every file; ``-`` is standard input.

    Returns:
        0 when Istio would take all of them, 1 when not (with ``strict`` a warning suffices), 2
        when one of them cannot be read.

    Raises:
        ContractError: the mesh file cannot be used.
    """
    mesh, warnings = load_mesh(mesh_config) if mesh_config else (None, ())
    for problem in warnings:
        print(problem, file=sys.stderr)
    stdin = sys.stdin.buffer.read() if "-" in paths else None
    # What is read is kept to the end: looking for garbage in it would take a fifth of the time.
    enabled = gc.isenabled()
    gc.disable()
    try:
        found = survey(paths, stdin=stdin, mesh=mesh)
    finally:
        if enabled:
            gc.enable()
    for line in FORMATS[form](found):
        print(line)
    sys.stdout.flush()
    if form != "json":
        print(summary(found), file=sys.stderr)
    if any(problem.rule.startswith("file/") for problem in found.problems):
        return 2
    refused = any(problem.severity == "error" for problem in found.problems)
    return 1 if refused or (strict and (found.problems or warnings)) else 0


def validate_batch(source: str) -> int:
    """Answer each document ``{"id", "yaml"}`` with its verdict and problems.

    Returns:
        0, or 3 when this program failed on a line.

    Raises:
        ProbeError: at the end, for lines that are no JSON objects.
    """
    broken = []
    failed = False
    for case in read_lines(source):
        if isinstance(case, ProbeError):
            broken.append(case)
            answer({"id": None, "error": [str(case)]})
            continue
        identity = case.get("id")
        try:
            answer({"id": identity, **_checked(field(case, "yaml", str), f"<{identity}>")})
        except ProbeError as error:
            answer({"id": identity, "error": [str(error)]})
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001  the other lines want their answers
            failed = True
            answer({"id": identity, "error": unforeseen(error)})
    refuse(broken)
    return 3 if failed else 0


def _checked(text: str, file: str) -> dict[str, Any]:
    problems = check(text, file=file)
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
    return {"verdict": verdict(problems), "problems": told}
