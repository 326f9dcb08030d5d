"""The marker egress_bypass through pytest: advice that no test fails for."""

from __future__ import annotations

import json

import pytest

from tests.report.schemas import validate_run, validate_sarif

TESTS = """
    import pytest

    @pytest.mark.egress_bypass(annotations={"traffic.sidecar.istio.io/excludeOutboundPorts": "25"})
    def test_ways(): ...

    def test_other(): ...
"""


def test_open_ways_are_told(suite: pytest.Pytester) -> None:
    """In the terminal and in reports, from workers too; the test passes."""
    suite.makepyfile(TESTS)
    result = suite.runpytest("-n", "1", "--egress-json=r.json", "--egress-html=r.html",
                             "--egress-sarif=r.sarif")  # fmt: skip
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*= ways around the sidecar (advice) =*",
            "open: excluded-port tcp://203.0.113.66:25: it does not meet the sidecar: *",
            "    stopped by: take the port out of the annotation, or a NetworkPolicy",
            "* ways tried: * open, * closed; whether a NetworkPolicy stops one a cluster can show",
        ]
    )
    run = json.loads((suite.path / "r.json").read_text())
    validate_run(run)
    [test] = run["tests"]
    ways = {it["way"]: it for it in test["bypasses"]}
    assert ways["excluded-port"]["open"] is True
    assert ways["raw-address"]["open"] is False
    assert test["findings"] == []
    assert "excluded-port" in (suite.path / "r.html").read_text()
    log = json.loads((suite.path / "r.sarif").read_text())
    validate_sarif(log)
    rules = {it["ruleId"]: it["level"] for it in log["runs"][0]["results"]}
    assert rules["egress/bypass-excluded-port"] == "note"
    assert "egress/bypass-raw-address" not in rules


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("'api.weather.com'", "*egress_bypass: *api.weather.com*"),
        ("443", "*egress_bypass: expected URLs, got 443"),
        ("annotations='x'", "*egress_bypass: annotations: expected a mapping*"),
        ("annotation={}", "*egress_bypass: *unexpected keyword argument 'annotation'*"),
        (
            "annotations={'traffic.sidecar.istio.io/excludeOutboundPort': '1'}",
            "*Istio has no such annotation; did you mean *excludeOutboundPorts?",
        ),
    ],
)
def test_mistakes_fail_the_test_in_one_line(
    suite: pytest.Pytester, arguments: str, message: str
) -> None:
    """Without a traceback."""
    suite.makepyfile(f"import pytest\n@pytest.mark.egress_bypass({arguments})\ndef test(): ...")
    result = suite.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])
    result.stdout.no_fnmatch_line("*Traceback*")
