"""Calls, each made through the command and a real Envoy: they meet what they meet under istiod."""

from __future__ import annotations

import pytest

from tests.conformance import compare
from tests.conformance.cases import Case, recorded
from tests.conformance.test_report import told

# So many contracts a test: short enough to spread over the workers of a parallel run, long enough
# that starting the simulated outside does not count.
_SHARE = 12

_CASES = recorded("behaviour")[0]
_SHARES = [_CASES[start : start + _SHARE] for start in range(0, len(_CASES), _SHARE)]


@pytest.mark.parametrize("cases", _SHARES, ids=lambda cases: f"{cases[0]['id']}..{cases[-1]['id']}")
def test_every_recorded_call_meets_what_it_meets_under_istiod(cases: list[Case]) -> None:
    """Verdict, listener, chain, route configuration, route and cluster come out as istiod's."""
    contracts, calls = compare.behaviour(cases)
    assert contracts.total == len(cases)
    assert calls.total == sum(len(case["calls"]) for case in cases)
    assert contracts.unexplained == calls.unexplained == [], told(contracts, calls)
