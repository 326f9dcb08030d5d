"""The shell steps of recipes, as their systems would run them."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Step", "dockerfile", "github_action", "github_workflow", "gitlab_job", "jenkinsfile"]

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_SH = re.compile(r"""\bsh\s+(?:'''(.*?)'''|'([^'\n]*)')""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        script: what bash runs; empty for a step that is somebody else's action.
        environment: what is added to the environment.
        uses: the action, without its version.
        given: what the action is given.
        always: whether it runs after a step that failed.
    """

    script: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    uses: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    always: bool = False


def github_workflow(path: Path, temp: Path) -> Iterator[Step]:
    """The steps of a workflow's only job."""
    [job] = yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
    yield from _github_steps(job["steps"], {"runner.temp": str(temp)})


def github_action(path: Path, inputs: Mapping[str, str], temp: Path) -> Iterator[Step]:
    """The steps of a composite action.

    Raises:
        ValueError: an input is not one of the action's.
    """
    action = yaml.safe_load(path.read_text("utf-8"))
    unknown = inputs.keys() - action["inputs"].keys()
    if unknown:
        raise ValueError(f"{path}: no such input: {', '.join(sorted(unknown))}")
    values = {f"inputs.{name}": str(it["default"]) for name, it in action["inputs"].items()}
    values |= {f"inputs.{name}": value for name, value in inputs.items()}
    yield from _github_steps(action["runs"]["steps"], {**values, "runner.temp": str(temp)})


def _github_steps(steps: list[dict[str, Any]], values: Mapping[str, str]) -> Iterator[Step]:
    known = {"runner.os": "Linux", "runner.arch": "X64", **values}
    for step in steps:
        condition = step.get("if", "")
        always = condition.startswith("always()")
        condition = condition.removeprefix("always()").removeprefix(" && ")
        if condition and not _holds(condition, known):
            continue
        yield Step(
            _filled(step.get("run", ""), known),
            {name: _filled(str(text), known) for name, text in step.get("env", {}).items()},
            step.get("uses", "").partition("@")[0],
            {name: _filled(str(text), known) for name, text in step.get("with", {}).items()},
            always,
        )


def _holds(condition: str, values: Mapping[str, str]) -> bool:
    """``inputs.name != ''``, the one condition that the recipes need."""
    name, operator, text = condition.split()
    if (operator, text) != ("!=", "''"):
        raise ValueError(f"condition {condition!r}: expected {name} != ''")
    return bool(values[name])


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(expression: re.Match[str]) -> str:
        name = expression[1]
        return "0" * 64 if name.startswith("hashFiles(") else values[name]

    return _EXPRESSION.sub(value, text)


def gitlab_job(path: Path, project: Path) -> tuple[Step, Mapping[str, Any]]:
    """The script of the only job, and the job."""
    [job] = yaml.safe_load(path.read_text("utf-8")).values()
    environment = {"CI_PROJECT_DIR": str(project), "CI": "true", "GITLAB_CI": "true"}
    for name, text in job["variables"].items():
        environment[name] = text.replace("$CI_PROJECT_DIR", str(project))
    return Step("\n".join((*job["before_script"], *job["script"])), environment), job


def jenkinsfile(path: Path) -> Iterator[Step]:
    """Each ``sh`` of a pipeline, in order."""
    for long, short in _SH.findall(path.read_text("utf-8")):
        yield Step(textwrap.dedent(long) or short)


def dockerfile(path: Path) -> tuple[list[str], Mapping[str, str], list[str]]:
    """What is run while the image is built, its environment, and its entry point."""
    commands: list[str] = []
    environment: dict[str, str] = {}
    entry: list[str] = []
    for line in path.read_text("utf-8").splitlines():
        word, _, rest = line.partition(" ")
        if word in {"ARG", "ENV"}:
            environment |= dict(part.split("=", 1) for part in shlex.split(rest))
        elif word == "RUN":
            commands.append(rest)
        elif word == "ENTRYPOINT":
            entry = yaml.safe_load(rest)
    return commands, environment, entry
