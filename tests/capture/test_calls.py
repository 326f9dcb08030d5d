"""The call log by itself: selections, comparisons, what it prints."""

from __future__ import annotations

import pytest

from pytest_egress.capture.calls import Call, Calls
from pytest_egress.capture.callsite import CallSite
from pytest_egress.verdict import Verdict

WEATHER = Call("api.weather.com", 443, "tls", Verdict.REACHABLE, "it answered")
EVIL = Call(
    "evil.example", 80, "http", Verdict.BLOCKED, "refused", method="GET", path="/x",
    where=CallSite("app.py", 7, "refresh"),
)  # fmt: skip
GONE = Call("gone.example", 0, "dns", Verdict.UNRESOLVED, "NXDOMAIN")


def test_selections() -> None:
    """Each verdict has its property; hosts and ports select."""
    calls = Calls([WEATHER, EVIL, GONE, WEATHER])
    assert (len(calls.reachable), len(calls.blocked), len(calls.unresolved)) == (2, 1, 1)
    assert not calls.undeclared
    assert not calls.unreachable
    assert not calls.inconclusive
    assert calls.hosts == {"api.weather.com", "evil.example", "gone.example"}
    assert calls.targets == [
        "tls://api.weather.com:443",
        "http://evil.example:80/x",
        "gone.example",
    ]
    assert calls.to("API.weather.com", 443) == [WEATHER, WEATHER]
    assert not calls.to("api.weather.com", 80)
    assert calls[1:3] == [EVIL, GONE]
    assert calls[-1] is WEATHER


def test_assert_only_tells_both_sides() -> None:
    """What went beyond, and what was never called."""
    calls = Calls([WEATHER, EVIL])
    calls.assert_only("api.weather.com:443", "evil.example")
    with pytest.raises(AssertionError) as caught:
        calls.assert_only("api.weather.com", "db.example.com:5432")
    assert str(caught.value).splitlines() == [
        "the calls went elsewhere:",
        "  + BLOCKED GET http://evil.example:80/x at app.py:7 in refresh: refused",
        "  - db.example.com:5432 was never called",
    ]


def test_repr() -> None:
    """One line a call, so that pytest shows it whole."""
    assert repr(Calls()) == "<Calls: none>"
    assert repr(Calls([WEATHER])) == (
        "<Calls: 1 call\n  REACHABLE tls://api.weather.com:443: it answered>"
    )


def test_log_of_a_running_capture_is_read_anew() -> None:
    """Until it is frozen, each look asks again."""
    so_far = [WEATHER]
    calls = Calls(lambda: so_far)
    assert len(calls) == 1
    so_far.append(EVIL)
    assert len(calls) == 2
    calls.freeze([GONE])
    assert calls == [GONE]
