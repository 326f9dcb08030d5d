"""``--egress-mutate`` under pytest-xdist: what one process finds, by several."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

import pytest

from pytest_egress.contract import loads
from pytest_egress.mutation.learned import Learned, Ran, packed, unpacked
from pytest_egress.mutation.plan import plan_of
from tests.mutation.conftest import CONTRACT


def told(result: pytest.RunResult) -> list[str]:
    """The score and what is listed."""
    lines = result.outlines
    start = next(index for index, line in enumerate(lines) if " mutants killed (" in line)
    return [line for line in lines[start:] if line.startswith((" ", "survived", "lost"))] + [
        lines[start]
    ]


def test_workers_find_what_one_process_finds(small: pytest.Pytester) -> None:
    """The same score and list, in the same order; one that is too low fails the run."""
    run = ("--egress-mutate", "--egress-mutate-fail-under=50")
    alone = small.runpytest(*run)
    shared = small.runpytest(*run, "-n", "2")
    shared.assert_outcomes(passed=2)
    assert told(shared) == told(alone)
    assert len(told(alone)) == 9
    assert shared.ret is alone.ret is pytest.ExitCode.TESTS_FAILED
    shared.stdout.fnmatch_lines(["egress mutation: 6 mutants", "* 6/6*", "FAIL: 50 % are *"])


def test_any_worker_runs_any_test(small: pytest.Pytester) -> None:
    """Each has run one of the two tests that kill; what they do then is in no report."""
    small.makepyfile(
        test_a="""
        def test_reachable(egress):
            assert egress.tls("a.test").reachable

        def test_sni(egress):
            assert egress.probe("tls://a.test", sni="not-a.test").blocked
        """
    )
    operators = ("--egress-mutate-operator=drop-host", "--egress-mutate-operator=tls-to-tcp")
    run = ("--egress-mutate", *operators, "--egress-mutate-fail-under=100", "--egress-cov")
    result = small.runpytest(*run, "-n", "2", "-v", "-x", "--junitxml=junit.xml")
    result.assert_outcomes(passed=2)
    assert result.ret is pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "egress mutation: 2 mutants",
            ".. 2/2",
            "1 of 1 declared hosts and ports exercised (100 %)",
            "2 of 2 mutants killed (100 %)",
        ]
    )
    text = (small.path / "junit.xml").read_text()
    assert text.count("<testcase ") == 2
    assert "<failure" not in text


def test_time_is_limited(small: pytest.Pytester) -> None:
    """When it is over no worker gets another mutant."""
    result = small.runpytest("--egress-mutate", "--egress-mutate-timeout=0.000001", "-n", "1")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["[01] of [01] mutants killed (*", "[56] mutants were not *"])


@pytest.mark.parametrize(
    ("tests", "why", "workers"),
    [
        ("def test_bad(egress): assert False", "the tests fail without any: *", "2"),
        ("import os\ndef test_gone(): os._exit(1)", "*", "1"),
    ],
    ids=["failed", "died"],
)
def test_why_there_are_no_mutants(
    small: pytest.Pytester, tests: str, why: str, workers: str
) -> None:
    """Workers that wait for the plan are told that there is none."""
    small.makepyfile(test_a=tests)
    result = small.runpytest("--egress-mutate", "-n", workers)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"no mutants were made: {why}"])


def test_a_worker_that_dies_takes_its_mutant_along(small: pytest.Pytester) -> None:
    """It is told, and counts as not killed; another worker tries the rest."""
    small.makepyfile(
        test_a="""
        import os

        def test_a(egress):
            if not egress.tls("a.test").reachable:
                os._exit(1)
            assert egress.probe("tls://a.test", sni="not-a.test").blocked
        """
    )
    operators = ("--egress-mutate-operator=drop-host", "--egress-mutate-operator=tls-to-tcp")
    result = small.runpytest("--egress-mutate", *operators, "-n", "1")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "1 of 1 mutants killed (50 %)",
            "lost with the worker that tried it: a.yaml:4:16: drop-host: a.test is not declared",
        ]
    )


def test_without_xdist_running_tests_nothing_is_shared(small: pytest.Pytester) -> None:
    """``-n 0`` and ``--collect-only`` need no workers."""
    result = small.runpytest("--egress-mutate", "--egress-mutate-operator=drop-host", "-n", "0")
    result.stdout.fnmatch_lines(["1 of 1 mutants killed (100 %)"])
    result = small.runpytest("--egress-mutate", "--collect-only", "-q", "-n", "2")
    result.stdout.fnmatch_lines(["test_a.py::test_a"])
    assert "mutant" not in result.stdout.str()


def test_what_is_learned_is_one_whoever_learned_it() -> None:
    """Groups of equal contracts are joined; the order is that of the run; all of it travels."""
    contract, opened = loads(CONTRACT), loads(CONTRACT)
    opened = dataclasses.replace(opened, mesh=dataclasses.replace(opened.mesh, root_namespace="x"))
    other = loads(CONTRACT.replace("a.test", "b.test"))
    one, two = Learned(), Learned()
    one.group_of(other).tests["c"] = Ran(2, other.mesh)
    two.group_of(opened).tests["b"] = Ran(1, opened.mesh)
    two.group_of(contract).tests["a"] = Ran(0, contract.mesh)
    assert len(two.groups) == 1
    one.join(unpacked(packed(two)))
    first, second = one.in_order()
    assert (list(first.tests), list(second.tests)) == (["b", "a"], ["c"])
    assert first.base == contract  # of two meshes, equally many, that of the first test
    plan = plan_of(one, ["drop-host"])
    again = unpacked(packed(plan))
    assert [str(it) for it in again.mutants] == [str(it) for it in plan.mutants]
    assert again.steps[0][0] is again.learned.in_order()[0]
    assert again.mutants[0].contract == plan.mutants[0].contract
    assert isinstance(unpacked(packed(MappingProxyType({"a": 1}))), MappingProxyType)
