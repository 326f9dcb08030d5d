"""The text of one file, and where in it a character stands."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any

from pytest_egress.contract.position import Position

__all__ = ["Source"]

_LINE_BREAK = re.compile(r"\r\n?|\n")


class Source:
    """A text with its name; line starts are looked up when a position is first asked for.

    ``composed`` is the reader's: the document it composed again last.
    """

    __slots__ = ("_starts", "composed", "file", "text")

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.composed: tuple[int, Any, int] | None = None
        self._starts: list[int] | None = None

    def position(self, index: int) -> Position:
        """The position of character ``index``; of the last one when it lies behind the end."""
        starts = self._line_starts()
        index = min(max(index, 0), max(len(self.text) - 1, 0))
        row = bisect_right(starts, index) - 1
        return Position(self.file, row + 1, index - starts[row] + 1)

    def index(self, position: Position) -> int:
        """The character at a position of this text."""
        return self._line_starts()[position.line - 1] + position.column - 1

    def line(self, number: int) -> str:
        """Line ``number`` (from 1), without its line break."""
        starts = self._line_starts()
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")

    def _line_starts(self) -> list[int]:
        if self._starts is None:
            self._starts = [0, *(found.end() for found in _LINE_BREAK.finditer(self.text))]
            if len(self._starts) > 1 and self._starts[-1] == len(self.text):
                self._starts.pop()  # no line begins behind the last line break
        return self._starts
