"""What counts as a difference between backends, and how it is told."""

from __future__ import annotations

from pytest_egress.report.differences import Run, Sighting, compare, summary

BACKENDS = ("local", "kind")
URL = "http://a.example:80/"


def _runs(local: list[Sighting], kind: list[Sighting]) -> list[Run]:
    return [
        Run("t.py::test", "kind", "passed", seen=tuple(kind)),
        Run("t.py::test", "local", "passed", seen=tuple(local)),
    ]


def _seen(verdict: str, count: int = 1, *, target: str = URL, ordered: bool = True) -> Sighting:
    return Sighting(target, verdict, f"evidence of {verdict}\nproxy record", count, ordered)


def test_probes_are_compared_by_their_place() -> None:
    """The second probe of a target is compared with the second, others do not matter."""
    local = [_seen("REACHABLE"), _seen("BLOCKED", target="tcp://b.example:1"), _seen("BLOCKED")]
    kind = [_seen("REACHABLE"), _seen("BLOCKED", target="tcp://b.example:1"), _seen("UNREACHABLE")]
    found = compare(_runs(local, kind), BACKENDS)
    assert found.compared == 3
    assert [(it.test, it.target) for it in found.verdicts] == [("t.py::test", URL)]
    assert [(side.backend, side.says) for side in found.verdicts[0].sides] == [
        ("local", "BLOCKED"),
        ("kind", "UNREACHABLE"),
    ]
    assert list(summary(found)) == [
        f"t.py::test: {URL}",
        "  local: BLOCKED",
        "    evidence of BLOCKED",
        "    proxy record",
        "  kind: UNREACHABLE",
        "    evidence of UNREACHABLE",
        "    proxy record",
        "3 compared: 1 verdict differs, no test result differs",
    ]


def test_what_has_no_place_is_compared_as_a_whole() -> None:
    """Numbers and order of repeated probes and captured calls may differ, verdicts may not."""
    local = [_seen("REACHABLE", 9, ordered=False), _seen("UNREACHABLE", 1, ordered=False)]
    kind = [_seen("UNREACHABLE", 2, ordered=False), _seen("REACHABLE", 8, ordered=False)]
    assert not compare(_runs(local, kind), BACKENDS).verdicts
    (difference,) = compare(_runs(local, kind[1:]), BACKENDS).verdicts
    assert [side.says for side in difference.sides] == [
        "REACHABLE (9 of 10), UNREACHABLE (1 of 10)",
        "REACHABLE (8 of 8)",
    ]
    assert "evidence of UNREACHABLE" in difference.sides[0].told


def test_what_one_backend_alone_was_asked_is_no_difference() -> None:
    """It is told, since nothing was compared."""
    found = compare(_runs([_seen("BLOCKED"), _seen("BLOCKED")], [_seen("BLOCKED")]), BACKENDS)
    assert (found.compared, found.verdicts) == (1, ())
    assert list(summary(found)) == [
        f"asked on one backend only, not compared: t.py::test: {URL}",
        "1 compared: no verdict differs, no test result differs",
    ]


def test_results() -> None:
    """A skip has its reason; a test that ran on one backend is no difference."""
    runs = [
        Run("t.py::a", "local", "passed"),
        Run("t.py::a", "kind", "skipped", "no dial"),
        Run("t.py::b", "kind", "failed"),
    ]
    assert list(summary(compare(runs, BACKENDS))) == [
        "t.py::a: passed on local; skipped on kind (no dial)",
        "0 compared: no verdict differs, 1 test result differs",
    ]


def test_many_differences_are_cut() -> None:
    """The first 50 of a kind are shown, the others counted."""
    runs = [
        Run(f"t.py::{n}", backend, result)
        for n in range(60)
        for backend, result in (("local", "passed"), ("kind", "failed"))
    ]
    lines = list(summary(compare(runs, BACKENDS)))
    assert lines[-2:] == [
        "... and 10 more results",
        "0 compared: no verdict differs, 60 test results differ",
    ]
    assert len(lines) == 52
