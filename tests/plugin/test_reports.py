"""Reports through pytest: files, JUnit properties, the same with any number of workers."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.report.schemas import validate_run, validate_sarif

TESTS = """
    import urllib.request

    import pytest

    def test_reachable(egress):
        assert egress.get("https://api.weather.com").reachable

    @pytest.mark.egress_blocked("https://evil.example")
    def test_blocked(): ...

    def test_wrong(egress):
        assert egress.as_workload("billing").get("https://evil.example").reachable

    def test_captured(egress_captured):
        urllib.request.urlopen("http://api.weather.com/", timeout=10).close()

    @pytest.fixture
    def broken(egress):
        egress.get("https://evil.example")
        raise RuntimeError("in set-up")

    def test_error(broken): ...

    @pytest.mark.xfail
    def test_expected(egress):
        assert egress.get("https://evil.example").reachable

    def test_without_a_pod(): ...
"""


def read(suite: pytest.Pytester, name: str = "egress.json") -> Any:
    """The report, held to its schema."""
    run = json.loads((suite.path / name).read_text(encoding="utf-8"))
    validate_run(run)
    return run


def steady(run: Any) -> Any:
    """What does not change from run to run: no times, no addresses."""
    return [
        (
            test["id"],
            test["outcome"],
            [
                (it["target"], it["verdict"], it["workload"], it["declared_by"])
                for it in test["findings"]
            ],
            [[(step["kind"], step["state"]) for step in it["steps"]] for it in test["findings"]],
        )
        for test in run["tests"]
    ]


def properties(suite: pytest.Pytester) -> dict[str, dict[str, str]]:
    """The properties of each test in the JUnit XML."""
    cases = ET.parse(suite.path / "junit.xml").getroot().iter("testcase")
    return {
        str(case.get("name")): {
            str(it.get("name")): str(it.get("value")) for it in case.iter("property")
        }
        for case in cases
    }


def test_reports_have_every_test_with_a_pod(suite: pytest.Pytester) -> None:
    """JSON has all of it, JUnit's XML properties; with xdist both are the same."""
    suite.makepyfile(TESTS)
    result = suite.runpytest("--egress-json=reports/egress.json", "--junitxml=junit.xml")
    result.assert_outcomes(passed=4, failed=1, errors=1, xfailed=1)
    result.stdout.fnmatch_lines(["*- generated egress json report: *reports/egress.json -*"])
    run = read(suite, "reports/egress.json")
    tests = {test["id"].rpartition("::")[2]: test for test in run["tests"]}
    assert {name: test["outcome"] for name, test in tests.items()} == {
        "test_reachable": "passed",
        "test_blocked": "passed",
        "test_wrong": "failed",
        "test_captured": "passed",
        "test_error": "error",
        "test_expected": "xfailed",
    }
    assert run["others"] == {"passed": 1}
    assert run["backend"].startswith("local (Envoy ")
    assert {name: [it["verdict"] for it in test["findings"]] for name, test in tests.items()} == {
        "test_reachable": ["REACHABLE"],
        "test_blocked": ["BLOCKED"],
        "test_wrong": ["BLOCKED"],
        "test_captured": ["REACHABLE"],
        "test_error": ["BLOCKED"],
        "test_expected": ["BLOCKED"],
    }
    assert tests["test_wrong"]["findings"][0]["workload"] == "billing"
    assert "assert " in tests["test_wrong"]["message"]
    assert tests["test_captured"]["findings"][0]["kind"] == "call"
    assert "in set-up" in tests["test_error"]["message"]
    assert not list((suite.path / "reports").glob(".*"))
    found = properties(suite)
    assert found["test_reachable"] == {
        "egress_target": "https://api.weather.com:443/",
        "egress_verdict": "REACHABLE",
        "egress_reason": "the upstream answered through outbound|443||api.weather.com",
        "egress_cluster": "outbound|443||api.weather.com",
        "egress_declared_by": "deploy/egress.yaml:8:5",
    }
    assert found["test_blocked"]["egress_verdict"] == "BLOCKED"
    assert found["test_without_a_pod"] == {}
    suite.runpytest("--egress-json=two.json", "--junitxml=junit.xml", "-n", "2")
    assert steady(read(suite, "two.json")) == steady(run)
    assert properties(suite) == found


