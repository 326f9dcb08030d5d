"""The nearest valid spelling of a misspelt field, kind, version or value."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]

_LISTED = 12


def nearest(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The choice most like ``word``, ignoring case and separators; None when none is near."""
    import difflib

    folded = {_fold(choice): choice for choice in choices}
    found = difflib.get_close_matches(_fold(word), folded, n=1, cutoff=cutoff)
    return folded[found[0]] if found else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A sentence that helps on: the nearest choice, or what there is to choose from."""
    known = list(choices)
    best = nearest(word, known)
    if best is not None:
        return f'did you mean "{best}"?'
    if len(known) > _LISTED:
        known = [*known[:_LISTED], "..."]
    return "expected one of " + ", ".join(known)


def _fold(word: str) -> str:
    return word.replace("_", "").replace("-", "").casefold()
