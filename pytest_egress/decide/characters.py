"""Characters and places of a text, as the classes and anchors of RE2 tell them apart."""

from __future__ import annotations

import re
import sys
import unicodedata
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from typing import TypeAlias

__all__ = [
    "NAMED",
    "PERL",
    "PLACES",
    "Holds",
    "Takes",
    "any_of",
    "anything",
    "at_end",
    "at_line_end",
    "at_line_start",
    "at_start",
    "category",
    "folded",
    "no_line_break",
    "none_of",
    "pairs",
    "ranges",
]

#: Whether a class has a character.
Takes: TypeAlias = Callable[[str], bool]
#: Whether an anchor holds in a text, before the character of an index.
Holds: TypeAlias = Callable[[str, int], bool]

#: The ranges of each class with a name, first and last character of each.
NAMED = {
    "alnum": "09AZaz", "alpha": "AZaz", "ascii": "\x00\x7f", "blank": "\t\t  ",
    "cntrl": "\x00\x1f\x7f\x7f", "digit": "09", "graph": "!~", "lower": "az", "print": " ~",
    "punct": "!/:@[`{~", "space": "\t\r  ", "upper": "AZ", "word": "09AZ__az", "xdigit": "09AFaf",
}  # fmt: skip
#: The same of ``\\d``, ``\\s`` and ``\\w``.
PERL = {"d": "09", "s": "\t\n\f\r  ", "w": "09AZ__az"}


def ranges(members: Sequence[tuple[str, str]]) -> Takes:
    """A class of ranges, both ends included."""
    if len(members) == 1 and members[0][0] == members[0][1]:
        return members[0][0].__eq__
    ordered = sorted(members)
    lows = [low for low, _ in ordered]
    highs = list(accumulate((high for _, high in ordered), max))

    def takes(character: str) -> bool:
        index = bisect(lows, character)
        return index > 0 and character <= highs[index - 1]

    return takes


def category(name: str) -> Takes | None:
    """A general category of Unicode, or ``Any``; None where the name is none."""
    if name == "Any":
        return anything
    if _CATEGORIES.fullmatch(name) is None:
        return None
    return lambda character: unicodedata.category(character).startswith(name)


def folded(takes: Takes) -> Takes:
    """The same class without regard to case."""
    return lambda character: any(map(takes, _cases(character)))


def pairs(text: str) -> list[tuple[str, str]]:
    """The ranges that are written as first and last character of each."""
    return list(zip(text[::2], text[1::2], strict=True))


def none_of(takes: Takes) -> Takes:
    """The characters that a class has not."""
    return lambda character: not takes(character)


def any_of(inner: Sequence[Takes]) -> Takes:
    """The characters that some class has."""
    return lambda character: any(takes(character) for takes in inner)


def anything(_: str) -> bool:
    """Every character."""
    return True


def no_line_break(character: str) -> bool:
    """Every character but the line break."""
    return character != "\n"


def at_start(_: str, at: int) -> bool:
    """At the start of the text."""
    return at == 0


def at_end(text: str, at: int) -> bool:
    """At its end."""
    return at == len(text)


def at_line_start(text: str, at: int) -> bool:
    """At the start of a line."""
    return at == 0 or text[at - 1] == "\n"


def at_line_end(text: str, at: int) -> bool:
    """At the end of a line."""
    return at == len(text) or text[at] == "\n"


def _at_boundary(text: str, at: int) -> bool:
    before = at > 0 and _is_word(text[at - 1])
    return before != (at < len(text) and _is_word(text[at]))


def _inside(text: str, at: int) -> bool:
    return not _at_boundary(text, at)


def _is_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")


#: Anchors by the letter behind their backslash.
PLACES: dict[str, Holds] = {"A": at_start, "z": at_end, "b": _at_boundary, "B": _inside}
_CATEGORIES = re.compile(
    "C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?"  # Cn is not RE2's
)


def _cases(character: str) -> tuple[str, ...]:
    """All characters that differ from one in case alone, itself included."""
    if character.isascii() and character not in "kKsS":
        return (character.lower(), character.upper())
    return _orbits().get(character, (character,))


@cache
def _orbits() -> dict[str, tuple[str, ...]]:
    """Characters by those that they are folded together with."""
    found: dict[str, set[str]] = defaultdict(set)
    for character in map(chr, range(sys.maxunicode + 1)):
        upper = character.upper()
        folded = upper.lower() if len(upper) == 1 else character.lower()
        if folded != character or upper != character:
            found[folded].add(character)
    return {
        one: tuple(sorted(members))
        for members in found.values()
        for one in members
        if len(members) > 1
    }
