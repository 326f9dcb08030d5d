"""The mutation score: how many mutants the tests have noticed, and which not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from pytest_egress.mutation.mutant import Mutant

__all__ = ["Fate", "Score"]


class Fate(Enum):
    """What became of a mutant, with its sign in a line of progress."""

    KILLED = "."
    SURVIVED = "S"
    EQUIVALENT = "="
    REFUSED = "-"


@dataclass(slots=True)
class Score:
    """What became of all mutants.

    Attributes:
        limit: seconds that they might take.
        survivors: those that no test has noticed.
        untried: how many there was no time for.
        fates: how many had each fate.
    """

    limit: float
    survivors: list[Mutant] = field(default_factory=list)
    untried: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)

    def add(self, mutant: Mutant, fate: Fate) -> None:
        """Count a mutant."""
        self.fates[fate] += 1
        if fate is Fate.SURVIVED:
            self.survivors.append(mutant)

    @property
    def percent(self) -> float:
        """The share of those that some test could notice; 100 where there is none."""
        killed, survived = self.fates[Fate.KILLED], self.fates[Fate.SURVIVED]
        total = killed + survived + self.untried
        return 100.0 * killed / total if total else 100.0

    def lines(self) -> Iterator[str]:
        """The summary, a line each: the share, then each survivor and what would kill it."""
        killed, survived = self.fates[Fate.KILLED], self.fates[Fate.SURVIVED]
        equal, refused = self.fates[Fate.EQUIVALENT], self.fates[Fate.REFUSED]
        told = f"{killed} of {killed + survived} mutants killed ({self.percent:.0f} %)"
        if equal:
            told += f", {equal} equivalent (the proxies' configuration is the same)"
        if refused:
            told += f", {refused} refused by Istio or Envoy"
        yield told
        for mutant in self.survivors:
            yield f"survived: {mutant}"
            yield f"  to kill it: {mutant.assertion}"
        if self.untried:
            noun = "mutant was" if self.untried == 1 else "mutants were"
            yield f"{self.untried} {noun} not tried within {self.limit:g} s (egress_mutate_timeout)"
