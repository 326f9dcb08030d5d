"""What ``explain`` says without an Envoy, next to what a real one does with the same call."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

from tests.conformance import compare
from tests.conformance.cases import Case, enforced


def test_explain_says_what_a_call_meets() -> None:
    """The command compares every recorded call; here the first two contracts."""
    cases = enforced("behaviour")[:2]
    calls = compare.foretold(cases)
    assert calls.total == sum(len(case["calls"]) for case in cases)
    assert calls.differing == {}


def test_a_call_that_meets_something_else_is_told() -> None:
    """The comparison is none of a thing with itself."""
    cases = enforced("behaviour")[:1]
    with mock.patch.object(compare, "answers_of", _elsewhere):
        calls = compare.foretold(cases)
    assert len(calls.differing) == calls.total
    assert all("explained 'nowhere'" in it for it in calls.differing.values())


def _elsewhere(_: object, calls: Sequence[Case]) -> list[dict[str, str]]:
    return [{"verdict": "nowhere"} for _ in calls]
