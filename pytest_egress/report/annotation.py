"""Annotations of GitHub Actions: workflow commands that a job prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pytest_egress.contract.collect import STDIN
from pytest_egress.contract.position import Position
from pytest_egress.report.paths import in_repository

if TYPE_CHECKING:
    from pytest_egress.report.sarif import Result

__all__ = ["annotation", "commands"]

_MOST = 10  # of a kind: GitHub shows no more of one step
_KINDS = {"error": "error", "warning": "warning", "note": "notice"}


def annotation(level: str, title: str, message: str, position: Position | None) -> str:
    """A workflow command; without a place for what came on standard input."""
    place = {"title": title}
    if position is not None and position.file != STDIN:
        place["file"] = in_repository(position.file)
        place["line"], place["col"] = str(position.line), str(position.column)
    properties = ",".join(f"{key}={_property(value)}" for key, value in place.items())
    return f"::{level} {properties}::{_data(message)}"


def commands(results: Iterable[Result]) -> Iterator[str]:
    """A workflow command for each result, as many of each level as GitHub shows."""
    left = dict.fromkeys(_KINDS, _MOST)
    for result in results:
        left[result.level] -= 1
        if left[result.level] >= 0:
            kind = _KINDS[result.level]
            yield annotation(kind, result.rule, result.message, result.position)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
