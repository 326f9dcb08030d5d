"""``pytest-egress lint``: formats, exit codes, the hook of pre-commit."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from pytest_egress.cli import main
from tests.cli.test_validate import GOOD, REFUSED, stdin, write
from tests.docs.pages import ROOT
from tests.observed import destination_rule, documents, entry
from tests.report.schemas import validate_sarif

CLEAN = entry("weather", "api.weather.com", {443: "HTTPS"}, location="MESH_EXTERNAL")
RULE = destination_rule(
    "tls", "api.weather.com", trafficPolicy={"tls": {"mode": "SIMPLE", "sni": "a.b"}}
)
FOUND = entry("bare", "bare.example", {80: "HTTP"})
SILENT = "# egress-lint: disable=lint/location-unset everything here is external\n" + FOUND


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 for nothing, 1 for a finding, 2 for what cannot be read."""
    clean, found = write(tmp_path / "a.yaml", CLEAN), write(tmp_path / "b.yaml", FOUND)
    assert main(["lint", clean]) == 0
    assert capsys.readouterr() == ("", "1 file: nothing found\n")
    assert main(["lint", clean, found]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{found}:6:1: warning: location is not set")
    assert out.endswith("[lint/location-unset]\n")
    assert err == "2 files: 1 warning\n"
    assert main(["lint", write(tmp_path / "c.yaml", SILENT)]) == 0
    assert capsys.readouterr() == ("", "1 file: nothing found, 1 silenced\n")
    assert main(["lint", str(tmp_path / "missing.yaml")]) == 2
    assert main(["lint", write(tmp_path / "d.yaml", REFUSED)]) == 1


@pytest.mark.parametrize(("level", "code"), [("error", 0), ("warning", 1), ("note", 1)])
def test_fail_on(tmp_path: Path, level: str, code: int) -> None:
    """The level from which on a finding counts."""
    assert main(["lint", "--fail-on", level, write(tmp_path / "b.yaml", FOUND)]) == code


def test_notes_do_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are told, and end the command with 1 when that is asked for."""
    policy = {"tls": {"mode": "SIMPLE", "subjectAltNames": ["api.weather.com"]}}
    http = entry(
        "weather",
        "api.weather.com",
        {8080: "HTTP"},
        location="MESH_EXTERNAL",
    )
    path = write(
        tmp_path / "f.yaml",
        documents(http, destination_rule("tls", "api.weather.com", trafficPolicy=policy)),
    )
    assert main(["lint", path]) == 0
    assert ": note: " in capsys.readouterr().out
    assert main(["lint", "--fail-on", "note", path]) == 1


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object with what is told and what is accepted."""
    path = write(tmp_path / "f.yaml", documents(FOUND, GOOD))
    silent = write(tmp_path / "g.yaml", SILENT.replace("bare", "other"))
    assert main(["lint", "--format", "json", path, silent]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["errors"], told["warnings"], told["notes"]) == (1, 0, 1, 0)
    assert told["files"] == [path, silent]
    [finding] = told["findings"]
    assert finding["resource"] == {
        "kind": "ServiceEntry",
        "namespace": "default",
        "name": "bare",
    }
    assert (finding["rule"], finding["also"], finding["line"]) == ("lint/location-unset", [], 6)
    [silenced] = told["silenced"]
    assert silenced["reason"] == "everything here is external"
    assert silenced["resource"]["name"] == "other"


def test_sarif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A valid log, in which what is accepted is a suppressed result."""
    path = write(tmp_path / "f.yaml", documents(FOUND, CLEAN, RULE))
    silent = write(tmp_path / "g.yaml", SILENT.replace("bare", "other"))
    refused = write(tmp_path / "h.yaml", REFUSED)
    assert main(["lint", "--format", "sarif", path, silent, refused]) == 1
    log = json.loads(capsys.readouterr().out)
    validate_sarif(log)
    results = log["runs"][0]["results"]
    levels = {it["ruleId"]: it["level"] for it in results}
    assert levels["lint/location-unset"] == "warning"
    assert levels["IST0128"] == "note"
    assert levels["service-entry/protocol"] == "error"
    assert [it["suppressions"][0]["justification"] for it in results if "suppressions" in it] == [
        "everything here is external"
    ]


def test_github(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Annotations at the lines."""
    path = write(tmp_path / "f.yaml", FOUND)
    assert main(["lint", "--format", "github", path]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"::warning title=lint/location-unset,file={path},line=6,col=1::")


def test_gitlab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Code Quality report without what is silenced."""
    path = write(tmp_path / "f.yaml", documents(FOUND, CLEAN))
    silent = write(tmp_path / "g.yaml", SILENT.replace("bare", "other"))
    assert main(["lint", "--format", "gitlab", path, silent]) == 1
    [issue] = json.loads(capsys.readouterr().out)
    assert issue["check_name"] == "lint/location-unset"
    assert issue["location"]["lines"]["begin"] == 6


def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finding names the object that it is of, since nobody can look up the line."""
    stdin(monkeypatch, FOUND.encode())
    assert main(["lint", "-"]) == 1
    assert "(ServiceEntry default/bare) [lint/location-unset]" in capsys.readouterr().out


def test_the_mesh_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the agent resolves names, a TCP port without addresses is told apart by its own."""
    path = write(
        tmp_path / "f.yaml", entry("t", "t.example", {5432: "TCP"}, location="MESH_EXTERNAL")
    )
    assert main(["lint", path]) == 1
    assert "IST0134" in capsys.readouterr().out
    mesh = write(
        tmp_path / "mesh.yml",
        "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}}\n",
    )
    assert main(["lint", "--mesh-config", mesh, path]) == 0
    broken = write(tmp_path / "broken.yml", "defaultConfig: [1]\n")
    assert main(["lint", "--mesh-config", broken, path]) == 2


def test_the_hook_of_pre_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published hook is a command that this program has, given files."""
    hooks = yaml.safe_load(ROOT.joinpath(".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert {hook["id"] for hook in hooks} == {"egress-lint", "egress-validate"}
    found = write(tmp_path / "b.yaml", FOUND)
    for hook in hooks:
        program, *arguments = shlex.split(hook["entry"]) + hook.get("args", [])
        assert program == "pytest-egress"
        assert hook["language"] == "python"
        assert hook["types"] == ["yaml"]
        assert main([*arguments, found]) == (1 if hook["id"] == "egress-lint" else 0)
