"""The JSON report: all of a run, as its published schema says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_egress.report.as_json import json_of, schema_text
from pytest_egress.report.findings import Finding
from pytest_egress.report.properties import properties_of
from pytest_egress.report.run import Run
from pytest_egress.report.sheets import Sheets
from tests.report.runs import HOSTILE, PLACE, RUN, SHEETS, finding, run_of
from tests.report.schemas import SchemaError, validate_run


def told(run: Run) -> Any:
    """The report, read again."""
    return json.loads(json_of(run))


def test_it_fits_its_schema() -> None:
    """With everything in it, and with nothing."""
    validate_run(told(RUN))
    validate_run(told(run_of(contracts=())))


def test_it_has_everything() -> None:
    """Tests, findings, coverage, contract."""
    run = told(RUN)
    assert run["schema"] == 2
    assert run["outcomes"] == {"error": 1, "failed": 2, "passed": 1, "skipped": 1}
    assert run["verdicts"]["BLOCKED"] == 1
    assert [test["id"] for test in run["tests"]] == [test.id for test in RUN.tests]
    first = run["tests"][0]["findings"][0]
    assert first["declared_by"] == [{"file": "egress.yaml", "line": 9, "column": 5}]
    assert [it["kind"] for it in first["steps"] if it["state"] == "decided"] == ["upstream"]
    assert run["tests"][2]["findings"][0]["host"] == HOSTILE
    assert (run["coverage"]["total"], run["coverage"]["percent"]) == (5, 40.0)
    assert run["coverage"]["undeclared"][0]["target"] == f"{HOSTILE}:443/tls"
    assert run["contracts"][0]["policy"] == "REGISTRY_ONLY"
    assert run["contracts"][0]["declared"][0]["place"] == str(PLACE)


@pytest.mark.parametrize("spoil", ["schema", "verdict", "state", "line", "missing", "started"])
def test_the_schema_refuses(spoil: str) -> None:
    """It tells a bad report from a good one."""
    run = told(RUN)
    found = run["tests"][0]["findings"][0]
    if spoil == "schema":
        run["schema"] = 1
    elif spoil == "verdict":
        found["verdict"] = "FINE"
    elif spoil == "state":
        found["steps"][0]["state"] = "maybe"
    elif spoil == "line":
        found["declared_by"][0]["line"] = 0
    elif spoil == "missing":
        del found["records"][0]["proxy"]
    else:
        run["started"] = "yesterday"
    with pytest.raises(SchemaError):
        validate_run(run)


def test_the_schema_describes_every_field() -> None:
    """Each property has words, and nothing that is written is left out of it."""
    schema = json.loads(schema_text())

    def walk(value: Any, fits: Any) -> None:
        if "$ref" in fits:
            fits = schema["$defs"][fits["$ref"].rpartition("/")[2]]
        if isinstance(value, list):
            for item in value:
                walk(item, fits["items"])
        elif isinstance(value, dict) and "properties" in fits and "$" not in fits:
            for name, item in value.items():
                if fits.get("description", "").startswith("The access log record"):
                    continue  # Envoy's operators
                assert name in fits["properties"], name
                walk(item, fits["properties"][name])

    walk(told(RUN), schema)
    for owner in (schema, *schema["$defs"].values()):
        for name, fits in owner["properties"].items():
            assert name == "schema" or fits.get("description") or name == "coverage", name


def test_findings_and_contracts_travel() -> None:
    """From a worker to its controller, as plain values."""
    for it in RUN.findings:
        assert Finding.from_json(json.loads(json.dumps(it.to_json()))) == it
    assert Sheets.from_json(json.loads(json.dumps(SHEETS.to_json()))) == SHEETS


def test_secrets_stay_where_they_are() -> None:
    """Documents that are not the contract's are left out, and those with a Secret in them."""
    texts = [(sheet.line, sheet.text) for sheet in SHEETS.sheets]
    assert [line for line, _ in texts] == [2, 27]
    assert texts[0][1].startswith("# </script><img")
    assert "not shown" in texts[1][1]
    assert "tr0ub4dor" not in json.dumps(SHEETS.to_json())
    assert "c0rrect-horse" not in json.dumps(SHEETS.to_json())


def test_properties_are_told_once_for_each_kind_of_finding() -> None:
    """A hundred equal probes are one."""
    found = list(properties_of([finding(), finding(), finding("BLOCKED", "evil.example")]))
    assert [name for name, _ in found] == [
        *("egress_target", "egress_verdict", "egress_reason", "egress_cluster"),
        "egress_declared_by",
    ] * 2
    assert dict(found[:5]) == {
        "egress_target": "https://api.weather.com:443/",
        "egress_verdict": "REACHABLE",
        "egress_reason": "because",
        "egress_cluster": "outbound|443||api.weather.com",
        "egress_declared_by": "egress.yaml:9:5",
    }
