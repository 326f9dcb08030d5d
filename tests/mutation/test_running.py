"""``pytest --egress-mutate``: the score, what is listed, and what it leaves alone."""

from __future__ import annotations

import pytest

from pytest_egress.mutation.operators import OPERATORS
from tests.mutation.conftest import survivors


def test_the_example_notices_every_change(guarded: pytest.Pytester) -> None:
    """Each operator is killed, and equal configurations are no mutants."""
    result = guarded.runpytest("--egress-mutate", "--egress-mutate-fail-under=100", "-q")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines(["18 of 18 mutants killed (100 %)"])
    assert survivors(result) == set()


#: By operator the tests of the example that notice each of its mutants, and one that notices none.
NOTICED_BY = {
    "drop-host": ("is_reached", "nobody_else"),
    "widen-host": ("neighbours", "nobody_else"),
    "allow-any": ("nobody_else", "admins"),
    "other-port": ("is_reached", "nobody_else"),
    "tls-to-tcp": ("server_names", "admins"),
    "no-resolution": ("who_answers", "nobody_else"),
    "widen-export": ("other_namespaces", "nobody_else"),
    "remove-san": ("certificates", "nobody_else"),
    "remove-sidecar-host": ("is_reached", "nobody_else"),
    "remove-route": ("admins or is_reached", "nobody_else"),
    "remove-field": ("certificates or slow", "nobody_else"),
}


@pytest.mark.parametrize("operator", OPERATORS)
def test_each_operator_is_killed_and_listed(guarded: pytest.Pytester, operator: str) -> None:
    """By its assertions; without them each of its mutants is told with what would kill it."""
    noticing, silent = NOTICED_BY[operator]
    run = ("--egress-mutate", f"--egress-mutate-operator={operator}", "-q", "-k")
    result = guarded.runpytest(*run, noticing, "--egress-mutate-fail-under=100")
    assert result.ret is pytest.ExitCode.OK
    [counts] = [it for it in result.outlines if it.endswith("mutants killed (100 %)")]
    killed, _, total = counts.split()[:3]
    assert killed == total != "0"
    result = guarded.runpytest(*run, silent, "--egress-mutate-fail-under=1")
    assert result.ret is pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"0 of {total} mutants killed (0 %)"])
    listed = [i for i, it in enumerate(result.outlines) if it.startswith("survived: ")]
    assert len(listed) == int(total)
    assert survivors(result) == {operator}
    following = [result.outlines[i + 1] for i in listed]
    assert all(it.startswith("  to kill it: ") for it in following), following


def test_what_is_listed(guarded: pytest.Pytester) -> None:
    """The place, the change, the assertion that is missing; the share that is required."""
    only = [f"--egress-mutate-operator={it}" for it in ("drop-host", "allow-any")]
    result = guarded.runpytest(
        "--egress-mutate", "--egress-mutate-fail-under=50", *only, "-k", "server_names"
    )
    assert result.ret is pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "egress mutation: 3 mutants",
            "1 of 3 mutants killed (33 %)",
            "survived: egress/billing.yaml:9:7: drop-host: billing.example.org is not declared",
            '  to kill it: assert egress.probe("http://billing.example.org").reachable',
            "FAIL: 50 % are required (egress_mutate_fail_under)",
        ]
    )


def test_only_tests_that_met_the_change_run(small: pytest.Pytester) -> None:
    """A test whose calls went elsewhere is not run again, nor is one without a pod."""
    small.makepyfile(
        test_a="""
        from pathlib import Path

        def note(name):
            with Path("runs").open("a") as file:
                file.write(name)

        def test_a(egress):
            note("a")
            assert egress.tls("a.test").reachable

        def test_b(egress):
            note("b")
            assert egress.connect("b.test:9999").blocked

        def test_c():
            note("c")
        """
    )
    operators = ("--egress-mutate-operator=drop-host", "--egress-mutate-operator=other-port")
    result = small.runpytest("--egress-mutate", *operators, "-v")
    result.stdout.fnmatch_lines(["2 of 2 mutants killed (100 %)"])
    assert (small.path / "runs").read_text() == "abcaa"


def test_time_is_limited(small: pytest.Pytester) -> None:
    """What there was no time for is counted, and is no success."""
    result = small.runpytest("--egress-mutate", "--egress-mutate-timeout=0.000001")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["[01] of [01] mutants killed (*)", "[56] mutants were not tried within 1e-06 s (*)"]
    )


def test_failing_tests_say_nothing_of_mutants(small: pytest.Pytester) -> None:
    """A test that fails as it is would kill every mutant."""
    with (small.path / "test_a.py").open("a") as file:
        file.write("\ndef test_bad(): assert False\n")
    result = small.runpytest("--egress-mutate")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["no mutants were made: the tests fail without any: *"])


def test_reports_are_of_the_first_run(small: pytest.Pytester) -> None:
    """What mutants do is in no report; coverage counts the contract itself."""
    result = small.runpytest("--egress-mutate", "--egress-cov", "--junitxml=junit.xml")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["1 of 1 declared hosts and ports exercised (100 %)"])
    text = (small.path / "junit.xml").read_text()
    assert text.count("<testcase ") == 2
    assert "<failure" not in text


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_mistakes_end_the_run(small: pytest.Pytester, workers: tuple[str, ...]) -> None:
    """Before any test has run."""
    result = small.runpytest("--egress-mutate", "--egress-mutate-operator=drop-hots", *workers)
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['*drop-hots: did you mean "drop-host"?'])


def test_contract_files_are_tests_of_it_too(small: pytest.Pytester) -> None:
    """The automatic checks notice what they are made for."""
    result = small.runpytest("--egress-mutate", "a.yaml", "-q")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["6 of 6 mutants killed (100 %)"])
