"""The troubleshooting page knows every message that an error of ours can have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from pytest_egress import errors
from pytest_egress.errors import ContractError, EgressError
from tests.docs.pages import DOCS, ROOT

PACKAGE = ROOT / "pytest_egress"
FILLED = "\0"  # stands for what is filled into a message
# What a contract is refused for is a problem with a rule, a place and a mend of its own.
OURS = {it.__name__ for it in EgressError.__subclasses__()} - {ContractError.__name__}
RAISED = {*OURS, "AgentLostError", "ProxySilentError", "pytest.UsageError"}
LEAST = 6  # letters that a message has to be known by


def literal(node: ast.expr) -> str:
    """The text of a message as it is written; empty where it comes from elsewhere."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(it.value) if isinstance(it, ast.Constant) else FILLED for it in node.values
        )
    return ""


def messages() -> Iterator[tuple[str, str]]:
    """Each message that is raised, with its place."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
                continue
            name = ast.unparse(node.exc.func)
            if name not in RAISED:
                continue
            arguments = node.exc.args[2:] if name == "CapabilityError" else node.exc.args
            text = literal(arguments[0]) if arguments else ""
            if text.replace(FILLED, "").strip(" :="):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def known() -> list[list[str]]:
    """The parts of each message that the page has a row for, between what is filled in."""
    cells = (
        re.split(r"(?<!\\) \| ", line[2:])[0]
        for line in DOCS["troubleshooting"].text.splitlines()
        if line.startswith("| ") and " | " in line
    )
    told = (message for cell in cells for message in re.findall(r"`([^`]+)`", cell))
    return [[it for it in map(_words, message.split("...")) if it] for message in told]


def _words(part: str) -> str:
    return part.strip(" \"'`")


def fits(parts: list[str], text: str) -> bool:
    """Whether a message has these parts, in this order."""
    if max(map(len, parts), default=0) < LEAST:
        return False
    pattern = ".*".join(map(re.escape, parts))
    return re.search(pattern, text, re.DOTALL) is not None


def test_every_message_can_be_found() -> None:
    """Whoever searches the page for what a run has printed finds it, or the class of it."""
    rows = known()
    sites = list(messages())
    assert len(sites) > 100
    lost = [f"{at}: {text!r}" for at, text in sites if not any(fits(it, text) for it in rows)]
    assert not lost, "\n".join(lost)


def test_a_message_without_a_row_is_noticed() -> None:
    """The comparison is not one that anything passes."""
    assert fits(["cannot", "ended with exit status"], "cannot \0: \0 ended with exit status \0")
    assert not fits(["ended with exit status", "cannot"], "cannot \0: \0 ended with exit status")
    assert not fits([":"], "anything: at all")


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"EgressError"}))
def test_every_class_of_error_is_named(name: str) -> None:
    """By the name that a traceback has."""
    assert f"`{name}`" in DOCS["troubleshooting"].text
