"""Durations of Istio's API, kept exactly as whole nanoseconds."""

from __future__ import annotations

__all__ = ["Duration", "duration_json"]

#: Nanoseconds: what protobuf's Duration can tell apart.
Duration = int

_SECOND = 1_000_000_000


def duration_json(value: Duration) -> str:
    """A duration as protobuf's JSON writes it: ``2s``, ``0.250s``, ``0.000001s``."""
    sign = "-" if value < 0 else ""
    seconds, rest = divmod(abs(value), _SECOND)
    if not rest:
        return f"{sign}{seconds}s"
    fraction = f"{rest:09d}"
    while fraction.endswith("000"):
        fraction = fraction[:-3]
    return f"{sign}{seconds}.{fraction}s"
