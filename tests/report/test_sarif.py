"""SARIF: valid, relative to the repository, stable fingerprints, suppressions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.contract.position import Position
from pytest_egress.report.sarif import Result, Rule, sarif
from tests.report.schemas import SchemaError, validate_sarif

RULES = [
    Rule("lint/open-port", "TCP that opens a port to every destination"),
    Rule("IST0101", "a reference to what is not there", "error"),
    Rule("lint/unused", "never found"),
]


def results(log: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of the only run."""
    found: list[dict[str, Any]] = log["runs"][0]["results"]
    return found


def test_a_log_is_valid() -> None:
    """Every kind of result, with and without a place, level, rule of its own, suppression."""
    log = sarif(
        [
            Result("lint/open-port", "opens 0.0.0.0:25", Position("egress/mail relay.yaml", 8, 5)),
            Result("IST0101", 'no host "x"', Position("/elsewhere/vs.yaml", 3, 1), "error"),
            Result("file/missing", "there is no such file", level="error"),
            Result("lint/open-port", "opens it", Position("a.yaml"), suppressed="until March"),
        ],
        RULES,
    )
    validate_sarif(log)
    [run] = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [
        "lint/open-port",
        "IST0101",
        "file/missing",
    ]
    assert [it["ruleIndex"] for it in results(log)] == [0, 1, 2, 0]
    places = [it["locations"][0]["physicalLocation"] for it in results(log) if "locations" in it]
    assert places == [
        {
            "artifactLocation": {"uri": "egress/mail%20relay.yaml", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 8, "startColumn": 5},
        },
        {
            "artifactLocation": {"uri": "file:///elsewhere/vs.yaml"},
            "region": {"startLine": 3, "startColumn": 1},
        },
        {
            "artifactLocation": {"uri": "a.yaml", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 1, "startColumn": 1},
        },
    ]
    assert results(log)[3]["suppressions"] == [{"kind": "inSource", "justification": "until March"}]
    assert json.loads(json.dumps(log)) == log


def test_a_log_without_findings_is_valid() -> None:
    """It says that the tool has run and found nothing."""
    log = sarif([], RULES)
    validate_sarif(log)
    assert results(log) == []


def test_paths_are_relative_to_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that runs in a subdirectory names files as the repository does."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "se.yaml").touch()
    monkeypatch.chdir(tmp_path / "deploy")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    [result] = results(sarif([Result("r", "m", Position("se.yaml", 2, 3))]))
    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": "deploy/se.yaml", "uriBaseId": "%SRCROOT%"}


def test_fingerprints_outlive_added_lines() -> None:
    """A finding that moved is the same one; two equal findings of a file stay two."""

    def prints(*lines: int) -> list[str]:
        found = results(sarif(Result("r", "m", Position("f.yaml", line)) for line in lines))
        return [it["partialFingerprints"]["egress/v1"] for it in found]

    assert prints(3, 9) == prints(30, 90)
    assert len(set(prints(3, 9))) == 2
    other = results(sarif([Result("r", "m", Position("g.yaml", 3))]))
    assert other[0]["partialFingerprints"]["egress/v1"] not in prints(3)


@pytest.mark.parametrize("spoil", ["uri", "level", "line", "extra", "rule", "missing"])
def test_the_check_refuses(spoil: str) -> None:
    """What these tests hold logs to does tell a bad one from a good one."""
    log = sarif([Result("r", "m", Position("f.yaml", 3))])
    result = results(log)[0]
    place = result["locations"][0]["physicalLocation"]
    if spoil == "uri":
        place["artifactLocation"]["uri"] = "a file.yaml"
    elif spoil == "level":
        result["level"] = "bad"
    elif spoil == "line":
        place["region"]["startLine"] = 0
    elif spoil == "extra":
        result["extra"] = 1
    elif spoil == "rule":
        result["ruleId"] = "other"
    else:
        del result["message"]
    with pytest.raises((SchemaError, AssertionError)):
        validate_sarif(log)
