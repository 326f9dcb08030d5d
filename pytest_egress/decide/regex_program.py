"""Patterns of RE2 as lists of instructions with relative jumps, which are copied as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pytest_egress.decide import characters
from pytest_egress.decide.characters import Holds, Takes
from pytest_egress.errors import ProbeError

__all__ = ["Code", "Hold", "Jump", "Take", "compile_pattern", "unknown"]

_MOST_INSTRUCTIONS = 50_000
_REPEAT = re.compile(r"\{(0|[1-9][0-9]*)(?:(,)(0|[1-9][0-9]*)?)?\}", re.ASCII)
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")
_NAMED_GROUP = re.compile(r"\(\?P?<[^>]*>")
_POSIX = re.compile(r"\[:(\^?)(\w+):\]", re.ASCII)
_PROPERTY = re.compile(r"\\([pP])(?:\{(\^?)([^}]*)\}|([^{]))", re.DOTALL)
_CODE = re.compile(r"\\(?:(0[0-7]{0,2}|[1-7][0-7]{1,2})|x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]+)\})")
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Take:
    """One character."""

    takes: Takes


@dataclass(frozen=True, slots=True)
class Hold:
    """A place between two characters."""

    holds: Holds


@dataclass(frozen=True, slots=True)
class Jump:
    """On from one of several places, each relative to this one."""

    to: tuple[int, ...]


Code: TypeAlias = tuple[Take | Hold | Jump, ...]


def compile_pattern(pattern: str) -> Code:
    """The instructions of a pattern; the place behind the last one is the end of a match.

    Raises:
        ProbeError: the pattern has a script, or is too large.
    """
    return _Compiler(pattern).run()


def unknown(pattern: str, why: str) -> ProbeError:
    """The error for a pattern that is not followed here."""
    return ProbeError(
        f'the regex "{pattern}" has something that only Envoy knows ({why}): '
        "ask with pytest-egress probe"
    )


@dataclass(slots=True)
class _Group:
    """What is open: the flags outside of it, its alternatives, the parts of the last of them."""

    flags: frozenset[str]
    alternatives: list[Code]
    parts: list[Code]

    def code(self) -> Code:
        """All of it as one part."""
        *others, last = [*self.alternatives, _joined(self.parts)]
        for it in reversed(others):
            last = (Jump((1, len(it) + 2)), *it, Jump((len(last) + 1,)), *last)
        return last


def _joined(parts: Iterable[Code]) -> Code:
    return tuple(one for part in parts for one in part)


class _Compiler:
    """Walks over a pattern once."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._made = 0  # instructions, those of what is around them again
        self._flags: frozenset[str] = frozenset()
        self._group = _Group(self._flags, [], [])
        self._outer: list[_Group] = []

    def run(self) -> Code:
        """The instructions; the place behind the last one is the end of a match."""
        text = self._text
        while self._at < len(text):
            character = text[self._at]
            if character in "*+?{" and self._repeated():
                continue
            if character == "(":
                self._open()
            elif character == ")":
                code, self._flags = self._group.code(), self._group.flags
                self._group = self._outer.pop()
                self._push(code, self._at + 1)
            elif character == "|":
                self._group.alternatives.append(_joined(self._group.parts))
                self._group.parts = []
                self._at += 1
            elif character == "[":
                takes, end = self._class()
                self._push((Take(takes),), end)
            elif character == "\\":
                self._backslash()
            elif character in "^$":
                self._push((Hold(self._anchor(character)),), self._at + 1)
            elif character == ".":
                whole = "s" in self._flags
                self._push(
                    (Take(characters.anything if whole else characters.no_line_break),),
                    self._at + 1,
                )
            else:
                self._push((Take(self._ranges([(character, character)])),), self._at + 1)
        return self._group.code()

    def _push(self, code: Code, end: int) -> None:
        self._made += len(code)
        if self._made > _MOST_INSTRUCTIONS:
            raise unknown(self._text, "it is too large")
        self._group.parts.append(code)
        self._at = end

    def _repeated(self) -> bool:
        """Repeat the last part as the operator says; false where there is none but a literal."""
        text, least, most = self._text, 0, -1
        end = self._at + 1
        if text[self._at] == "{":
            found = _REPEAT.match(text, self._at)
            if found is None:
                return False
            least, end = int(found[1]), found.end()
            most = least if not found[2] else -1 if found[3] is None else int(found[3])
        elif text[self._at] == "+":
            least = 1
        elif text[self._at] == "?":
            most = 1
        if text.startswith("?", end):
            end += 1  # fewer rather than more: for a whole match it is the same
        part = self._group.parts.pop()
        copies = max(least, most, 1)
        if copies * (len(part) + 1) > _MOST_INSTRUCTIONS:
            raise unknown(text, "it is too large")
        code = part * least
        if most < 0:
            code += (Jump((1, len(part) + 2)), *part, Jump((-len(part) - 1,)))
        else:
            left = most - least
            for i in range(left):
                code += (Jump((1, (left - i) * (len(part) + 1))), *part)
        self._push(code, end)
        return True

    def _open(self) -> None:
        text, at = self._text, self._at
        flags = self._flags
        if text.startswith(("(?P<", "(?<"), at):
            named = _NAMED_GROUP.match(text, at)
            assert named is not None
            end = named.end()
        elif text.startswith("(?", at):
            found = _FLAGS.match(text, at)
            assert found is not None
            flags = (flags | set(found[1])) - set(found[2] or "")
            end = found.end()
            if found[3] == ")":  # for the rest of the group
                self._flags, self._at = flags, end
                return
        else:
            end = at + 1
        self._outer.append(self._group)
        self._group = _Group(self._flags, [], [])
        self._flags, self._at = flags, end

    def _anchor(self, character: str) -> Holds:
        if "m" in self._flags:
            return characters.at_line_start if character == "^" else characters.at_line_end
        return characters.at_start if character == "^" else characters.at_end

    def _backslash(self) -> None:
        text, at = self._text, self._at
        following = text[at + 1]
        if following == "Q":
            end = text.find("\\E", at + 2)
            for character in text[at + 2 : end if end >= 0 else None]:
                self._push((Take(self._ranges([(character, character)])),), at)
            self._at = len(text) if end < 0 else end + 2
        elif following in characters.PLACES:
            self._push((Hold(characters.PLACES[following]),), at + 2)
        else:
            takes, character, end = self._escape(at)
            if takes is None:
                takes = self._ranges([(character, character)])
            self._push((Take(takes),), end)

    def _escape(self, at: int) -> tuple[Takes | None, str, int]:
        """What a backslash at ``at`` stands for: a class or a character, and where it ends."""
        text = self._text
        following = text[at + 1]
        if following.lower() in characters.PERL:
            pairs = characters.PERL[following.lower()]
            inner = self._ranges(characters.pairs(pairs))
            return (inner if following.islower() else characters.none_of(inner)), "", at + 2
        if following in "pP":
            return self._property(at)
        found = _CODE.match(text, at)
        if found is not None:
            number = int(found[1], 8) if found[1] else int(found[2] or found[3], 16)
            return None, chr(number), found.end()
        return None, _CONTROLS.get(following, following), at + 2

    def _property(self, at: int) -> tuple[Takes, str, int]:
        found = _PROPERTY.match(self._text, at)
        assert found is not None
        name = found[3] if found[3] is not None else found[4]
        takes = characters.category(name)
        if takes is None:
            raise unknown(self._text, f"the script {name}")
        inner = self._folded(takes)
        negated = (found[1] == "P") != bool(found[2])
        return (characters.none_of(inner) if negated else inner), "", found.end()

    def _class(self) -> tuple[Takes, int]:
        """A bracketed class, and where it ends."""
        text, at = self._text, self._at + 1
        negated = text.startswith("^", at)
        at += negated
        ranges: list[tuple[str, str]] = []
        inner: list[Takes] = []
        first = True
        while first or text[at] != "]":
            first = False
            named = _POSIX.match(text, at)
            if named is not None:
                of_name = self._ranges(characters.pairs(characters.NAMED[named[2]]))
                inner.append(characters.none_of(of_name) if named[1] else of_name)
                at = named.end()
                continue
            takes, low, at = self._member(at)
            if takes is not None:
                inner.append(takes)
                continue
            high = low
            if text.startswith("-", at) and text[at + 1] != "]":
                _, high, at = self._member(at + 1)
            ranges.append((low, high))
        if ranges:
            inner.append(self._ranges(ranges))
        together = inner[0] if len(inner) == 1 else characters.any_of(inner)
        return (characters.none_of(together) if negated else together), at + 1

    def _member(self, at: int) -> tuple[Takes | None, str, int]:
        if self._text[at] == "\\":
            return self._escape(at)
        return None, self._text[at], at + 1

    def _ranges(self, members: Sequence[tuple[str, str]]) -> Takes:
        return self._folded(characters.ranges(members))

    def _folded(self, takes: Takes) -> Takes:
        return characters.folded(takes) if "i" in self._flags else takes
