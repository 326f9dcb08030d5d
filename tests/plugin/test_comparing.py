"""One suite on several backends: ids, order, and what the summary says of differences."""

from __future__ import annotations

import textwrap

import pytest

from pytest_egress.backends import registry

# A second backend: an Envoy as the first, in an open mesh where the variable says so.
TWIN = """
    import dataclasses
    import os

    from pytest_egress.backends.local import LocalBackend
    from pytest_egress.backends.registry import Kind, register
    from pytest_egress.contract.resources import OutboundTrafficPolicy

    class Twin(LocalBackend):
        name = "twin"
        lacking = {"dial": "it is a twin"}

        def describe(self):
            return "twin (open)"

        def enforce(self, contract, workload):
            if os.environ.get("OPEN"):
                policy = OutboundTrafficPolicy("ALLOW_ANY")
                mesh = dataclasses.replace(contract.mesh, outbound_traffic_policy=policy)
                contract = dataclasses.replace(contract, mesh=mesh)
            return super().enforce(contract, workload)

    def create(get):
        return Twin(envoy=get("envoy"))

    register(Kind("twin", "conftest:create"))
"""
BOTH = "--egress-backend=local,twin"


@pytest.fixture
def twins(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The suite with a second backend, which no other test gets to see."""
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    suite.makeconftest(textwrap.dedent(TWIN))
    return suite


def test_each_test_runs_on_each_backend(twins: pytest.Pytester) -> None:
    """However it comes by its pod; the tests of one backend together, others once."""
    twins.makepyfile(
        """
        import pytest

        def test_fixture(egress):
            assert egress.get("https://api.weather.com").reachable

        @pytest.mark.egress_blocked("https://evil.example")
        @pytest.mark.parametrize("n", [1, 2])
        def test_marker(n): ...

        def test_other(): ...

        @pytest.mark.parametrize("egress_backend", ["twin"], indirect=True)
        def test_own(egress):
            assert egress.backend.name == "twin"
        """
    )
    result = twins.runpytest(BOTH, "-v")
    assert result.ret == 0
    ran = [line.split("::")[1].split(" ")[0] for line in result.outlines if " PASSED" in line]
    assert sorted(ran) == [
        "test_fixture[local]",
        "test_fixture[twin]",
        "test_marker[local-1]",
        "test_marker[local-2]",
        "test_marker[twin-1]",
        "test_marker[twin-2]",
        "test_other",
        "test_own[twin]",
    ]
    backends = [name.partition("[")[2].rstrip("]").split("-")[0] for name in ran if "[" in name]
    assert backends == sorted(backends)
    result.stdout.fnmatch_lines(
        [
            "egress: local (Envoy *), twin (open), 2 ServiceEntries in 1 file, REGISTRY_ONLY",
            "*= egress backends compared: local, twin =*",
            "3 compared: no verdict differs, no test result differs",
        ]
    )
    result = twins.runpytest("-v", "-k", "fixture")
    result.stdout.fnmatch_lines(["*::test_fixture PASSED*"])
    assert "compared" not in result.stdout.str()


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_verdicts_that_differ_are_told(
    twins: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    """With both evidences; they fail a run whose tests all pass."""
    monkeypatch.setenv("OPEN", "1")
    twins.makepyfile(
        """
        def test_evil(egress):
            assert not egress.get("https://evil.example").reachable

        def test_many(egress):
            egress.get("http://api.weather.com", n=3, concurrency=2)
            egress.connect("evil.example:5432", n=2)
        """
    )
    result = twins.runpytest(BOTH, *workers)
    result.assert_outcomes(passed=4)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*= egress backends compared: local, twin =*",
            "test_verdicts_that_differ_are_told.py::test_evil: https://evil.example:443/",
            "  local: BLOCKED",
            "    target    https://evil.example:443/",
            "    proxy     * cluster=BlackHoleCluster *",
            "  twin: UNDECLARED",
            "    proxy     * cluster=PassthroughCluster *",
            "test_verdicts_that_differ_are_told.py::test_many: tcp://evil.example:5432",
            "  local: BLOCKED (2 of 2)",
            "  twin: UNDECLARED (2 of 2)",
            "3 compared: 2 verdicts differ, no test result differs",
        ]
    )


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_contract_files_are_checked_on_each_backend(
    twins: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    """Their items have the backend in their name, as tests have."""
    monkeypatch.setenv("OPEN", "1")
    result = twins.runpytest(BOTH, "deploy/egress.yaml", "-v", *workers)
    result.stdout.fnmatch_lines_random(
        [
            "*::api.weather.com[[]local-443/HTTPS-reachable] *PASSED*",
            "*::api.weather.com[[]twin-443/HTTPS-reachable] *PASSED*",
        ]
        if not workers
        else ["*PASSED deploy/egress.yaml::api.weather.com[[]twin-443/HTTPS-reachable]*"]
    )
    name = "deploy/egress.yaml::private.example.com[[]443/HTTPS-neighbour]"
    result.stdout.fnmatch_lines(
        [
            f"{name}: https://not-private.example.com:443/",
            "  local: BLOCKED",
            "  twin: UNDECLARED",
            f"{name}: passed on local; failed on twin",
        ]
    )
    assert "not compared" not in result.stdout.str()


def test_results_that_differ_are_told(
    twins: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that is skipped on a backend, fails on it, or takes the fixture while it runs."""
    monkeypatch.setenv("OPEN", "1")
    twins.makepyfile(
        """
        import pytest

        def test_captured(egress_captured): ...

        @pytest.mark.egress_blocked("https://evil.example")
        def test_marker(): ...

        def test_late(request):
            request.getfixturevalue("egress").get("https://api.weather.com")
        """
    )
    result = twins.runpytest(BOTH)
    result.assert_outcomes(passed=3, skipped=1, failed=1)
    name = "test_results_that_differ_are_told.py"
    result.stdout.fnmatch_lines(
        [
            f"{name}::test_marker: https://evil.example:443/",
            f"{name}::test_captured: passed on local; skipped on twin (*lacks dial: it is a twin)",
            f"{name}::test_marker: passed on local; failed on twin",
            f"asked on one backend only, not compared: {name}::test_late: https://api.weather.com*",
            "1 compared: 1 verdict differs, 2 test results differ",
        ]
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("local,lcoal", "did you mean local?"),
        ("local,local", "local is named twice"),
        ("local,", "expected local or "),
    ],
)
def test_names_that_cannot_be(twins: pytest.Pytester, given: str, message: str) -> None:
    """One line with the nearest name."""
    result = twins.runpytest(f"--egress-backend={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --egress-backend={given}: *{message}*"])


@pytest.mark.parametrize("required", ["twin", "local,twin"])
def test_what_is_required_is_not_skipped(twins: pytest.Pytester, required: str) -> None:
    """A test that needs what the backend cannot do fails on it."""
    twins.makepyfile(
        """
        def test_captured(egress_captured): ...

        def test_within(egress):
            egress.capture()
        """
    )
    result = twins.runpytest("--egress-backend=twin")
    result.assert_outcomes(skipped=2)
    result = twins.runpytest("--egress-backend=local,twin", f"--egress-require={required}")
    result.assert_outcomes(passed=2, failed=1, errors=1)
    reason = "backend twin lacks dial: it is a twin (a failure by --egress-require)"
    assert result.stdout.str().count(f"\n{reason}") == 2


def test_what_is_required_must_be_used(twins: pytest.Pytester) -> None:
    """A backend that the run does not use cannot be required, unless an ini file says it."""
    result = twins.runpytest("--egress-require=twin")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --egress-require=twin: the run does not use this backend; it uses *=local"]
    )
    twins.makepyfile("def test(egress): ...")
    assert twins.runpytest("-o", "egress_require=twin").ret == 0
