"""Changes of contract files: of their characters, their lines, their values."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import yaml

__all__ = ["mutated"]

_MOST = 20_000  # places of a file in which values are changed

_CHARACTERS = ":{}[]&*#?|-<>=!%@`\"'\\,\t \n\r0x~./\0\u00a0\u2028\ufeff\ud7ff\U0001f600é"
_WILD: tuple[Any, ...] = (
    None, True, 0, -1, 65536, 1e300, 10**40, "", " ", "*", "*.", "*.*", ".", "..", "~", "a" * 300,
    "a." * 130, "é", "\u0000", "1.2.3.4", "1.2.3.4/33", "::1", "0.0.0.0/0", "10.0.0.1/8", "-5s",
    "1h1ns", "9" * 30 + "h", "{{ x }}", "${X}", [], [[]], {}, {"": ""}, [None], ["*", "*"],
    {"exact": 1}, {"regex": "("}, {"regex": "(a+)+b"}, {"regex": "\\pL"}, "unix:///x", "mesh",
    "./*", "~/*", "*/*", "a/b/c", "NONE", "DNS", "TCP", "tls", "2024-13-45T99:99:99Z", "%", "\x7f",
)  # fmt: skip
_COMMENTS = (
    "# egress-lint: disable=lint/open-port why",
    "# egress-lint: disable=IST0134",
    "# egress-lint:",
    "# egress-lint disable=,",
    "  # egress-lint: disable=a,b,,c  x",
)


def mutated(text: str, other: str, chance: random.Random) -> str:
    """A text with one to four changes, most of them in values; ``other`` lends parts."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        change = _values if chance.random() < 0.7 else chance.choice(_MUTATIONS)
        text = change(text, other, chance)
    return text


def _delete(text: str, _other: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + text[at + chance.choice((1, 2, 10, 100)) :]


def _insert(text: str, _other: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    put = "".join(chance.choice(_CHARACTERS) for _ in range(chance.choice((1, 1, 2, 5))))
    return text[:at] + put * chance.choice((1, 1, 1, 50)) + text[at:]


def _cut(text: str, _other: str, chance: random.Random) -> str:
    return text[: chance.randrange(len(text) + 1)]


def _splice(text: str, other: str, chance: random.Random) -> str:
    at, begin = chance.randrange(len(text) + 1), chance.randrange(len(other) + 1)
    return text[:at] + other[begin : begin + chance.choice((5, 50, 500))] + text[at:]


def _join(text: str, other: str, chance: random.Random) -> str:
    return chance.choice(("---\n", "\n---\n", "...\n", "\n")).join((text, other))


def _of_lines(change: Callable[[list[str], random.Random], None]) -> Callable[..., str]:
    def changed(text: str, _other: str, chance: random.Random) -> str:
        lines = text.split("\n")
        change(lines, chance)
        return "\n".join(lines)

    return changed


def _swap(lines: list[str], chance: random.Random) -> None:
    i, j = (chance.randrange(len(lines)) for _ in range(2))
    lines[i], lines[j] = lines[j], lines[i]


def _repeat(lines: list[str], chance: random.Random) -> None:
    i = chance.randrange(len(lines))
    lines[i:i] = [lines[i]] * chance.choice((1, 2, 200))


def _drop(lines: list[str], chance: random.Random) -> None:
    del lines[chance.randrange(len(lines))]


def _indent(lines: list[str], chance: random.Random) -> None:
    i = chance.randrange(len(lines))
    lines[i] = chance.choice((" ", "  ", "\t", "- ", "? ")) + lines[i]


def _comment(lines: list[str], chance: random.Random) -> None:
    i = chance.randrange(len(lines))
    if chance.random() < 0.5:
        lines.insert(i, chance.choice(_COMMENTS))
    else:
        lines[i] += " " + chance.choice(_COMMENTS)


def _values(text: str, other: str, chance: random.Random) -> str:
    """Change a value, a key or an item of a document that can be read."""
    try:
        documents = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
        lent = list(yaml.load_all(other, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, ValueError):
        return text
    places, lenders = list(_places(documents)), list(_places(lent))
    if not places or _MOST in {len(places), len(lenders)}:
        return text
    holder, key = chance.choice(places)
    kind = chance.randrange(12)
    fitting = [(it, name) for it, name in lenders if name == key]
    if kind > 4:
        # Of its own kind, so that many files stay acceptable.
        for lender, name in [chance.choice(fitting)] if fitting else ():
            holder[key] = copy.deepcopy(lender[name])
    elif kind == 0:
        holder[key] = copy.deepcopy(chance.choice(_WILD))
    elif kind == 1:
        del holder[key]
    elif kind == 2 and isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(holder[key])] * chance.choice((1, 3, 40))
    elif kind == 3 and isinstance(holder, dict):
        holder[chance.choice(("", "spec", "hosts", "x", "metadata", 5, "Hosts"))] = holder.pop(key)
    else:
        lender, lent_key = chance.choice(lenders or [(_WILD, 0)])
        holder[key] = copy.deepcopy(lender[lent_key])
    try:
        return yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False)
    except (yaml.YAMLError, RecursionError, ValueError):
        return text


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in plain data: what holds a value, and its key; `_MOST` at most.

    Aliases can make any number of them: an anchor may even hold itself.
    """
    return islice(_every_place(value), _MOST)


def _every_place(value: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        keys: Sequence[Any] = (
            list(holder)
            if isinstance(holder, dict)
            else range(len(holder))
            if isinstance(holder, list)
            else ()
        )
        for key in keys:
            yield holder, key
            waiting.append(holder[key])


_MUTATIONS: tuple[Callable[[str, str, random.Random], str], ...] = (
    _delete, _insert, _cut, _splice, _join, _of_lines(_swap), _of_lines(_repeat), _of_lines(_drop),
    _of_lines(_indent), _of_lines(_comment), _of_lines(_comment),
)  # fmt: skip
