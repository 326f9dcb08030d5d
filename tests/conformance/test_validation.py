"""Documents: what the API server and istiod accept, warn of and refuse, case by case."""

from __future__ import annotations

import sys

from pytest_egress.contract import check
from tests.conformance import compare
from tests.conformance.cases import recorded
from tests.conformance.test_report import told


def test_every_recorded_document_is_judged_as_by_istiod() -> None:
    """``validate --batch`` accepts, warns and refuses as the API server and istiod do."""
    documents = compare.validation(recorded("validation"))
    sys.stdout.write(told(documents) + "\n")
    assert documents.total >= 357
    assert documents.unexplained == [], told(documents)


def test_every_problem_stands_inside_its_document() -> None:
    """Each finding about a recorded document points at an existing character of it."""
    for case in recorded("validation"):
        lines = case["yaml"].splitlines()
        for problem in check(case["yaml"], file=case["id"]):
            place = problem.position
            assert place.file == case["id"]
            assert 1 <= place.line <= len(lines)
            assert 1 <= place.column <= len(lines[place.line - 1]) + 1
