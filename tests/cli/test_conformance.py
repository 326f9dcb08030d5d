"""The recorded answers of istiod, replayed through the command and the real Envoy."""

from __future__ import annotations

import sys

import pytest

from tests.conformance import __main__ as report
from tests.conformance import compare
from tests.conformance.cases import read_cases
from tests.conformance.compare import Comparison


def told(*comparisons: Comparison) -> str:
    """One line for each comparison and each difference."""
    lines = [f"{it.agreeing} of {it.total} {it.what} agree" for it in comparisons]
    lines += [f"{name}: {text}" for it in comparisons for name, text in it.differing.items()]
    return "\n".join(lines)


def test_every_recorded_call_meets_what_it_meets_under_istiod() -> None:
    """Verdict, listener, chain, route configuration, route and cluster come out as istiod's."""
    contracts, calls = compare.behaviour()
    sys.stdout.write(told(contracts, calls) + "\n")
    assert (contracts.total, calls.total) == (99, 1197)
    assert contracts.unexplained == calls.unexplained == [], told(contracts, calls)


def test_every_recorded_document_is_judged_as_by_istiod() -> None:
    """``validate --batch`` accepts, warns and refuses as the API server and istiod do."""
    documents = compare.validation()
    sys.stdout.write(told(documents) + "\n")
    assert documents.total == 357
    assert documents.unexplained == [], told(documents)


def test_a_difference_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The comparison sees a wrong verdict, and the report fails for it unless it is explained."""
    behaviour, validation = read_cases("behaviour")[:2], read_cases("validation")[:2]
    behaviour[0]["calls"][0]["istiod"]["cluster"] = "outbound|1||changed"
    validation[1]["istiod"]["verdict"] = "changed"
    recorded = {"behaviour": behaviour, "validation": validation, "structure": []}
    monkeypatch.setattr(compare, "read_cases", recorded.__getitem__)
    wrong = {f"{behaviour[0]['id']}/{behaviour[0]['calls'][0]['id']}", validation[1]["id"]}
    contracts, calls = compare.behaviour()
    assert set(contracts.differing) == {behaviour[0]["id"]}
    assert {*calls.differing, *compare.validation().differing} == wrong
    assert report.main() == 1
    assert "reason: NOT EXPLAINED" in capsys.readouterr().out
    reasons = dict.fromkeys({*wrong, behaviour[0]["id"]}, "it was changed")
    monkeypatch.setattr(compare, "EXPLAINED", reasons)
    monkeypatch.setattr(report, "EXPLAINED", reasons)
    assert report.main() == 0
    assert "reason: it was changed" in capsys.readouterr().out


def test_a_refused_contract_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in place of an answer counts for the contract and for each of its calls."""
    case = read_cases("behaviour")[0]
    broken = {**case, "yaml": "kind: 1"}
    monkeypatch.setattr(compare, "read_cases", {"behaviour": [broken]}.__getitem__)
    contracts, calls = compare.behaviour()
    assert (contracts.agreeing, calls.agreeing) == (0, 0)
    assert calls.total == len(case["calls"])
