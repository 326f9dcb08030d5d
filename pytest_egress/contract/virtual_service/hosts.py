"""Which host names mean the same, as istiod compares them: with a leading wildcard, by letters."""

from __future__ import annotations

import re

__all__ = ["generated_sni_flaw", "is_subset", "overlap"]

_GENERATED = "outbound_"
_HAS_DIGIT = re.compile("[0-9]")
_HAS_LETTER = re.compile("[a-zA-Z]")


def overlap(one: str, other: str) -> bool:
    """Whether some name is meant by both."""
    if not other.startswith("*"):
        return is_subset(other, one)
    if not one.startswith("*"):
        return one.endswith(other[1:])
    return one[1:].endswith(other[1:]) or other[1:].endswith(one[1:])


def is_subset(one: str, other: str) -> bool:
    """Whether every name that ``one`` means is meant by ``other``."""
    if not other.startswith("*"):
        return one == other
    if one.startswith("*"):
        return len(one) >= len(other) and one[1:].endswith(other[1:])
    return one.endswith(other[1:])


def generated_sni_flaw(host: str) -> str | None:
    """What is wrong with a name of AUTO_PASSTHROUGH, ``outbound_.80_.subset_.host``.

    Empty where nothing is; None where the host is no such name.
    """
    if not host.startswith(_GENERATED):
        return None
    if len(host.encode()) > 255:
        return None
    parts = host.split("_")
    good = len(parts) > 3 and _HAS_DIGIT.search(parts[1]) and _HAS_LETTER.search(parts[3])
    return "" if good else f'"{host}" is not of the form outbound_.<port>_.<subset>_.<host>'
