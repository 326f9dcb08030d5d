"""Batches with lines that hold no JSON object."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_egress.cli import main

BROKEN = {
    "{": "1:2: not JSON: Expecting property name",
    "[1]": "1:1: expected a JSON object",
    "null": "1:1: expected a JSON object",
    "[" * 100_000: "1:1: not JSON: ",
    '{"id": ' + "1" * 5_000 + "}": "1:1: not JSON: ",
}


@pytest.mark.parametrize("command", ["probe", "validate"])
@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:8])
def test_lines_around_a_broken_one_are_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, text: str
) -> None:
    """Its own answer says what is wrong with it, and so do the end's message and exit code."""
    path = tmp_path / "cases.jsonl"
    path.write_text(f'{text}\n{{"id": "a", "yaml": "", "calls": []}}\n', encoding="utf-8")
    assert main([command, "--batch", str(path)]) == 2
    told = capsys.readouterr()
    broken, answered = map(json.loads, told.out.splitlines())
    (problem,) = broken["error"]
    assert (broken["id"], answered["id"]) == (None, "a")
    assert "error" not in answered
    assert problem.startswith(f"{path}:{BROKEN[text]}")
    assert told.err == f"{problem}\n"
