"""``pytest-egress init``: the test that it writes passes, and nothing else is touched."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_egress.cli import main
from pytest_egress.contract import loads
from pytest_egress.first_test.expect import Candidate, Expectations
from pytest_egress.first_test.expect import _beside as beside
from pytest_egress.first_test.find import find_files, name_files
from pytest_egress.first_test.write import test_file as text_of
from tests.docs.pages import ROOT
from tests.observed import documents, entry, sidecar

OUTSIDE = {"location": "MESH_EXTERNAL"}
WEATHER = entry("weather", "api.weather.com", {443: "HTTPS"}, **OUTSIDE)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory without settings from outside."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_EGRESS_CONTRACT", "PYTEST_EGRESS_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    """A file, its directories with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_example(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example without its tests: the contract is found, and what is written passes again."""
    example = here / "weather"
    shutil.copytree(ROOT / "examples/weather/egress", example / "egress")
    (example / "tests").mkdir()
    assert main(["init", "-o", "weather/tests/test_egress.py"]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0] == "weather/tests/test_egress.py: 4 assertions, all of them hold"
    assert 'egress_contract = ["weather/egress"]' in told
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "weather"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
    text = (example / "tests/test_egress.py").read_text(encoding="utf-8")
    assert 'pytestmark = pytest.mark.egress_contract("../egress")' in text
    for url in ("https://api.weather.com", "tcp://stations.weather.example:7070"):
        assert f'        "{url}",\n' in text


def test_kinds_of_entries(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What holds is asserted from where it is visible, what does not is told with its reason."""
    text = documents(
        entry("own", "own.example", {80: "HTTP", 53: "UDP"}, namespace="shop", exportTo=["."]),
        entry("wild", "*.wild.example", {443: "TLS"}, "NONE", **OUTSIDE),
        entry("lost", "lost.example", {8080: "HTTP"}, "STATIC", addresses=["192.0.2.1"], **OUTSIDE),
    )
    write(here / "mesh.yaml", text)
    assert main(["init", "mesh.yaml"]) == 0
    told = capsys.readouterr().out
    assert "not asserted: http://lost.example:8080 from default: UNREACHABLE: " in told
    assert "not asserted: own.example:53/UDP: sidecars leave UDP alone\n" in told
    test = (here / "test_egress.py").read_text(encoding="utf-8")
    assert 'pytest.mark.egress_contract("mesh.yaml")' in test
    assert '@pytest.mark.egress_workload("shop")' in test
    assert "def test_declared_hosts_are_reachable_from_shop(egress, url):" in test
    assert "def test_anything_else_is_blocked_from_default(egress, url):" in test
    for url in ("http://own.example", "tls://any.wild.example"):
        assert f'        "{url}",\n' in test
    assert "# - http://lost.example:8080 from default: UNREACHABLE: " in test
    compile(test, "test_egress.py", "exec")


def test_nothing_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a file nor a link that leads nowhere: 2, before anything is read."""
    write(here / "test_egress.py", "mine")
    assert main(["init", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err == (
        "test_egress.py exists: name another file with -o, nothing is overwritten\n"
    )
    (here / "test_link.py").symlink_to("nowhere")
    assert main(["init", "-o", "test_link.py"]) == 2
    assert (here / "test_egress.py").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init"], "no file below this directory holds a ServiceEntry: name the Istio YAML"),
        (["init", "nowhere.yaml"], "nowhere.yaml:1:1: error: there is no such file"),
        (["init", "sidecar.yaml"], "no ServiceEntry is in what was given"),
        (["init", "-o", "egress.txt"], "egress.txt: expected the name of a Python file"),
        (["init", "broken.yaml"], "broken.yaml:3:18: error: "),
    ],
)
def test_what_cannot_be_used_is_2(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """One message, and no file."""
    kind = "apiVersion: networking.istio.io/v1\nkind: Sidecar\n"
    write(
        here / "sidecar.yaml", f"{kind}metadata: {{name: a}}\nspec: {{egress: [{{hosts: [./*]}}]}}"
    )
    write(here / "broken.yaml", f"{kind}metadata: {{name: A_b}}\nspec: {{}}\n")
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(here.glob("test_*"))


def test_nothing_holds(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An open mesh with an entry that leads nowhere: there is nothing to write."""
    text = documents(
        entry("lost", "lost.example", {8000: "HTTP"}, "STATIC", addresses=["192.0.2.1"], **OUTSIDE),
        sidecar(egress=[{"hosts": ["./*"]}], outboundTrafficPolicy={"mode": "ALLOW_ANY"}),
    )
    write(here / "open.yaml", text)
    assert main(["init", "open.yaml"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in told[:3]] == [
        "http://lost.example:8000",
        "http://lost.example:8080",
        "https://not-declared.example",
    ]
    assert told[3].startswith("nothing that the contract promises holds")
    assert not list(here.glob("test_*"))


def test_surroundings_that_break_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A test that does not pass where it was written is taken away, its directories too."""
    write(here / "egress.yaml", WEATHER)
    write(here / "conftest.py", "raise RuntimeError('no database')\n")
    assert main(["init", "-o", "tests/egress/test_it.py"]) == 3
    told = capsys.readouterr().err
    assert "tests/egress/test_it.py was taken away again" in told
    assert "no database" in told
    assert not (here / "tests").exists()


def test_no_envoy_is_3(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing can be probed, so nothing is written."""
    write(here / "egress.yaml", WEATHER)
    assert main(["init", "--envoy", "/nowhere/envoy"]) == 3
    assert "'/nowhere/envoy' is not a program" in capsys.readouterr().err
    assert not (here / "test_egress.py").exists()


def test_files_that_make_a_contract(here: Path) -> None:
    """Those beside a ServiceEntry; no hidden, installed, built or foreign ones, no templates."""
    rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
    for name in ("a/entry.yaml", "b/deep/entry.yml", ".git/x.yaml", "venv/x.yaml", "env/x.yaml"):
        write(here / name, WEATHER)
    write(here / "env/pyvenv.cfg", "")
    write(here / "a/rule.yaml", rule)
    write(here / "a/deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\n")
    write(here / "elsewhere/rule.yaml", rule)
    write(here / "chart/templates/entry.yaml", WEATHER.replace("api.weather.com", "{{ .host }}"))
    found, templates = find_files(Path())
    assert found == ["a/entry.yaml", "a/rule.yaml", "b/deep/entry.yml"]
    assert templates == ["chart/templates/entry.yaml"]


def test_names_of_files(here: Path) -> None:
    """A directory where it stands for exactly these files, relative to the test."""
    for name in ("a/1.yaml", "a/2.yaml", "b/1.yaml", "b/2.yaml", "top.yaml"):
        write(here / name, WEATHER)
    files = ["a/1.yaml", "a/2.yaml", "b/1.yaml", "top.yaml"]
    assert name_files(files, Path()) == ["a", "b/1.yaml", "top.yaml"]
    assert name_files(files, Path("tests")) == ["../a", "../b/1.yaml", "../top.yaml"]


def test_long_lists_of_sources() -> None:
    """One a line where one line would be too long."""
    sources = [f"deploy/istio/egress/number-{number}.yaml" for number in range(9)]
    held = Expectations((Candidate("default", "http://a.example", "REACHABLE"),), (), ())
    text = text_of(sources, held)
    assert f'mark.egress_contract(\n    "{sources[0]}",\n' in text
    assert max(map(len, text.splitlines())) <= 100
    compile(text, "test_egress.py", "exec")


def test_wildcards() -> None:
    """A name that no other entry declares stands for it, and the neighbour lies outside of it."""
    hosts = ["*.example", "any.example", "any1.example"]
    contract = loads(entry("all", hosts, {80: "HTTP"}, "NONE", **OUTSIDE))
    assert [it.url for it in beside(contract)] == [
        "http://any2.example:8080",
        "https://not-declared.invalid",
    ]
