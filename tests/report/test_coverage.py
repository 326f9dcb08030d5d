"""Coverage of the contract: what was exercised, what was not, what was called beside it."""

from __future__ import annotations

from pytest_egress.report.coverage import cover
from pytest_egress.report.facts import Declaration, Fact

API = Declaration("a.yaml:8:7", "api.weather.com", 443, "HTTPS")
API_80 = Declaration("a.yaml:8:7", "api.weather.com", 80, "HTTP")
WIDE = Declaration("b.yaml:8:7", "*.example.com", 443, "TLS")
DB = Declaration("c.yaml:8:7", "db.example.org", 5432, "TCP")


def called(cluster: str, test: str = "t", *, undeclared: bool = False, host: str = "h") -> Fact:
    """A call that went to a cluster."""
    return Fact(host, 443, "tls", "", "REACHABLE", undeclared, cluster, test)


def test_counts_by_host_and_port() -> None:
    """A cluster is a host on a port; a wildcard is exercised by any name below it."""
    coverage = cover(
        [API, API_80, WIDE, DB, API],
        [called("outbound|443||api.weather.com"), called("outbound|443||*.example.com")],
    )
    assert coverage.exercised == (API, WIDE)
    assert coverage.never_opened == (API_80,)
    assert coverage.never_called == (DB,)
    assert (coverage.total, coverage.percent) == (4, 50.0)
    assert list(coverage.lines()) == [
        "2 of 4 declared hosts and ports exercised (50 %)",
        "never called: db.example.org:5432/TCP (c.yaml:8:7)",
        "never opened: api.weather.com:80/HTTP (a.yaml:8:7)",
    ]


def test_blocked_calls_exercise_nothing() -> None:
    """A refusal proves the refusal, not the entry."""
    coverage = cover([API], [called(""), called("BlackHoleCluster")])
    assert coverage.percent == 0
    assert cover([], []).percent == 100


def test_undeclared_calls_are_named_with_their_tests() -> None:
    """What an open mesh let through, with the first of the tests."""
    facts = [
        called("PassthroughCluster", f"t{n}", undeclared=True, host="evil.example")
        for n in range(5)
    ]
    assert list(cover([API], facts).lines())[-1] == (
        "not declared: evil.example:443/tls (called by t0, t1, t2 and 2 more)"
    )
