"""Drawing small choices, each so that hypothesis shrinks it to the plainest one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

__all__ = ["Choices", "Json"]

Json = dict[str, Any]
_T = TypeVar("_T")


class Choices:
    """The choices of one example.

    A ``settled`` one is built without what istiod is known to answer now so and now so (resources
    of one age; an address that several hosts share, or several that one host has), and without
    what Envoy is known to refuse (DYNAMIC_DNS with HTTP/2; bytes on the proxy's own ports).
    """

    def __init__(self, draw: DrawFn, *, settled: bool = False) -> None:
        self._draw = draw
        self.settled = settled
        self._days = list(range(1, 29))

    def day(self) -> int:
        """A day of the month, another one each time."""
        return self._days.pop(self.number(0, len(self._days) - 1))

    def chance(self, percent: int) -> bool:
        """True so often; shrinks to False."""
        return self._draw(st.integers(0, 99)) >= 100 - percent

    def number(self, low: int, high: int) -> int:
        """A number, shrinking to the lowest."""
        return self._draw(st.integers(low, high))

    def one(self, options: Sequence[_T]) -> _T:
        """One of several, shrinking to the first."""
        return options[self._draw(st.integers(0, len(options) - 1))]

    def some(self, options: Sequence[_T], low: int, high: int) -> list[_T]:
        """So many different ones, in any order."""
        left = list(options)
        count = self.number(low, min(high, len(left)))
        return [left.pop(self.number(0, len(left) - 1)) for _ in range(count)]

    def weighted(self, options: Sequence[tuple[_T, int]]) -> _T:
        """One of several by weight, shrinking to the first."""
        point = self.number(0, sum(weight for _, weight in options) - 1)
        for option, weight in options:
            if point < weight:
                return option
            point -= weight
        raise AssertionError("a weight is negative")

    def maybe(self, percent: int, fields: Json, name: str, options: Sequence[Any]) -> None:
        """Set a field to one of several values, so often."""
        if self.chance(percent):
            fields[name] = self.one(options)

    def duration(self) -> str:
        """A duration as the API reads it, of whole milliseconds."""
        return self.one(("1s", "5s", "0.500s", "250ms", "1m", "1h", "2.5s", "1m30s"))