def test_lookups_are_findings(suite: pytest.Pytester) -> None:
    """Of the marker and of ``egress.resolve``, from either resolver, with who declares the name."""
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.egress_resolves("api.weather.com", to="192.0.2.99")
        def test_marked(): ...

        @pytest.mark.egress_dns_proxy(True)
        def test_asked(egress):
            assert egress.resolve("api.weather.com").resolved
            assert not egress.as_workload("billing").resolve("no.example.invalid", "AAAA").resolved
        """
    )
    result = suite.runpytest("--egress-json=egress.json", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1, failed=1)
    asked, marked = sorted(read(suite)["tests"], key=lambda test: str(test["id"]))
    [lookup] = marked["findings"]
    assert (lookup["kind"], lookup["target"]) == ("lookup", "dns://api.weather.com")
    assert (lookup["verdict"], lookup["port"], lookup["protocol"]) == ("RESOLVED", 0, "dns")
    assert lookup["records"][0]["proxy"] == "the name server"
    assert [(it["file"], it["line"]) for it in lookup["declared_by"]] == [("deploy/egress.yaml", 8)]
    first, second = asked["findings"]
    assert first["records"][0]["proxy"] == "Istio's agent"
    assert first["records"][0]["addresses"] == ["240.240.0.1"]
    assert (second["target"], second["workload"]) == (
        "dns://no.example.invalid?type=AAAA", "billing",
    )  # fmt: skip
    assert (second["verdict"], second["declared_by"]) == ("UNRESOLVED", [])
    assert properties(suite)["test_marked"]["egress_verdict"] == "RESOLVED"


def test_a_worker_that_dies_takes_one_test_with_it(suite: pytest.Pytester) -> None:
    """What its earlier tests have found is with the controller already."""
    suite.makepyfile(
        """
        import os

        def test_first(egress):
            assert egress.get("https://api.weather.com").reachable

        def test_second(egress):
            egress.get("https://evil.example")
            os._exit(1)
        """
    )
    suite.runpytest("-n", "1", "--egress-json=egress.json")
    first, second = read(suite)["tests"]
    assert [it["verdict"] for it in first["findings"]] == ["REACHABLE"]
    assert (second["outcome"], second["findings"]) == ("failed", [])


def test_a_file_that_cannot_be_written_fails_the_run(suite: pytest.Pytester) -> None:
    """In words, with the reason."""
    suite.makepyfile("def test(): ...")
    (suite.path / "taken").write_text("a file, no directory")
    result = suite.runpytest("--egress-json=taken/egress.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*egress json report cannot be written to *"])


def test_ci_gets_its_reports(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub's annotations and summary, SARIF, GitLab's two; nobody else sees a thing of them."""
    suite.makepyfile(
        """
        def test_wrong(egress):
            assert egress.get("https://evil.example").reachable
        """
    )
    name = "test_ci_gets_its_reports.py"
    for variable in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(suite.path / "summary.md"))
    files = ("sarif=r.sarif", "code-quality=r.json", "gitlab-annotations=links.json")
    result = suite.runpytest(*(f"--egress-{it}" for it in files))
    told = f"::error title=egress/test-failed,file={name},line=1,col=1::{name}::test_wrong%0A"
    assert [line for line in result.outlines if line.startswith(told)]
    assert (suite.path / "summary.md").read_text().startswith("### ❌ Egress: 1 failed\n")
    log = json.loads((suite.path / "r.sarif").read_text())
    validate_sarif(log)
    assert [it["ruleId"] for it in log["runs"][0]["results"]] == ["egress/test-failed"]
    assert json.loads((suite.path / "r.json").read_text())[0]["location"]["path"] == name
    assert json.loads((suite.path / "links.json").read_text()) == {"egress": []}
    result = suite.runpytest("--egress-annotations=none")
    result.stdout.no_fnmatch_line("::error*")
    monkeypatch.delenv("GITHUB_ACTIONS")
    suite.runpytest().stdout.no_fnmatch_line("::error*")
    assert (suite.path / "summary.md").read_text().count("###") == 1


def test_junit_alone_costs_nothing(suite: pytest.Pytester) -> None:
    """Where no test asks for a pod nothing heavy is imported."""
    suite.makepyfile(
        """
        def test(): ...
        """
    )
    suite.makeconftest(
        """
        import sys

        def pytest_unconfigure():
            heavy = ("pytest_egress.outcome", "pytest_egress.report.run", "pytest_egress.contract")
            print("imported:", [name for name in heavy if name in sys.modules])
        """
    )
    suite.makeini("[pytest]\naddopts = -p no:cacheprovider\n")
    result = suite.runpytest_subprocess("--junitxml=junit.xml")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*imported: []"])


def test_nothing_is_gathered_unasked(suite: pytest.Pytester) -> None:
    """Neither is anything imported for it."""
    suite.makepyfile(
        """
        import sys

        def test(request, egress):
            assert not request.config.pluginmanager.has_plugin("egress-gathering")
            assert "pytest_egress.gathering" not in sys.modules
            assert "pytest_egress.report.findings" not in sys.modules
        """
    )
    suite.runpytest_subprocess().assert_outcomes(passed=1)
