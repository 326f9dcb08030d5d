"""``pytest-egress validate``: formats, exit codes, what may be given to it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.cli import main
from tests.cli.test_commands import answers, lines
from tests.observed import documents, entry

GOOD = entry("weather", "api.weather.com", {443: "HTTPS"}, location="MESH_EXTERNAL")
REFUSED = entry("other", "*", {80: "HTTPP"}, location="MESH_EXTERNAL")
LINT = entry("bare", "bare.example", {80: "HTTP"})
OUTSIDE = {"location": "MESH_EXTERNAL"}
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app}\n"
KUBERNETES_GATEWAY = (
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\n"
    "spec: {gatewayClassName: istio, listeners: []}\n"
)


def write(path: Path, text: str) -> str:
    """A file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """What comes on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


@pytest.fixture
def good(tmp_path: Path) -> str:
    """A file that nothing is to be said of."""
    return write(tmp_path / "good.yaml", GOOD)


def test_accepted_and_refused(
    good: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 when Istio would take all of them, 1 when not, 2 when one cannot be read."""
    assert main(["validate", good]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "1 ServiceEntry in 1 file accepted\n")
    bad = write(tmp_path / "bad.yaml", REFUSED)
    assert main(["validate", good, bad]) == 1
    captured = capsys.readouterr()
    assert [line.partition(" error: ")[0] for line in captured.out.splitlines()] == [
        f"{bad}:8:5:",
        f"{bad}:12:15:",
    ]
    assert captured.err == "2 ServiceEntries in 2 files refused: 2 errors\n"
    assert main(["validate", bad, str(tmp_path / "nowhere.yaml")]) == 2
    assert f"{bad}:8:5: error" in capsys.readouterr().out


def test_warnings_are_acceptable_unless_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lint and istiod's warnings are told; ``--strict`` makes them count."""
    path = write(tmp_path / "lint.yaml", LINT)
    assert main(["validate", path]) == 0
    captured = capsys.readouterr()
    assert "[lint/location-unset]" in captured.out
    assert captured.err == "1 ServiceEntry in 1 file accepted: 1 warning\n"
    assert main(["validate", "--strict", path]) == 1
    assert main(["validate", "--strict", write(tmp_path / "good.yaml", GOOD)]) == 0


def test_mesh_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its ports are the proxy's; a mistake in it makes the command unusable."""
    path = write(tmp_path / "own.yaml", entry("own", "own.example", {16006: "TCP"}, **OUTSIDE))
    mesh = write(tmp_path / "mesh.yaml", "proxyInboundListenPort: 16006\n")
    assert main(["validate", "--strict", path]) == 0
    assert main(["validate", "--strict", "--mesh-config", mesh, path]) == 1
    assert "port 16006 on every address is the proxy's own" in capsys.readouterr().out
    wrong = write(tmp_path / "wrong.yaml", "proxyInboundListenPort: many\n")
    assert main(["validate", "--mesh-config", wrong, path]) == 2
    assert f"{wrong}:1:25: error: " in capsys.readouterr().err


