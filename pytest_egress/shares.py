"""Shares of many outcomes, compared with what was promised within a stated confidence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["CONFIDENCE", "Share", "Shares"]

#: A true promise fails a test at this confidence once in 10,000 runs.
CONFIDENCE = 0.9999


@dataclass(frozen=True, slots=True, repr=False)
class Share:
    """So many of so many.

    Attributes:
        count: how many it holds for.
        n: of how many.
    """

    count: int
    n: int

    @property
    def fraction(self) -> float:
        """``count / n``."""
        return self.count / self.n

    def __float__(self) -> float:
        return self.fraction

    def agrees_with(self, expected: float, confidence: float = CONFIDENCE) -> bool:
        """Whether such a count is to be expected where each of the n has this probability.

        That is when ``expected`` lies in `interval`: a two-sided exact binomial test. Where it is
        true, the answer is wrong with a probability of at most ``1 - confidence``. 0 and 1 leave
        no room: then the count must be 0, or n.

        Raises:
            ValueError: ``expected`` is no probability, or ``confidence`` none between 0 and 1.
        """
        if not 0 <= expected <= 1:
            raise ValueError(f"expected a share between 0 and 1, got {expected!r}")
        error = _error(confidence)
        return (
            _at_most(self.count, self.n, expected) >= error / 2
            and _at_most(self.n - self.count, self.n, 1 - expected) >= error / 2
        )

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """The probabilities that such a count agrees with (Clopper and Pearson's interval).

        Raises:
            ValueError: ``confidence`` is not between 0 and 1.
        """
        error = _error(confidence)
        high = _solve(self.count, self.n, error / 2)
        low = 1 - _solve(self.n - self.count, self.n, error / 2)
        return low, high

    def __repr__(self) -> str:
        low, high = self.interval()
        between = f"{low:.1%} to {high:.1%} at a confidence of {CONFIDENCE:.2%}"
        return f"<Share {self.count} of {self.n} = {self.fraction:.1%}, {between}>"


class Shares(Mapping[str, float]):
    """The shares of a whole: what each of several got, as a fraction.

    Args:
        names: one for each that was counted.
        aliases: further names by which a share can be asked for; where several have the same
            one, it stands for all of them together.
    """

    def __init__(
        self, names: Iterable[str], aliases: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        self.counts: Mapping[str, int] = dict(sorted(Counter(names).items()))
        self.n = sum(self.counts.values())
        self._aliases = {name: frozenset(also) for name, also in (aliases or {}).items()}

    def __getitem__(self, name: str) -> float:
        return self.share(name).fraction

    def __iter__(self) -> Iterator[str]:
        return iter(self.counts)

    def __len__(self) -> int:
        return len(self.counts)

    def share(self, name: str) -> Share:
        """The share that ``name`` got, with its count.

        Raises:
            KeyError: it got nothing at all; ``get(name, 0)`` asks without.
        """
        found = [own for own in self.counts if name == own or name in self._aliases.get(own, ())]
        if not found:
            got = ", ".join(self.counts) or "none"
            raise KeyError(f"{name!r} got nothing, or there is no such name; there are: {got}")
        return Share(sum(self.counts[own] for own in found), self.n)

    def agree_with(self, expected: Mapping[str, float], confidence: float = CONFIDENCE) -> bool:
        """Whether these are the shares to be expected; what is not named is expected to get none.

        ``expected`` may be weights: ``{"v1": 90, "v2": 10}``. Each share is tested as by
        `Share.agrees_with`, with the error split among them, so that all together hold at
        ``confidence``.

        Raises:
            ValueError: a weight is negative, all are 0, or ``confidence`` is none.
        """
        total = sum(expected.values())
        if total <= 0 or any(weight < 0 for weight in expected.values()):
            raise ValueError(f"expected shares or weights of 0 and more, got {dict(expected)!r}")
        each = 1 - _error(confidence) / len(expected)
        counted = {name: self._count(name) for name in expected}
        return sum(counted.values()) == self.n and all(
            Share(counted[name], self.n).agrees_with(weight / total, each)
            for name, weight in expected.items()
        )

    def _count(self, name: str) -> int:
        return self.share(name).count if name in self else 0

    def __contains__(self, name: object) -> bool:
        return name in self.counts or any(name in also for also in self._aliases.values())

    def __repr__(self) -> str:
        told = ", ".join(
            f"{name or '-'}: {count / self.n:.1%}" for name, count in self.counts.items()
        )
        return f"<Shares of {self.n}: {told}>"


def _error(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(
            f"expected a confidence between 0 and 1, such as 0.999, got {confidence!r}"
        )
    return 1 - confidence


def _at_most(count: int, n: int, p: float) -> float:
    """The probability of ``count`` or fewer among ``n`` when each has probability ``p``."""
    if p <= 0 or count >= n:
        return 1.0
    if p >= 1:
        return 0.0
    yes, no = math.log(p), math.log1p(-p)
    whole = math.lgamma(n + 1)
    return min(
        1.0,
        math.fsum(
            math.exp(whole - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * yes + (n - k) * no)
            for k in range(count + 1)
        ),
    )


def _solve(count: int, n: int, tail: float) -> float:
    """The greatest probability with which ``count`` or fewer are no rarer than ``tail``."""
    if count >= n:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(count, n, middle) >= tail:
            low = middle
        else:
            high = middle
    return low
