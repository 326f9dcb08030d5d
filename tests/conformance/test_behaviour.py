"""Calls, each made through the command and a real Envoy: they meet what they meet under istiod."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import pytest

from tests.conformance import compare
from tests.conformance.cases import Case, enforced
from tests.conformance.test_report import told

# So many contracts a test: short enough to spread over the workers of a parallel run, long enough
# that starting the simulated outside does not count.
_SHARE = 12


def shares(cases: Sequence[Case]) -> list[Sequence[Case]]:
    """The cases, so many at a time."""
    return [cases[start : start + _SHARE] for start in range(0, len(cases), _SHARE)]


def name(cases: Sequence[Case]) -> str:
    """The first and the last of a share."""
    return f"{cases[0]['id']}..{cases[-1]['id']}"


_CALLS = [*enforced("behaviour"), *enforced("generated")]
_PUSHED = [*enforced("structure"), *enforced("generated")]


@pytest.mark.parametrize("cases", shares(_CALLS), ids=name)
def test_every_recorded_call_meets_what_it_meets_under_istiod(cases: Sequence[Case]) -> None:
    """Verdict, listener, chain, route configuration, route and cluster come out as istiod's."""
    contracts, calls = compare.behaviour(cases)
    assert contracts.total == len(cases)
    assert calls.total == sum(len(case["calls"]) for case in cases)
    assert contracts.unexplained == calls.unexplained == [], told(contracts, calls)


@pytest.mark.parametrize("cases", shares(_PUSHED), ids=name)
def test_envoy_answers_as_under_istiods_own_configuration(cases: Sequence[Case]) -> None:
    """Verdict, outcome and all that was met are those of an Envoy that istiod has configured."""
    contracts, calls = compare.differential(cases)
    assert contracts.total == len(cases)
    assert contracts.unexplained == calls.unexplained == [], told(contracts, calls)


def test_another_configuration_is_seen() -> None:
    """The second Envoy really runs what istiod pushed: a change in it is a difference."""
    case = deepcopy(next(case for case in _PUSHED if case["id"] == "tcp-vip"))
    for listener in case["istiod"]["listeners"]:
        for chain in listener["filter_chains"]:
            chain["filters"][-1]["typed_config"]["cluster"] = "BlackHoleCluster"
    _, calls = compare.differential([case])
    assert any("verdict: ours 'allowed' istiod 'blocked'" in it for it in calls.differing.values())