def test_standard_input_names_the_object(
    good: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can look a line of a pipe up: the object and its template are told."""
    rendered = (
        f"---\n# Source: shop/templates/egress.yaml\n{GOOD}"
        f"---\n# Source: shop/templates/other.yaml\n{REFUSED}"
    )
    stdin(monkeypatch, rendered.encode())
    assert main(["validate", "-"]) == 1
    captured = capsys.readouterr()
    first = captured.out.splitlines()[0]
    assert first.startswith("<stdin>:26:5: error: ")
    assert first.endswith("] (ServiceEntry default/other of shop/templates/other.yaml)")
    stdin(monkeypatch, GOOD.replace("weather", "climate").encode())
    assert main(["validate", good, "-", "-"]) == 0
    assert capsys.readouterr().err == "2 ServiceEntries in 2 files accepted\n"


@pytest.mark.parametrize(
    ("data", "code", "told"),
    [
        (b" \n", 2, "<stdin>:1:1: error: nothing came on standard input"),
        (b"# Source: a.yaml\n", 0, "[lint/nothing-to-check]"),
        (DEPLOYMENT.encode(), 0, "is in what was given: 1 Deployment [lint/nothing-to-check]"),
        (b"a: \xff", 1, "<stdin>:1:4: error: byte 0xff is not UTF-8"),
        (b"\xef\xbb\xbf" + GOOD.encode(), 0, ""),
        (GOOD.replace("\n", "\r\n").encode(), 0, ""),
        (REFUSED.replace("\n", "\r\n").encode(), 1, "<stdin>:8:5: error: "),
    ],
    ids=["nothing", "comments", "other kinds", "not UTF-8", "byte order mark", "CRLF", "CRLF bad"],
)
def test_standard_input(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: bytes,
    code: int,
    told: str,
) -> None:
    """What may come through a pipe."""
    stdin(monkeypatch, data)
    assert main(["validate", "-"]) == code
    out = capsys.readouterr().out
    assert told in out
    assert bool(told) == bool(out)


def test_directories_and_globs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both stand for files; a name that comes twice is read once."""
    write(tmp_path / "a/one.yaml", GOOD)
    write(tmp_path / "a/b/two.yml", GOOD.replace("weather", "climate"))
    write(tmp_path / "a/readme.md", "no YAML: {")
    assert main(["validate", str(tmp_path), str(tmp_path / "a" / "*.yaml")]) == 0
    assert capsys.readouterr().err == "2 ServiceEntries in 2 files accepted\n"
    assert main(["validate", str(tmp_path / "*.json")]) == 2
    assert "the pattern matches no file" in capsys.readouterr().out


def test_findings_across_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What one file says against another is told."""
    first = write(tmp_path / "1.yaml", GOOD)
    second = write(tmp_path / "2.yaml", GOOD.replace("name: weather", "name: again"))
    assert main(["validate", second, first]) == 0
    out = capsys.readouterr().out
    assert f"{first}:8:5: warning: api.weather.com:443 is declared at {second}:8:5" in out


def test_what_other_projects_own_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Gateway of the Kubernetes Gateway API is not Istio's."""
    path = write(tmp_path / "all.yaml", documents(GOOD, DEPLOYMENT, KUBERNETES_GATEWAY))
    assert main(["validate", path]) == 0
    assert capsys.readouterr().err == (
        "1 ServiceEntry in 1 file accepted; left alone: "
        "1 Deployment, 1 Gateway of gateway.networking.k8s.io\n"
    )


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_versions_lists_cases_and_short_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    """Real files: each served version, lists, protocols in any case, hosts without a domain."""
    item = entry("short", "redis", {6379: "Redis", 443: "https", 80: "hTTp", 3306: "MySQl"})
    item = item.replace("networking.istio.io/v1", f"networking.istio.io/{version}")
    inner = "\n".join(f"    {line}" for line in item.splitlines())
    path = write(
        tmp_path / "list.yaml", f"apiVersion: v1\nkind: List\nitems:\n  -\n{inner}\n  -\n{inner}\n"
    )
    assert main(["validate", path]) == 1
    captured = capsys.readouterr()
    errors = [line for line in captured.out.splitlines() if " error: " in line]
    assert len(errors) == 1
    assert errors[0].endswith("[document/duplicate]")
    assert captured.err.startswith("2 ServiceEntries in 1 file refused: 1 error")


def test_templates_are_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once a file, with the command that renders it; the chart's own settings are no objects."""
    write(tmp_path / "shop/Chart.yaml", "apiVersion: v2\nname: shop\n")
    write(tmp_path / "shop/values.yaml", "hosts: []\n")
    value = GOOD.replace("api.weather.com", "{{ .Values.host }}").replace("443", "{{ .port }}")
    first = write(tmp_path / "shop/templates/a.yaml", value)
    block = "{{- range .Values.hosts }}\n" + GOOD + "{{- end }}\n"
    second = write(tmp_path / "shop/templates/b.yaml", block)
    assert main(["validate", str(tmp_path)]) == 1
    how = f"(helm template {tmp_path}/shop | pytest-egress validate -)"
    assert capsys.readouterr().out.splitlines() == [
        f'{place}: error: "{{{{" is a template, not a value: render the file first {how} and give '
        "that [yaml/template]"
        for place in (f"{first}:8:5", f"{second}:1:1")
    ]


def test_placeholders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Braces that were to be filled in are YAML, and mean something else."""
    path = write(tmp_path / "a.yaml", GOOD.replace("api.weather.com", "{host}"))
    assert main(["validate", path]) == 1
    assert "not a mapping: {host} looks like a placeholder, fill it in" in capsys.readouterr().out


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object with a schema version, and nothing beside it."""
    text = f"# Source: shop/egress.yaml\n{REFUSED.replace('HTTPP', 'HTTP')}"
    path = write(tmp_path / "a.yaml", documents(text, LINT, DEPLOYMENT))
    assert main(["validate", "--format", "json", path]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    told: dict[str, Any] = json.loads(captured.out)
    error, warning = told.pop("problems")
    assert told == {
        "schema": 1,
        "verdict": "refused",
        "errors": 1,
        "warnings": 1,
        "files": [path],
        "kinds": {"ServiceEntry": 2},
        "left_alone": {"Deployment": 1},
    }
    assert error["message"].startswith('host "*" is not allowed')
    del error["message"]
    assert error == {
        "severity": "error",
        "rule": "service-entry/host-wildcard",
        "file": path,
        "line": 9,
        "column": 5,
        "resource": {"kind": "ServiceEntry", "namespace": "default", "name": "other"},
        "template": "shop/egress.yaml",
    }
    assert warning["rule"] == "lint/location-unset"
    assert "template" not in warning


def test_json_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is a problem like any other; no object has it."""
    path = str(tmp_path / "nowhere.yaml")
    assert main(["validate", "--format", "json", path]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["files"]) == ("refused", [])
    assert [problem["file"] for problem in told["problems"]] == [path]
    assert "resource" not in told["problems"][0]


@pytest.mark.parametrize(("text", "verdict"), [(GOOD, "accepted"), (LINT, "warned")])
def test_json_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, verdict: str
) -> None:
    """Warnings are told apart from silence."""
    assert main(["validate", "--format", "json", write(tmp_path / "a.yaml", text)]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == verdict


def test_github(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Workflow commands, escaped as the runner unescapes them, with paths of the repository."""
    name = "a,b:c%.yaml"
    write(tmp_path / "repo/deploy" / name, REFUSED.replace("'*'", "'100%'"))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "repo"))
    monkeypatch.chdir(tmp_path / "repo/deploy")
    stdin(monkeypatch, LINT.encode())
    assert main(["validate", "--format", "github", name, "-"]) == 1
    captured = capsys.readouterr()
    first, *_, last = captured.out.splitlines()
    file = "file=deploy/a%2Cb%3Ac%25.yaml,line=8,col=5"
    assert first.startswith(f"::error title=service-entry/host,{file}::")
    assert '"100%25"' in first
    assert last.startswith("::warning title=lint/location-unset::<stdin>:6:1: warning: location ")
    assert captured.err == "2 ServiceEntries in 2 files refused: 2 errors, 1 warning\n"
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "elsewhere"))
    assert main(["validate", "--format", "github", name]) == 1
    assert f"file={name.replace(',', '%2C')}".split(":")[0] in capsys.readouterr().out


