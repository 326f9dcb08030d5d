"""RE2's full match in steps that grow with pattern and text alone: nothing is tried twice.

A pattern becomes a list of instructions with relative jumps, and the text is walked once with the
set of all places where a match may stand. Python's own engine tries one way after the other, which
takes some patterns longer than anybody waits. Patterns are such as istiod accepts
(`pytest_egress.contract.virtual_service.regex`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from pytest_egress.decide.regex_program import Code, Hold, Jump, Take, compile_pattern, unknown

__all__ = ["full_match"]

_MOST_STEPS = 250_000  # half a second or so


def full_match(pattern: str, text: str) -> bool:
    r"""Whether a pattern takes the whole of a text, as Envoy's RE2 does.

    Raises:
        ProbeError: the pattern has a script (``\p{Greek}``), which only Envoy knows, or is too
            large to be followed here.
    """
    code = _compiled(pattern)
    steps = 0
    places = {0}
    for at in range(len(text) + 1):
        reached, taking = _reached(code, places, text, at)
        steps += len(reached)
        if steps > _MOST_STEPS:
            raise unknown(pattern, "it is too large")
        if at == len(text):
            return len(code) in reached
        character = text[at]
        places = {place + 1 for place, one in taking if one.takes(character)}
        if not places:
            return False
    raise AssertionError("the last place returns")


def _reached(
    code: Code, places: Iterable[int], text: str, at: int
) -> tuple[set[int], list[tuple[int, Take]]]:
    """Every place that is reached without a character, and those that take one."""
    taking: list[tuple[int, Take]] = []
    reached: set[int] = set()
    open_places = list(places)
    while open_places:
        place = open_places.pop()
        if place in reached:
            continue
        reached.add(place)
        if place == len(code):
            continue
        match code[place]:
            case Jump(to):
                open_places += [place + it for it in to]
            case Hold(holds):
                if holds(text, at):
                    open_places.append(place + 1)
            case one:
                taking.append((place, one))
    return reached, taking


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Code:
    return compile_pattern(pattern)
