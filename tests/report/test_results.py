"""What of a run is to be looked at: SARIF, annotations, GitLab's reports, a job's summary."""

from __future__ import annotations

import html
from typing import Any

import pytest

from pytest_egress.contract.position import Position
from pytest_egress.report.annotation import commands
from pytest_egress.report.code_quality import code_quality
from pytest_egress.report.github import job_summary
from pytest_egress.report.gitlab import links
from pytest_egress.report.results import RULES, gist, results_of
from pytest_egress.report.sarif import Result, sarif
from tests.report.runs import HOSTILE, RUN, case_of, finding, run_of
from tests.report.schemas import validate_sarif


@pytest.fixture(autouse=True)
def _no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are as given."""
    for name in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_failed_tests_and_warnings_are_results() -> None:
    """Each with its place, in an order that does not change."""
    found = list(results_of(RUN))
    assert [(it.rule, str(it.position), it.level) for it in found] == [
        ("egress/test-failed", "tests/test_a.py:21:1", "error"),
        ("egress/test-failed", "tests/test_b.py:7:1", "error"),
        ("egress/test-error", "tests/test_b.py:7:1", "error"),
        ("lint/location-unset", "egress.yaml:7:1", "warning"),
        ("lint/location-unset", "egress.yaml:40:3", "warning"),
    ]
    log = sarif(found, RULES)
    validate_sarif(log)
    assert len(log["runs"][0]["results"]) == 5


def test_gist_is_the_assertion_and_the_last_story() -> None:
    """Not the source around it; a story that is in the failure already is told once."""
    told = "def test():\n>       assert x\nE       AssertionError: assert False\nE        + where\n"
    case = case_of("t.py::x", "failed", finding("BLOCKED"), message=told)
    assert gist(case).startswith("AssertionError: assert False\n+ where\n\ntarget    https://api")
    story = finding("BLOCKED").explanation
    assert (
        gist(case_of("t.py::x", "failed", finding("BLOCKED"), message=story)).count("target") == 1
    )
    assert gist(case_of("t.py::x", "error")) == "error"
    assert len(gist(case_of("t.py::x", "failed", message="x" * 10_000))) < 5_000


def test_annotations_are_no_more_than_github_shows() -> None:
    """Ten of each level; a line break or a colon of a text stays in its place."""
    many = [Result("a:b,c", f"{n}\n100 %", Position("f.yaml", n, 2), "error") for n in range(1, 13)]
    told = list(commands([*many, Result("r", "m", None, "note")]))
    assert len(told) == 11
    assert told[0] == "::error title=a%3Ab%2Cc,file=f.yaml,line=1,col=2::1%0A100 %25"
    assert told[-1] == "::notice title=r::m"


def test_summary_of_a_job() -> None:
    """Counts, failures, what lacks a test; hostile texts are text."""
    text = job_summary(RUN)
    assert text.startswith("### ❌ Egress: 1 error, 2 failed, 1 passed, 1 skipped\n")
    assert "| REACHABLE | 1 |" in text
    assert "2 of 5 declared hosts and ports exercised (40 %)" in text
    assert "<summary>3 not exercised</summary>" in text
    assert "<code>listed.example.com:5432/TCP</code>" in text
    outside, inside = [], False
    for line in text.splitlines():
        inside = inside is not line.startswith("```")
        outside += [] if inside else [line]
    assert "<img" not in "\n".join(outside)
    assert job_summary(run_of(case_of("t.py::x", "passed"))).startswith("### ✅ Egress: 1 passed\n")


def test_a_failure_cannot_leave_its_block() -> None:
    """Its fence is longer than any that it holds."""
    message = "````\n</details><script>"
    text = job_summary(run_of(case_of("t.py::x", "failed", message=message)))
    assert f"`````text\n{message}\n`````\n" in text


def test_texts_in_a_summary_mean_what_they_say() -> None:
    """Read by a browser they are what they were."""
    test = "t.py::x[it's *a* <b> & `c`]"
    text = job_summary(run_of(case_of(test, "failed")))
    line = next(it for it in text.splitlines() if it.startswith("<details>"))
    assert html.unescape(line) == f"<details><summary><code>{test}</code> failed</summary>"
    assert "*a*" not in line


def test_code_quality_and_links_of_gitlab() -> None:
    """Each result at its line; links lead to the commit and to the page among the artifacts."""
    found = list(results_of(RUN))
    report = code_quality(found)
    assert len({it["fingerprint"] for it in report}) == len(report) == 5
    assert {it["severity"] for it in report} == {"major", "minor"}
    environment = {
        "CI_JOB_URL": "https://gitlab.example/g/p/-/jobs/7",
        "CI_PROJECT_URL": "https://gitlab.example/g/p",
        "CI_COMMIT_SHA": "abc",
    }
    told: Any = links(found, environment, "reports/egress report.html")
    assert [it["external_link"] for it in told["egress"]][:2] == [
        {
            "label": "Egress report",
            "url": "https://gitlab.example/g/p/-/jobs/7/artifacts/file/reports/egress%20report.html",
        },
        {
            "label": "tests/test_a.py::test_rates",
            "url": "https://gitlab.example/g/p/-/blob/abc/tests/test_a.py#L21",
        },
    ]
    assert len(told["egress"]) == 4
    assert HOSTILE.split("\u2028", maxsplit=1)[0] in told["egress"][2]["external_link"]["label"]
    assert links(found, {}, "egress.html") == {"egress": []}