def test_gitlab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Code Quality report with paths of the repository; an empty one where all is well."""
    write(tmp_path / "repo/deploy/bad.yaml", REFUSED)
    monkeypatch.setenv("CI_PROJECT_DIR", str(tmp_path / "repo"))
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path / "repo/deploy")
    assert main(["validate", "--format", "gitlab", "bad.yaml"]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert first["severity"] == "major"
    assert first["check_name"] == "service-entry/host-wildcard"
    assert first["location"] == {"path": "deploy/bad.yaml", "lines": {"begin": 8}}
    assert second["location"]["lines"]["begin"] == 12
    good = write(tmp_path / "good.yaml", GOOD)
    assert main(["validate", "--format", "gitlab", good]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each document gets a verdict and its problems with their places."""
    cases = [{"id": "good", "yaml": GOOD}, {"id": "bad", "yaml": REFUSED}, {"id": "none"}]
    assert main(["validate", "--batch", lines(tmp_path, cases)]) == 0
    accepted, refused, none = answers(capsys)
    assert accepted == {"id": "good", "verdict": "accepted", "problems": []}
    assert refused["verdict"] == "refused"
    assert (refused["problems"][0]["line"], refused["problems"][0]["column"]) == (8, 5)
    assert set(refused["problems"][0]) == {"severity", "message", "line", "column", "rule"}
    assert none == {"id": "none", "error": ["yaml: expected text, got nothing"]}


def test_batch_survives_a_fault_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says so and the others are answered; the exit code is that of no answer."""
    from pytest_egress.cli import validate
    from pytest_egress.contract import check as real

    def check(text: str, *, file: str) -> Any:
        if file == "<a>":
            raise KeyError("spec")
        return real(text, file=file)

    monkeypatch.setattr(validate, "check", check)
    cases = [{"id": "a", "yaml": GOOD}, {"id": "b", "yaml": GOOD}]
    assert main(["validate", "--batch", lines(tmp_path, cases)]) == 3
    captured = capsys.readouterr()
    broken, good = map(json.loads, captured.out.splitlines())
    assert broken["error"] == [
        "this is a fault of pytest-egress, please report it: KeyError: 'spec'"
    ]
    assert good["verdict"] == "accepted"
    assert "Traceback" in captured.err
