"""The mutation score: how many mutants the tests have noticed, and which not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pytest_egress.mutation.mutant import Mutant

__all__ = ["Fate", "Score"]


class Fate(Enum):
    """What became of a mutant, with its sign in a line of progress."""

    KILLED = "."
    SURVIVED = "S"
    EQUIVALENT = "="
    REFUSED = "-"
    LOST = "!"


@dataclass(frozen=True, slots=True)
class Score:
    """What became of all mutants.

    Attributes:
        limit: seconds that they might take.
        mutants: all of them, in the order in which they are told.
        fates: what became of those that were tried, by their place.
    """

    limit: float
    mutants: Sequence[Mutant]
    fates: Mapping[int, Fate]

    def count(self, fate: Fate) -> int:
        """How many had a fate."""
        return sum(it is fate for it in self.fates.values())

    @property
    def untried(self) -> int:
        """How many there was no time for."""
        return len(self.mutants) - len(self.fates)

    @property
    def percent(self) -> float:
        """The share of those that some test could notice; 100 where there is none."""
        killed = self.count(Fate.KILLED)
        others = self.count(Fate.SURVIVED) + self.count(Fate.LOST) + self.untried
        return 100.0 * killed / (killed + others) if killed + others else 100.0

    def lines(self) -> Iterator[str]:
        """The summary, a line each: the share, then each survivor and what would kill it."""
        killed, survived = self.count(Fate.KILLED), self.count(Fate.SURVIVED)
        equal, refused = self.count(Fate.EQUIVALENT), self.count(Fate.REFUSED)
        told = f"{killed} of {killed + survived} mutants killed ({self.percent:.0f} %)"
        if equal:
            told += f", {equal} equivalent (the proxies' configuration is the same)"
        if refused:
            told += f", {refused} refused by Istio or Envoy"
        yield told
        for index, mutant in enumerate(self.mutants):
            if self.fates.get(index) is Fate.SURVIVED:
                yield f"survived: {mutant}"
                yield f"  to kill it: {mutant.assertion}"
            elif self.fates.get(index) is Fate.LOST:
                yield f"lost with the worker that tried it: {mutant}"
        if self.untried:
            noun = "mutant was" if self.untried == 1 else "mutants were"
            yield f"{self.untried} {noun} not tried within {self.limit:g} s (egress_mutate_timeout)"
