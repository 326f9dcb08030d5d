"""Documents built at random, each with one thing about it, and what istiod 1.31 said of them."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_egress.contract import check, verdict

RECORDED = Path(__file__).with_name("recorded.jsonl")


def test_every_document_gets_istiods_verdict() -> None:
    """Accepted, warned or refused, by the API server and istiod together."""
    cases = [json.loads(line) for line in RECORDED.read_text("utf-8").splitlines()]
    differing = []
    for case in cases:
        problems = check(case["yaml"], file=case["id"])
        if verdict(problems) != case["istiod"]["verdict"]:
            differing.append((case["istiod"], [str(problem) for problem in problems]))
    assert len(cases) > 200
    assert differing == []


def test_every_problem_points_at_a_character_of_its_document() -> None:
    """And says something."""
    for line in RECORDED.read_text("utf-8").splitlines():
        case = json.loads(line)
        lines = case["yaml"].splitlines()
        for problem in check(case["yaml"], file=case["id"]):
            place = problem.position
            assert (place.file, bool(problem.message)) == (case["id"], True)
            assert 1 <= place.line <= len(lines)
            assert 1 <= place.column <= len(lines[place.line - 1])
