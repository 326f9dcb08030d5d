"""The table of counts, and what it does with a difference."""

from __future__ import annotations

from copy import deepcopy

import pytest

from tests.conformance import __main__ as report
from tests.conformance import compare
from tests.conformance.cases import enforced, read_cases, recorded
from tests.conformance.compare import Comparison

# What was recorded at least.
_RECORDED = {"validation": 615, "behaviour": 255, "structure": 115, "generated": 50}


def told(*comparisons: Comparison) -> str:
    """One line for each comparison and each difference."""
    lines = [f"{it.agreeing} of {it.total} {it.what} agree" for it in comparisons]
    lines += [f"{name}: {text}" for it in comparisons for name, text in it.differing.items()]
    return "\n".join(lines)


@pytest.mark.parametrize("name", _RECORDED)
def test_no_recorded_case_is_missing(name: str) -> None:
    """A file that lost cases would go unnoticed."""
    assert len(recorded(name)) >= _RECORDED[name]


def test_every_recorded_contract_can_be_enforced() -> None:
    """None of those with recorded calls is refused for what needs a cluster."""
    assert len(enforced("behaviour")) == 255


def test_recorded_calls() -> None:
    """So many calls were recorded."""
    assert sum(len(case["calls"]) for case in read_cases("behaviour")) == 3012


def test_a_difference_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The comparison sees a wrong verdict, and the report fails for it unless it is explained."""
    behaviour = list(deepcopy(recorded("behaviour")[:2]))
    validation = list(deepcopy(recorded("validation")[:2]))
    behaviour[0]["calls"][0]["istiod"]["cluster"] = "outbound|1||changed"
    validation[1]["istiod"]["verdict"] = "changed"
    cases = {"validation": validation, "behaviour": behaviour, "structure": [], "generated": []}
    monkeypatch.setattr(report, "recorded", cases.__getitem__)
    monkeypatch.setattr(report, "enforced", cases.__getitem__)
    wrong = {f"{behaviour[0]['id']}/{behaviour[0]['calls'][0]['id']}", validation[1]["id"]}
    contracts, calls = compare.behaviour(behaviour)
    assert set(contracts.differing) == {behaviour[0]["id"]}
    assert {*calls.differing, *compare.validation(validation).differing} == wrong
    assert report.main() == 1
    told = capsys.readouterr().out
    assert "reason: NOT EXPLAINED" in told
    reasons = dict.fromkeys({*wrong, behaviour[0]["id"]}, "it was changed")
    monkeypatch.setattr(compare, "EXPLAINED", reasons)
    monkeypatch.setattr(report, "EXPLAINED", reasons)
    assert report.main() == 0
    assert "reason: it was changed" in capsys.readouterr().out


def test_a_refused_contract_is_a_difference() -> None:
    """An error in place of an answer counts for the contract and for each of its calls."""
    case = read_cases("behaviour")[0]
    contracts, calls = compare.behaviour([{**case, "yaml": "kind: 1"}])
    assert (contracts.agreeing, calls.agreeing) == (0, 0)
    assert calls.total == len(case["calls"])
