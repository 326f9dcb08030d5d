"""Each recipe's steps, carried out in a repository: green as it is, red with a broken contract."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.docs.pages import ROOT
from tests.recipes.conftest import Shell
from tests.recipes.extract import (
    Step,
    dockerfile,
    github_action,
    github_workflow,
    gitlab_job,
    jenkinsfile,
)

pytestmark = pytest.mark.recipes
RECIPES = ROOT / "recipes"
OTHERS = {"actions/cache", "actions/checkout", "actions/setup-python", "actions/upload-artifact"}


def run_steps(shell: Shell, steps: Iterable[Step], temp: Path) -> tuple[list[str], bool]:
    """Carry steps out as GitHub's runner does; what each printed, and whether all went well."""
    temp.mkdir(exist_ok=True)
    files = {name: str(temp / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    told, good = [], True
    for step in steps:
        if not good and not step.always:
            continue
        if step.uses:
            assert step.uses in OTHERS
            if step.uses == "actions/upload-artifact":
                # Relative paths start in the repository, where the shell does.
                for path in step.given["path"].splitlines():
                    shell(f"test -e '{path}'")
                told.append("uploaded")
            continue
        done = shell(
            step.script,
            check=False,
            GITHUB_ACTIONS="true",
            RUNNER_TEMP=str(temp),
            **files,
            **step.environment,
        )
        good = good and done.returncode == 0
        told.append(f"{done.stdout}{done.stderr}")
    return told, good


def failures(path: Path) -> int:
    """How many tests of a JUnit report failed; it has those of the example."""
    [suite] = ET.parse(path).getroot()
    assert int(suite.attrib["tests"]) > 10
    assert suite.attrib["errors"] == "0"
    return int(suite.attrib["failures"])


def is_green(output: str) -> bool:
    """Whether pytest says that the example's tests passed, and nothing else of them."""
    return re.search(r"={3,} 1\d passed in [\d.]+s ={3,}", output) is not None


def break_contract(repository: Path) -> None:
    """The port that the application needs is declared no more."""
    path = repository / "egress/weather.yaml"
    text = path.read_text("utf-8")
    assert text.count("number: 443") == 1
    path.write_text(text.replace("number: 443", "number: 8443"), encoding="utf-8")


def refuse_contract(repository: Path, port: int = 443) -> None:
    """Istiod would refuse it."""
    path = repository / "egress/weather.yaml"
    text = path.read_text("utf-8")
    assert f"number: {port}" in text
    path.write_text(text.replace(f"number: {port}", "number: 0"), encoding="utf-8")


def test_github_workflow(shell: Shell, repository: Path, tmp_path: Path) -> None:
    """The workflow without the action: green, its report kept; a refusal is an annotation."""
    steps = list(github_workflow(RECIPES / "github/egress.yaml", tmp_path))
    told, good = run_steps(shell, steps, tmp_path / "temp")
    assert good, told
    assert (repository / "egress.html").exists()
    assert told[-1] == "uploaded"
    assert failures(repository / "egress.xml") == 0
    refuse_contract(repository)
    told, good = run_steps(shell, steps, tmp_path / "temp")
    assert not good
    assert "::error title=service-entry/port-number,file=egress/weather.yaml,line=" in "".join(told)


def test_github_action(shell: Shell, repository: Path, tmp_path: Path) -> None:
    """The composite action as a workflow uses it: green, then red with the report kept."""
    temp = tmp_path / "temp"
    [use] = (
        step
        for step in github_workflow(RECIPES / "github/egress-action.yaml", temp)
        if step.uses.endswith("/pytest-egress")
    )
    (repository / "requirements.txt").write_text("requests\n", encoding="utf-8")
    given = {**use.given, "requirements": "requirements.txt"}
    steps = list(github_action(ROOT / "action.yml", given, temp))
    told, good = run_steps(shell, steps, temp)
    assert good, told
    assert told[-1] == "uploaded"
    report = temp / "egress-reports/egress.xml"
    assert (temp / "github_output").read_text("utf-8") == f"junit={report}\n"
    assert failures(report) == 0
    report.unlink()
    break_contract(repository)
    told, good = run_steps(shell, steps, temp)
    assert not good
    assert "::error " in "".join(told)
    assert "egress" in (temp / "github_step_summary").read_text("utf-8")
    assert told[-1] == "uploaded"
    assert failures(report) > 0


def test_github_action_without_anything(shell: Shell, repository: Path, tmp_path: Path) -> None:
    """Its defaults are enough where pytest finds the contract by itself."""
    steps = github_action(ROOT / "action.yml", {"python-version": "", "artifact": ""}, tmp_path)
    told, good = run_steps(shell, steps, tmp_path)
    assert good, told
    assert is_green(told[-1]), told[-1]


def test_gitlab(shell: Shell, repository: Path) -> None:
    """Every report is there; a test that fails is in them, and a refused contract ends the job."""
    step, job = gitlab_job(RECIPES / "gitlab/.gitlab-ci.yml", repository)
    shell(step.script, **step.environment)
    artifacts = job["artifacts"]
    reports = {name: repository / path for name, path in artifacts["reports"].items()}
    assert failures(reports["junit"]) == 0
    assert json.loads(reports["codequality"].read_text("utf-8")) == []
    assert json.loads(reports["annotations"].read_text("utf-8"))
    [page] = artifacts["paths"]
    assert (repository / page).read_text("utf-8").startswith("<!DOCTYPE html>")
    break_contract(repository)
    assert shell(step.script, check=False, **step.environment).returncode == 1
    assert failures(reports["junit"]) > 0
    assert json.loads(reports["codequality"].read_text("utf-8"))
    refuse_contract(repository, 8443)
    done = shell(step.script, check=False, **step.environment)
    assert done.returncode == 1
    assert "egress/weather.yaml:" in done.stdout


def test_jenkins(shell: Shell, repository: Path) -> None:
    """Each step, in order; a broken contract fails the last one."""
    steps = list(jenkinsfile(RECIPES / "jenkins/Jenkinsfile"))
    assert len(steps) == 3
    for step in steps:
        shell(step.script)
    assert failures(repository / "egress.xml") == 0
    break_contract(repository)
    assert shell(steps[-1].script, check=False).returncode == 1


@pytest.mark.parametrize(
    ("recipe", "tool", "command"),
    [
        ("tox/tox.ini", "tox", "tox run"),
        ("nox/noxfile.py", "nox", "nox --session egress"),
    ],
)
def test_tools(shell: Shell, repository: Path, recipe: str, tool: str, command: str) -> None:
    """The tools' own runs; a broken contract makes them fail."""
    shutil.copy(RECIPES / recipe, repository)
    shell(f"pip install --quiet {tool}")
    done = shell(command)
    assert is_green(done.stdout + done.stderr), done.stdout + done.stderr
    break_contract(repository)
    assert shell(command, check=False).returncode == 1


@pytest.mark.parametrize("own", ["", "egress-validate", "egress-lint"])
def test_pre_commit(shell: Shell, repository: Path, tmp_path: Path, own: str) -> None:
    """Both ways to the hook: what istiod would refuse cannot be committed."""
    shutil.copy(RECIPES / "pre-commit/.pre-commit-config.yaml", repository)
    program = f"{sys.executable} -m pre_commit"
    command = f"{program} run --all-files"
    if own:
        command = f"{program} try-repo {ROOT} {own} --files egress/weather.yaml"
    shell("git add --all")
    home = {"PRE_COMMIT_HOME": str(tmp_path / "hooks"), "GIT_CONFIG_COUNT": "1"}
    home |= {"GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    assert re.search(r"Istio egress contracts\.+Passed", shell(command, **home).stdout)
    refuse_contract(repository)
    done = shell(command, check=False, **home)
    assert done.returncode == 1
    assert "egress/weather.yaml:" in done.stdout


def test_container(shell: Shell, repository: Path) -> None:
    """What the image is made of, and its entry point; the tree that is tested stays as it was."""
    commands, environment, entry = dockerfile(RECIPES / "container/Dockerfile")
    version = re.search(
        r'^version = "(.+)"', ROOT.joinpath("pyproject.toml").read_text(), re.MULTILINE
    )
    assert version
    assert environment["VERSION"] == version[1]
    for command in commands:
        shell(command, VERSION=environment["VERSION"])
    before = sorted(repository.rglob("*"))
    done = shell(" ".join(entry), **environment)
    assert is_green(done.stdout), done.stdout
    assert sorted(repository.rglob("*")) == before
    assert Path(entry[0]).name == "pytest"
