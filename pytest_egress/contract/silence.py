"""Comments that silence lint rules, each with a reason, and what they cover.

``# egress-lint: disable=RULE[,RULE...] reason``. Behind a value it covers its line. On lines of
its own it covers what begins on the next line: a key or list item with all that is in it, and
above the first line of a document the whole document.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_egress.contract.position import Position
from pytest_egress.contract.source import Source

__all__ = ["Flaw", "Silence", "silences"]

_COMMENT = re.compile(r"(?:^|(?<=\s))#[ \t]*egress-lint\b[ \t]*:?([^\r\n]*)")
_LINE_BREAK = re.compile(r"\r\n?|\n")
_DISABLE = re.compile(
    r"[ \t]*disable[ \t]*=[ \t]*([\w/-]+(?:[ \t]*,[ \t]*[\w/-]+)*)(?:[ \t]+(\S.*))?"
)
_FORM = "# egress-lint: disable=RULE[,RULE...] reason"
_MARKER = re.compile(r"---(?=\s|$)")
_BLANK = re.compile(r"[ \t]*(?:#.*)?$")


@dataclass(frozen=True, slots=True)
class Silence:
    """One comment that is understood.

    Attributes:
        rules: which it silences.
        reason: why, in its author's words.
        position: of the comment.
        first: first line that it covers, from 1.
        last: the last one, included.
    """

    rules: tuple[str, ...]
    reason: str
    position: Position
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Flaw:
    """A comment that silences nothing, and why."""

    message: str
    position: Position


def silences(source: Source) -> Iterator[Silence | Flaw]:
    """The comments of a file that are meant to silence something."""
    if "egress-lint" not in source.text:
        return
    lines = _Lines(source.text)
    texts = _texts(source.text)
    for found in _COMMENT.finditer(source.text):
        nth = bisect_right(texts, (found.start(), len(source.text))) - 1
        if nth >= 0 and found.start() < texts[nth][1]:
            continue
        position = source.position(found.start())
        told = _DISABLE.fullmatch(found[1].rstrip())
        if told is None:
            yield Flaw(f"this silences nothing: write {_FORM}", position)
        elif told[2] is None:
            yield Flaw(f"{told[1]} is not silenced without a reason: write {_FORM}", position)
        else:
            rules = tuple(rule.strip() for rule in told[1].split(","))
            first, last = lines.covered(position)
            yield Silence(rules, told[2], position, first, last)


def _texts(text: str) -> list[tuple[int, int]]:
    """The characters that values take up: a # in one of these begins no comment."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: list[tuple[int, int]] = []
    with contextlib.suppress(yaml.YAMLError):  # what is no YAML is told elsewhere
        found.extend(
            (token.start_mark.index, token.end_mark.index)
            for token in yaml.scan(text, Loader=loader)
            if isinstance(token, yaml.ScalarToken) and not token.plain
        )
    return found


class _Lines:
    """The lines of a text (from 0), and what belongs to them."""

    def __init__(self, text: str) -> None:
        self._lines = _LINE_BREAK.split(text)
        self._full = [i for i, line in enumerate(self._lines) if not _BLANK.match(line)]
        self._ends: dict[int, int] = {}

    def covered(self, comment: Position) -> tuple[int, int]:
        """The lines, from 1, that a comment covers."""
        line = comment.line - 1
        if self._lines[line][: comment.column - 1].strip():
            return comment.line, comment.line
        nth = bisect_right(self._full, line)
        if nth == len(self._full):
            return comment.line, comment.line
        first = self._full[nth]
        if first not in self._ends:
            opens = nth == 0 or self._marks(self._full[nth - 1])
            self._ends[first] = self._end(nth, document=opens or self._marks(first))
        return first + 1, self._ends[first] + 1

    def _end(self, nth: int, *, document: bool) -> int:
        """The last line of what begins on the full line ``nth``."""
        last = self._full[nth]
        begin = self._lines[last]
        indent, item = _indent(begin), begin.lstrip().startswith("- ")
        for i in self._full[nth + 1 :]:
            if self._marks(i):
                break
            own = _indent(self._lines[i])
            listed = own == indent and not item and self._lines[i].lstrip().startswith("- ")
            if not document and own <= indent and not listed:
                break
            last = i
        return last

    def _marks(self, line: int) -> bool:
        return _MARKER.match(self._lines[line]) is not None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
