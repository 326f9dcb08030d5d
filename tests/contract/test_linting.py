"""Findings under several names, comments that silence them, and the catalogue of rules."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pytest_egress.contract.linting import Linted, lint
from pytest_egress.contract.rules import RULES

ROOT = Path(__file__).parents[2]
OPEN = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: mail
spec:
  hosts: [mail.example.com]
  location: MESH_EXTERNAL
  resolution: NONE
  ports:
  - number: 25
    name: smtp
    protocol: TCP
  - number: 443
    name: http
    protocol: HTTP
"""
SMTP = ("lint/open-port", "service-entry/tcp-addresses", "IST0134")
HTTP = ("lint/http-on-443",)


def linted(tmp_path: Path, text: str) -> Linted:
    """What lint says of one file."""
    path = tmp_path / "f.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    return lint([str(path)])


def rules(tmp_path: Path, text: str) -> list[tuple[str, ...]]:
    """The names of what is told."""
    return [finding.rules for finding in linted(tmp_path, text).findings]


def commented(line: str, comment: str, text: str = OPEN) -> str:
    """The text with a comment on a line of its own above ``line``, as deep as that."""
    assert text.count(line) == 1
    indent = " " * (len(line) - len(line.lstrip()))
    return text.replace(line, f"{indent}# egress-lint: {comment}\n{line}")


def test_one_finding_under_two_names(tmp_path: Path) -> None:
    """What Istio's analyzer says too is said once, at our place and in our words."""
    assert rules(tmp_path, OPEN) == [SMTP, HTTP]


@pytest.mark.parametrize("rule", ["lint/open-port", "IST0134"])
def test_either_name_silences(tmp_path: Path, rule: str) -> None:
    """A comment behind the value, with its reason."""
    text = OPEN.replace("number: 25", f"number: 25  # egress-lint: disable={rule} the relay only")
    told = linted(tmp_path, text)
    assert [it.rules for it in told.findings] == [HTTP]
    [silenced] = told.silenced
    assert (silenced.finding.rules, silenced.reason) == (SMTP, "the relay only")


@pytest.mark.parametrize(
    "line", ["apiVersion: networking.istio.io/v1\n", "spec:\n", "  ports:\n", "  - number: 25\n"]
)
def test_what_a_comment_covers(tmp_path: Path, line: str) -> None:
    """All that is in the key, list item or document that begins below it."""
    both = commented(line, "disable=lint/open-port,lint/http-on-443 old relay")
    one = line == "  - number: 25\n"
    assert rules(tmp_path, both) == ([HTTP, ("lint/unused-silence",)][::-1] if one else [])


def test_a_comment_covers_its_own_document(tmp_path: Path) -> None:
    """The next document is another one, with or without a marker at the top."""
    quiet = "# egress-lint: disable=lint/open-port,lint/http-on-443 old relay\n" + OPEN
    other = OPEN.replace("name: mail\n", "name: other\n").replace("mail.example", "other.example")
    for text in (quiet, "---\n" + quiet, quiet.replace("\n", "\n---\n", 1)):
        assert rules(tmp_path, text) == []
        assert rules(tmp_path, text + "---\n" + other)[:2] == [SMTP, HTTP]


