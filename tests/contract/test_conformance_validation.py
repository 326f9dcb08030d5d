"""The recorded answers of istiod, document by document."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pytest_egress.contract import check, verdict

RECORDED = Path(__file__).parent.parent / "conformance" / "validation.jsonl"


def test_every_recorded_document_gets_istiods_verdict() -> None:
    """Accepted, warned and refused are istiod's, for each of the recorded documents."""
    cases = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    differing = []
    for case in cases:
        problems = check(case["yaml"], file=case["id"])
        ours, istiods = verdict(problems), case["istiod"]["verdict"]
        if ours != istiods:
            said = [*case["istiod"]["errors"], *case["istiod"]["warnings"]]
            found = [str(problem) for problem in problems]
            differing.append(f"{case['id']}: istiod {istiods} {said}\n  ours {ours} {found}")
    sys.stdout.write(f"{len(cases) - len(differing)} of {len(cases)} verdicts agree\n")
    assert len(cases) >= 300
    assert not differing, "\n".join(differing)


def test_every_problem_stands_inside_its_document() -> None:
    """Each finding about a recorded document points at an existing character of it."""
    for line in RECORDED.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        lines = case["yaml"].splitlines()
        for problem in check(case["yaml"], file=case["id"]):
            place = problem.position
            assert place.file == case["id"]
            assert 1 <= place.line <= len(lines)
            assert 1 <= place.column <= len(lines[place.line - 1]) + 1
