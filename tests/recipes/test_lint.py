"""Each recipe passes the linter or the schema of its own system."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.recipes.extract import github_action, jenkinsfile

RECIPES = ROOT / "recipes"
WORKFLOWS = sorted((RECIPES / "github").glob("*.yaml"))
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
GROOVY = "org.apache.groovy:groovy:5.0.8"
# Parses as Jenkins does before it looks at what a pipeline means.
PARSE = (
    "def unit = new org.codehaus.groovy.control.CompilationUnit(); "
    "unit.addSource(new File(args[0])); "
    "unit.compile(org.codehaus.groovy.control.Phases.CONVERSION)"
)

recipes = pytest.mark.recipes


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a linter; what it says is the failure."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def program(name: str) -> Path:
    """A program of this environment."""
    path = Path(sys.executable).with_name(name)
    assert path.exists(), f"{name} is not installed: run tox -e recipes"
    return path


@recipes
@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.github-actions", [ROOT / "action.yml"]),
        ("vendor.gitlab-ci", [RECIPES / "gitlab/.gitlab-ci.yml"]),
    ],
)
def test_schemas(schema: str, files: list[Path]) -> None:
    """The schemas that come with check-jsonschema: nothing is fetched."""
    assert files
    run(program("check-jsonschema"), "--builtin-schema", schema, *files)


@recipes
def test_pre_commit() -> None:
    """The configuration and the hook of this repository."""
    config = RECIPES / "pre-commit/.pre-commit-config.yaml"
    run(program("pre-commit"), "validate-config", config)
    run(program("pre-commit"), "validate-manifest", ROOT / ".pre-commit-hooks.yaml")


@recipes
def test_actions_are_safe() -> None:
    """No input reaches a shell as text, no credential stays behind, permissions are few."""
    config = Path(__file__).with_name("zizmor.yml")
    run(program("zizmor"), "--offline", "--config", config, ROOT / "action.yml", *WORKFLOWS)


@recipes
def test_container() -> None:
    """Hadolint has nothing to say."""
    run(program("hadolint"), RECIPES / "container/Dockerfile")


@recipes
@pytest.mark.skipif(
    not shutil.which("actionlint") and not shutil.which("go"),
    reason="actionlint is a Go program: neither it nor Go is here",
)
def test_workflows(tmp_path: Path) -> None:
    """Actionlint has nothing to say, with shellcheck on the steps."""
    workflows = tmp_path / ".github/workflows"
    workflows.mkdir(parents=True)
    for path in WORKFLOWS:
        shutil.copy(path, workflows)
    run("git", "init", "--quiet", cwd=tmp_path)
    own = shutil.which("actionlint")
    command = [own] if own else ["go", "run", ACTIONLINT]
    shellcheck = f"-shellcheck={program('shellcheck')}"
    run(*command, shellcheck, *(workflows / it.name for it in WORKFLOWS), cwd=tmp_path)


@recipes
def test_shell_of_the_action_and_of_jenkins(tmp_path: Path) -> None:
    """Shellcheck has nothing to say of the steps that no other linter reads."""
    inputs = {"contract": "egress", "requirements": "requirements.txt"}
    steps = [
        *github_action(ROOT / "action.yml", inputs, tmp_path),
        *jenkinsfile(RECIPES / "jenkins/Jenkinsfile"),
    ]
    scripts = [step.script for step in steps if step.script]
    assert len(scripts) == 7
    for number, script in enumerate(scripts):
        path = tmp_path / f"{number}.sh"
        path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        run(program("shellcheck"), path)


@recipes
@pytest.mark.skipif(
    not shutil.which("java") or not shutil.which("mvn"),
    reason="Groovy comes with Maven and needs Java: one of them is not here",
)
def test_jenkinsfile(tmp_path: Path) -> None:
    """Groovy reads it; what the pipeline's words mean only Jenkins itself knows."""
    copy = ["mvn", "--quiet", "--batch-mode", "dependency:copy", f"-Dartifact={GROOVY}"]
    run(*copy, f"-DoutputDirectory={tmp_path}")
    [jar] = tmp_path.glob("groovy-*.jar")
    parser = ["java", "-cp", str(jar), "groovy.ui.GroovyMain", "-e", PARSE]
    run(*parser, RECIPES / "jenkins/Jenkinsfile")
    broken = tmp_path / "Jenkinsfile"
    broken.write_text(RECIPES.joinpath("jenkins/Jenkinsfile").read_text("utf-8")[:-2])
    with pytest.raises(AssertionError, match="Jenkinsfile"):
        run(*parser, broken)


def test_every_recipe_is_documented() -> None:
    """The page shows each file as it is."""
    page = (ROOT / "docs/ci.md").read_text("utf-8")
    files = [
        path for path in RECIPES.rglob("*") if path.is_file() and "__pycache__" not in str(path)
    ]
    assert len(files) == 8
    for path in files:
        assert path.read_text("utf-8") in page, path
