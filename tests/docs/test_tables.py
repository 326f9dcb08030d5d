"""The tables say what the code says."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys

import pytest

from pytest_egress import Options, Verdict, plugin, settings
from pytest_egress.cli import main
from pytest_egress.contract.rules import RULES
from pytest_egress.doctor.enforcement import enforcement_checks
from pytest_egress.doctor.programs import program_checks
from pytest_egress.settings import SETTINGS
from tests.docs.pages import DOCS, PAGES, ROOT, Page

# The commands that have a page of their own.
_PAGES = {"diff": "drift", "explain": "explain", "lint": "lint"}


def _code(text: str) -> str:
    """The only inline code of a cell, empty without one."""
    return text.strip("`")


def test_generated_pages_are_up_to_date() -> None:
    """What is written from the code is what the code says: docs/site/reference.py writes it."""
    done = subprocess.run(
        [sys.executable, ROOT / "docs/site/reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


def test_precedence() -> None:
    """The order of precedence is the one that the settings state."""
    order = ("command line", "environment", "nearest marker", "ini", "default")
    stated = (settings.__doc__ or "").partition("Precedence:")[2].lower()
    documented = DOCS["settings"].prose.partition("**Precedence**:")[2].replace("\n", " ")
    for text in (stated, documented):
        places = [text.index(word) for word in order]
        assert places == sorted(places)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_mentioned_exist(page: Page) -> None:
    """No page names an option or a variable that there is not."""
    text = page.text
    options = set(re.findall(r"--egress-[a-z-]*[a-z]", text))
    assert options <= {setting.option for setting in SETTINGS}
    variables = set(re.findall(r"PYTEST_EGRESS_[A-Z_]+", text))
    assert variables <= {setting.variable for setting in SETTINGS}
    keys = set(re.findall(r"^(egress_\w+) = ", text, re.MULTILINE))
    assert keys <= {setting.ini for setting in SETTINGS}


def test_markers(pytestconfig: pytest.Config) -> None:
    """Every marker has its row, with its arguments as registered."""
    registered = [
        line.partition(": ")[0]
        for line in pytestconfig.getini("markers")
        if line.startswith("egress_")
    ]
    rows = DOCS["writing-tests"].rows("marker", "says")
    assert [_code(row["marker"]) for row in rows] == registered


def test_fixtures(pytester: pytest.Pytester) -> None:
    """Every fixture has its row, with its scope."""
    result = pytester.runpytest("--fixtures")
    rows = DOCS["writing-tests"].rows("fixture", "scope", "is")
    assert {_code(row["fixture"]) for row in rows} == set(plugin.__all__)
    for row in rows:
        scope = "" if row["scope"] == "function" else f" [{row['scope']} scope]"
        result.stdout.fnmatch_lines([f"{_code(row['fixture'])}{scope.replace('[', '[[]')} -- *"])


def test_probe_options() -> None:
    """Every option of a probe has its row."""
    rows = DOCS["writing-tests"].rows("option", "default", "is")
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row["option"])]
    assert sorted(named) == sorted(field.name for field in dataclasses.fields(Options))


def test_verdicts() -> None:
    """Every verdict has its row."""
    rows = DOCS["verdicts"].rows("verdict", "means", "proof")
    assert [_code(row["verdict"]) for row in rows] == [verdict.value for verdict in Verdict]


@pytest.mark.parametrize(
    ("command", "columns"),
    [
        ("doctor", ("option of doctor", "means")),
        ("init", ("option of init", "means")),
        ("probe", ("option", "means")),
        ("validate", ("option", "does")),
        ("lint", ("option", "does")),
        ("explain", ("option", "means")),
        ("diff", ("option", "means")),
        ("clean", ("option", "is for")),
        ("table", ("option of table", "means")),
        ("rbac", ("option", "is about")),
    ],
)
def test_command_options(
    capsys: pytest.CaptureFixture[str], command: str, columns: tuple[str, str]
) -> None:
    """Every option of a command has its row."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    rows = DOCS[_PAGES.get(command, "command")].rows(*columns)
    named = {name for row in rows for name in re.findall(r"--[a-z-]+", row[columns[0]])}
    assert named == known


def test_checks_of_doctor() -> None:
    """Every check has its row, in the order in which they are tried."""
    checks = (*enforcement_checks(), *program_checks())
    rows = DOCS["command"].rows("check", "tries")
    assert [_code(row["check"]) for row in rows] == [check.name for check in checks]


def test_lint_rules() -> None:
    """Every lint rule has its row."""
    rows = DOCS["lint"].rows("rule", "level", "warns of")
    assert [(_code(row["rule"]), row["level"], row["warns of"]) for row in rows] == [
        (rule.id, rule.level, rule.warns_of) for rule in RULES.values()
    ]


def test_conformance_counts() -> None:
    """The counts of recorded cases are those of the files."""
    shown = {
        _code(row["file"]): [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", row["cases"])]
        for row in DOCS["fidelity"].rows("file", "cases", "compared", "differences")
    }
    assert len(shown) == 4
    for path, numbers in shown.items():
        cases = [json.loads(line) for line in ROOT.joinpath(path).read_text("utf-8").splitlines()]
        calls = sum(len(case.get("calls", ())) for case in cases)
        assert numbers == [len(cases), *filter(None, [calls])], path


def _literals() -> list[str]:
    """The texts in the package's source; what is filled in is left out."""
    found: list[str] = []
    for path in ROOT.joinpath("pytest_egress").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts = [str(v.value) for v in node.values if isinstance(v, ast.Constant)]
                found.append("\0".join(texts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


@pytest.mark.parametrize(
    "section",
    [
        "Envoy",
        "The contract",
        "Options and arguments",
        "Verdicts and outcomes",
        "The command and the machine",
        "Captures and commands",
        "Clusters",
        "kind",
    ],
)
def test_messages_exist(section: str) -> None:
    """Each message that troubleshooting explains is one that the program has."""
    known = _literals()
    text = DOCS["troubleshooting"].section(section)
    messages = [
        message
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| message", "| what"))
        for message in re.findall(r"`([^`]+)`", line.split(" | ")[0])
    ]
    assert messages
    for message in messages:
        for part in message.split("..."):
            words = part.strip(" \"':?")
            if words and not words.startswith(("--", "assert")):
                assert any(words in text for text in known), f"{message}: {words!r}"


def test_changes_name_the_version() -> None:
    """The newest version of the list of changes is the package's."""
    project = ROOT.joinpath("pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    newest = re.search(r"^## (\S+)", ROOT.joinpath("CHANGELOG.md").read_text(), re.MULTILINE)
    assert version
    assert newest
    assert newest[1] == version[1]


def test_mutation_operators() -> None:
    """Every kind of change that mutants are made of has its row."""
    from pytest_egress.mutation.operators import OPERATORS

    rows = DOCS["mutation"].rows("operator", "makes")
    assert [_code(row["operator"]) for row in rows] == list(OPERATORS)


def test_checks_of_contract_files() -> None:
    """Every automatic check has its row."""
    from pytest_egress.collection import checks

    kinds = set(re.findall(r"``([\w-]+)``", checks.__doc__ or ""))
    rows = DOCS["contract-files"].rows("check", "of", "must hold")
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row["check"])} == kinds


def test_fields_of_expectation_files() -> None:
    """Every field of an expectation file has its row."""
    from pytest_egress.collection.expectation_file import FIELDS

    rows = DOCS["contract-files"].rows("field", "says")
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row["field"])}
    assert named == set(FIELDS)
