"""Shares agree with what was promised as the exact binomial test says."""

from __future__ import annotations

import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_egress.shares import CONFIDENCE, Share, Shares


def exactly(count: int, n: int, p: Fraction) -> Fraction:
    """The probability of ``count`` or fewer, in whole numbers."""
    return sum((comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(count + 1)), Fraction(0))


@settings(deadline=None)  # a busy machine proves nothing
@given(st.integers(1, 60), st.data(), st.integers(0, 20), st.sampled_from([0.9, 0.99, 0.9999]))
def test_agreement_is_the_exact_test(
    n: int, data: st.DataObject, twentieths: int, confidence: float
) -> None:
    """Neither tail may be rarer than half the error."""
    count = data.draw(st.integers(0, n))
    p = Fraction(twentieths, 20)
    half = Fraction(1 - confidence) / 2
    fewer, more = exactly(count, n, p), exactly(n - count, n, 1 - p)
    if min(abs(fewer - half), abs(more - half)) > Fraction(1, 10**9):  # rounding decides nothing
        expected = fewer >= half and more >= half
        assert Share(count, n).agrees_with(float(p), confidence) is expected


@pytest.mark.parametrize(
    ("count", "n", "confidence", "low", "high"),
    [
        # Clopper and Pearson's limits, from the quantiles of the beta distribution.
        (5, 20, 0.95, 0.08657, 0.49105),
        (0, 10, 0.95, 0.0, 0.30850),
        (10, 10, 0.95, 0.69150, 1.0),
        (1, 10, 0.95, 0.00253, 0.44502),
    ],
)
def test_interval(count: int, n: int, confidence: float, low: float, high: float) -> None:
    """The published limits."""
    assert Share(count, n).interval(confidence) == pytest.approx((low, high), abs=2e-5)


@settings(deadline=None)  # a busy machine proves nothing
@given(st.integers(1, 500), st.data())
def test_interval_and_agreement_say_the_same(n: int, data: st.DataObject) -> None:
    """What lies within the interval agrees, what lies outside does not."""
    share = Share(data.draw(st.integers(0, n)), n)
    low, high = share.interval()
    assert low <= share.fraction <= high
    assert share.agrees_with((low + high) / 2)
    if low > 0.001:
        assert not share.agrees_with(low - 0.001)
    if high < 0.999:
        assert not share.agrees_with(high + 0.001)


def test_promises_that_leave_no_room() -> None:
    """Never and always are not a matter of confidence."""
    assert Share(0, 50).agrees_with(0)
    assert not Share(1, 50).agrees_with(0)
    assert Share(50, 50).agrees_with(1)
    assert not Share(49, 50).agrees_with(1)


def test_a_true_promise_holds_as_often_as_stated() -> None:
    """At 90 %, a fair coin is doubted in at most a tenth of all runs (and sometimes is)."""
    coin = random.Random(1)
    runs = [Share(sum(coin.random() < 0.3 for _ in range(40)), 40) for _ in range(2000)]
    doubted = sum(not share.agrees_with(0.3, 0.9) for share in runs)
    assert 0 < doubted <= 200
    assert not any(share.agrees_with(0.9) for share in runs)


def test_large_counts() -> None:
    """A hundred thousand outcomes overflow nothing."""
    assert Share(10_000, 100_000).agrees_with(0.1)
    assert not Share(11_000, 100_000).agrees_with(0.1)


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.1])
def test_bad_confidence(confidence: float) -> None:
    """A confidence is a probability short of certainty."""
    with pytest.raises(ValueError, match="expected a confidence between 0 and 1"):
        Share(1, 2).agrees_with(0.5, confidence)


def test_bad_expectations() -> None:
    """So are shares."""
    with pytest.raises(ValueError, match="expected a share between 0 and 1, got 50"):
        Share(1, 2).agrees_with(50)
    with pytest.raises(ValueError, match="expected shares or weights"):
        Shares("ab").agree_with({"a": 2, "b": -1})


def test_repr_tells_what_would_agree() -> None:
    """A failing assertion shows count, fraction and interval."""
    assert repr(Share(23, 200)) == (
        "<Share 23 of 200 = 11.5%, 4.6% to 22.5% at a confidence of 99.99%>"
    )
    assert float(Share(1, 4)) == 0.25
    assert CONFIDENCE == 0.9999


def test_shares_are_a_mapping() -> None:
    """Names to fractions, in order; a name that got nothing is an error that names the others."""
    shares = Shares("bbab")
    assert shares == {"a": 0.25, "b": 0.75}
    assert list(shares) == ["a", "b"]
    assert shares.share("b") == Share(3, 4)
    assert shares.get("c", 0) == 0
    with pytest.raises(
        KeyError, match="'c' got nothing, or there is no such name; there are: a, b"
    ):
        shares["c"]
    assert repr(shares) == "<Shares of 4: a: 25.0%, b: 75.0%>"


def test_shares_by_another_name() -> None:
    """A name that several have stands for all of them."""
    shares = Shares(["a:80", "a:81", "b:80"], {"a:80": ["a", "x"], "a:81": ["a"], "b:80": ["x"]})
    assert (shares["a"], shares["x"], shares["b:80"]) == pytest.approx((2 / 3, 2 / 3, 1 / 3))
    assert "a" in shares
    assert "y" not in shares


def test_all_shares_at_once() -> None:
    """Weights or fractions; what is not named must have got nothing."""
    shares = Shares(["v1"] * 91 + ["v2"] * 9)
    assert shares.agree_with({"v1": 90, "v2": 10})
    assert shares.agree_with({"v1": 0.9, "v2": 0.1, "v3": 0})
    assert not shares.agree_with({"v1": 50, "v2": 50})
    assert not shares.agree_with({"v1": 1})
    assert not Shares(["v1"] * 100).agree_with({"v1": 50, "v2": 50})
