"""Durations of Istio's API, kept exactly as whole nanoseconds."""

from __future__ import annotations

import re

__all__ = ["MILLISECOND", "SECOND", "Duration", "duration_json", "parse_duration"]

#: Nanoseconds: what protobuf's Duration can tell apart.
Duration = int

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek mu
    "ms": MILLISECOND,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_PART = re.compile(r"([0-9]*)(?:(\.)([0-9]*))?([^0-9.]+)")
_LIMIT = 1 << 63


def parse_duration(text: str) -> Duration | None:
    """A duration as Istio and Kubernetes read it, with Go's words: ``1m30s``, ``0.5h``, ``250ms``.

    None where it is none: a unit is needed (but for ``0``), and it must fit into 64 bits.
    """
    rest = text[1:] if text[:1] in {"-", "+"} else text
    sign = -1 if text[:1] == "-" else 1
    if rest == "0":
        return 0
    total = end = 0
    while end < len(rest):
        part = _PART.match(rest, end)
        if part is None or not (part[1] or part[3]) or part[4] not in _UNITS:
            return None
        unit = _UNITS[part[4]]
        total += int(part[1] or 0) * unit + _fraction(part[3] or "", unit)
        if total > _LIMIT:
            return None
        end = part.end()
    if not rest or total > (_LIMIT if sign < 0 else _LIMIT - 1):
        return None
    return sign * total


def duration_json(value: Duration) -> str:
    """A duration as protobuf's JSON writes it: ``2s``, ``0.250s``, ``0.000001s``."""
    sign = "-" if value < 0 else ""
    seconds, rest = divmod(abs(value), SECOND)
    if not rest:
        return f"{sign}{seconds}s"
    fraction = f"{rest:09d}"
    while fraction.endswith("000"):
        fraction = fraction[:-3]
    return f"{sign}{seconds}.{fraction}s"


def _fraction(digits: str, unit: int) -> int:
    """The part behind the point; Go computes it in floating point and drops what is left over."""
    value, scale = 0, 1.0
    for digit in digits:
        longer = value * 10 + int(digit)
        if longer >= _LIMIT:
            break
        value, scale = longer, scale * 10
    return int(float(value) * (unit / scale))