def test_a_comment_does_not_reach_the_neighbour(tmp_path: Path) -> None:
    """The next item of a list is not silenced, nor what stands above."""
    text = commented("  - number: 443\n", "disable=lint/open-port,lint/http-on-443 no")
    assert rules(tmp_path, text) == [SMTP, ("lint/unused-silence",)]


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        ("disable=lint/open-port", "without a reason"),
        ("disable=lint/open-port   ", "without a reason"),
        ("disable lint/open-port because", "silences nothing"),
        ("enable=lint/open-port because", "silences nothing"),
        ("", "silences nothing"),
    ],
)
def test_a_comment_without_a_reason_is_an_error(tmp_path: Path, comment: str, words: str) -> None:
    """It silences nothing, and says what it lacks."""
    told = linted(tmp_path, commented("  - number: 25\n", comment))
    [flaw] = [it for it in told.findings if it.rule == "lint/silence"]
    assert flaw.level == "error"
    assert words in flaw.message
    assert flaw.position.line == 10
    assert SMTP in [it.rules for it in told.findings]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("lint/opne-port", 'did you mean "lint/open-port"?'),
        ("IST0199", "there is no rule"),
        ("lint/wildcard-dns", "not found here"),
    ],
)
def test_a_comment_that_silences_nothing_is_told(tmp_path: Path, rule: str, words: str) -> None:
    """It is out of date, or misspelt."""
    told = linted(tmp_path, commented("  - number: 25\n", f"disable={rule} since March"))
    [unused] = [it for it in told.findings if it.rule == "lint/unused-silence"]
    assert words in unused.message
    assert len(told.findings) == 3


def test_what_istio_refuses_is_not_silenced(tmp_path: Path) -> None:
    """An error stays one."""
    text = OPEN.replace("number: 25", "number: 70000")
    told = linted(tmp_path, commented("spec:\n", "disable=service-entry/port-number no", text))
    found = {it.rule: it for it in told.findings}
    assert found["service-entry/port-number"].rules == ("service-entry/port-number", "IST0106")
    assert "cannot be silenced" in found["lint/unused-silence"].message


def test_a_text_is_no_comment(tmp_path: Path) -> None:
    """A value that looks like a comment is a value."""
    name = '"a # egress-lint: disable=lint/open-port"'
    text = OPEN.replace("  name: mail\n", f"  name: mail\n  annotations: {{note: {name}}}\n")
    assert rules(tmp_path, text) == [SMTP, HTTP]
    block = "  annotations:\n    note: |\n      # egress-lint: disable=lint/open-port\n"
    text = OPEN.replace("  name: mail\n", f"  name: mail\n{block}")
    assert rules(tmp_path, text) == [SMTP, HTTP]


@pytest.mark.parametrize("value", ["IST0134", "IST0101, IST0134", "'*'"])
def test_istios_own_annotation(tmp_path: Path, value: str) -> None:
    """What silences ``istioctl analyze`` for an object silences the same code here."""
    note = f"  annotations: {{galley.istio.io/analyze-suppress: {value}}}\n"
    text = OPEN.replace("resolution: NONE", "resolution: DNS")
    text = text.replace("  name: mail\n", f"  name: mail\n{note}")
    told = linted(tmp_path, text.replace(value, f'"{value}"') if "," in value else text)
    assert [it.rules for it in told.findings] == [HTTP]
    assert [it.finding.rule for it in told.silenced] == ["IST0134"]


def test_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    """Its comments are read all the same; the fault is told."""
    told = linted(tmp_path, OPEN + "  : [\n# egress-lint: disable=\n")
    assert {it.rule for it in told.findings} >= {"yaml/syntax", "lint/silence"}


def test_line_breaks(tmp_path: Path) -> None:
    """Lines are counted as everywhere else, whatever ends them."""
    text = commented("  - number: 25\n", "disable=lint/open-port old relay")
    for broken in (text.replace("\n", "\r\n"), text.replace("mail\n", "mail # \u2028\n")):
        assert rules(tmp_path, broken) == [HTTP]


def test_the_catalogue_is_complete() -> None:
    """Every rule that the code has is in it, and every one in it is in the code."""
    found = set()
    for path in ROOT.joinpath("pytest_egress").rglob("*.py"):
        if path.name == "rules.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    lint_rules = {it for it in found if it.startswith("lint/") and it != "lint/"}
    assert lint_rules | {"lint/silence", "lint/unused-silence"} == {
        it for it in RULES if it.startswith("lint/")
    }
    assert {it for it in RULES if it.startswith("IST")} <= found
