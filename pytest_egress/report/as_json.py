"""A run as one JSON object, for other programs; ``schemas/run.schema.json`` says what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from pytest_egress.contract.position import Position
from pytest_egress.report.coverage import Coverage
from pytest_egress.report.facts import Declaration
from pytest_egress.report.findings import Finding
from pytest_egress.report.run import Run, Test
from pytest_egress.report.sheets import Sheets

__all__ = ["SCHEMA", "json_of", "schema_text", "to_json"]

#: Grows when a field changes its meaning, goes away or may have a value that it never had; not when
#: one is added.
SCHEMA = 2


def schema_text() -> str:
    """The JSON Schema (2020-12) of what `json_of` writes."""
    return files(__package__).joinpath("schemas", "run.schema.json").read_text(encoding="utf-8")


def json_of(run: Run) -> str:
    """The run as text, ended by a line break."""
    return json.dumps(to_json(run), indent=1, ensure_ascii=False) + "\n"


def to_json(run: Run) -> dict[str, Any]:
    """The run as plain values."""
    return {
        "schema": SCHEMA,
        "version": run.version,
        "backend": run.backend,
        "started": run.started,
        "seconds": run.seconds,
        "outcomes": dict(sorted(run.outcomes.items())),
        "others": dict(run.others),
        "verdicts": dict(sorted(run.verdicts.items())),
        "coverage": _coverage(run.coverage),
        "contracts": [_contract(it) for it in run.contracts],
        "tests": [_test(test) for test in run.tests],
    }


def _test(test: Test) -> dict[str, Any]:
    return {
        "id": test.id,
        "file": test.file,
        "line": test.line,
        "outcome": test.outcome,
        "seconds": test.seconds,
        "message": test.message,
        "findings": [_finding(finding) for finding in test.findings],
        "bypasses": [it.to_json() for it in test.bypasses],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    fact = finding.fact
    return {
        "kind": finding.kind,
        "target": finding.target,
        "verdict": finding.verdict,
        "reason": finding.reason,
        "host": fact.host,
        "port": fact.port,
        "protocol": fact.protocol,
        "address": fact.address,
        "workload": finding.workload,
        "declared_by": [_place(place) for place in finding.declared_by],
        "steps": [step.to_json() for step in finding.steps],
        "records": [dict(record) for record in finding.records],
        "status": finding.status,
        "seconds": finding.seconds,
        "where": finding.where,
        "explanation": finding.explanation,
    }


def _contract(sheets: Sheets) -> dict[str, Any]:
    return {
        "policy": sheets.policy,
        "files": list(sheets.files),
        "declared": [it.to_json() for it in sheets.declared],
        "warnings": [
            {
                "severity": it.severity,
                "rule": it.rule,
                "message": it.message,
                **_place(it.position),
            }
            for it in sheets.warnings
        ],
    }


def _coverage(coverage: Coverage) -> dict[str, Any]:
    return {
        "total": coverage.total,
        "percent": round(coverage.percent, 2),
        "exercised": _declared(coverage.exercised),
        "never_called": _declared(coverage.never_called),
        "never_opened": _declared(coverage.never_opened),
        "undeclared": [
            {"target": target, "tests": list(tests)} for target, tests in coverage.undeclared
        ],
    }


def _declared(found: Iterable[Declaration]) -> list[Mapping[str, Any]]:
    return [it.to_json() for it in found]


def _place(place: Position) -> dict[str, Any]:
    return {"file": place.file, "line": place.line, "column": place.column}
