"""Declared expectations: how they are written, and what is told when one does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import ProbeError
from pytest_egress.expectations import Expectation, blocked, check, reachable, resolves
from pytest_egress.upstream import Upstreams
from tests.observed import CONTRACT


@pytest.fixture
def pod(backend: LocalBackend) -> Egress:
    """A pod under the contract with an entry of every kind."""
    return Egress(backend, loads(CONTRACT, file="egress.yaml"))


@pytest.fixture
def upstreams(backend: LocalBackend) -> Iterator[Upstreams]:
    """The outside, to script until the test ends."""
    with backend.upstreams() as scripted:
        yield scripted


def test_each_kind_is_one_type() -> None:
    """Markers, files and code all make the same values."""
    assert reachable("http://a", "tcp://b:1", timeout=2) == (
        Expectation("reachable", "http://a", options={"timeout": 2}),
        Expectation("reachable", "tcp://b:1", options={"timeout": 2}),
    )
    assert blocked("http://a") == (Expectation("blocked", "http://a"),)
    assert resolves("a", to="203.0.113.1") == (Expectation("resolves", "a", ("203.0.113.1",)),)
    assert resolves("a", to=iter(["203.0.113.1"])) == resolves("a", to="203.0.113.1")
    assert resolves("a") == (Expectation("resolves", "a", None),)


@pytest.mark.parametrize("kind", [reachable, blocked, resolves])
def test_targets_are_text_and_there_is_one(
    kind: Callable[..., tuple[Expectation, ...]],
) -> None:
    """No target, or one that is no text, is a mistake of the caller."""
    with pytest.raises(TypeError, match="at least one target"):
        kind()
    with pytest.raises(TypeError, match="expected text, got 443"):
        kind("http://a", 443)


def test_what_holds_is_silent(pod: Egress, upstreams: Upstreams) -> None:
    """Nothing is told of expectations that hold; addresses are a set."""
    upstreams["two.example"].addresses("203.0.113.1", "203.0.113.2")
    told = check(
        pod,
        [
            *reachable("http://api.weather.com", "tcp://api.weather.com:5432"),
            *blocked("http://evil.example", "tcp://api.weather.com:1"),
            *resolves("api.weather.com"),
            *resolves("two.example", to=["203.0.113.2", "203.0.113.1"]),
        ],
    )
    assert list(told) == []


def test_everything_that_does_not_hold_is_told(pod: Egress, upstreams: Upstreams) -> None:
    """One explanation for each, in order; what is neither reachable nor blocked fails both."""
    upstreams["gone.example"].nxdomain()
    upstreams["one.example"].addresses("203.0.113.1")
    upstreams["api.weather.com"].refuse()
    told = list(
        check(
            pod,
            [
                *blocked("http://rr.weather.com", "http://api.weather.com", "http://gone.example"),
                *reachable("http://evil.example"),
                *reachable("tcp://api.weather.com:80", read_first=True, timeout=0.1),
                *resolves("gone.example"),
                *resolves("one.example", to=["203.0.113.1", "203.0.113.2"]),
            ],
        )
    )
    assert [text.partition("\n")[0] for text in told] == [
        "expected BLOCKED, got REACHABLE",
        "expected BLOCKED, got UNREACHABLE",
        "expected BLOCKED, got UNRESOLVED",
        "expected REACHABLE, got BLOCKED",
        "expected REACHABLE, got INCONCLUSIVE",
        "expected gone.example to resolve, got NXDOMAIN",
        "expected one.example to resolve to 203.0.113.1, 203.0.113.2, got 203.0.113.1",
    ]
    assert "edit      to allow it, declare it: a ServiceEntry with hosts: [evil.example]" in told[3]


def test_options_go_to_the_probe(pod: Egress) -> None:
    """An option that no probe has is an error, not a failed expectation."""
    assert list(check(pod, blocked("http://api.weather.com", host_header="evil.example"))) == []
    with pytest.raises(ProbeError, match="did you mean 'timeout'"):
        reachable("http://api.weather.com", timeuot=1)
