"""The mutants of a run, in the order in which they are tried and told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from pytest_egress.contract.suggest import did_you_mean
from pytest_egress.mutation.learned import Group, Learned
from pytest_egress.mutation.mutant import Mutant
from pytest_egress.mutation.operators import OPERATORS
from pytest_egress.settings import lookup

__all__ = ["FAILING", "NO_POD", "Plan", "plan_of", "wanted"]

# Why no mutants are made.
FAILING = "the tests fail without any: mend them first"
NO_POD = "no test has asked for a pod"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is to be tried.

    Attributes:
        learned: what the first run has taught.
        steps: each mutant with the group whose contract it changes.
    """

    learned: Learned
    steps: tuple[tuple[Group, Mutant], ...]

    @property
    def mutants(self) -> tuple[Mutant, ...]:
        """The mutants alone."""
        return tuple(mutant for _, mutant in self.steps)


def plan_of(learned: Learned, operators: Iterable[str]) -> Plan:
    """Every mutant of these kinds."""
    names = list(operators)
    steps = [
        (group, mutant)
        for group in learned.in_order()
        for base in (group.base,)
        for name in names
        for mutant in OPERATORS[name](base)
    ]
    return Plan(learned, tuple(steps))


def wanted(config: pytest.Config) -> list[str]:
    """The kinds of change that a run asks for.

    Raises:
        pytest.UsageError: there is no such kind.
    """
    names: list[str] = lookup(config, "mutate-operator")[0] or list(OPERATORS)
    for name in names:
        if name not in OPERATORS:
            raise pytest.UsageError(
                f"--egress-mutate-operator={name}: {did_you_mean(name, OPERATORS)}"
            )
    return names
