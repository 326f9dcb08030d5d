"""One finding of a linter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pytest_egress.contract.position import Position
from pytest_egress.contract.report import Path
from pytest_egress.contract.resources import Resource

__all__ = ["Finding", "Level", "at", "of_kind"]

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to be said of a resource.

    Attributes:
        rule: stable name, ``lint/...`` or Istio's own code.
        level: ``note`` for what is no fault by itself.
        message: what is wrong and how to mend it.
        position: where.
        also: further rules that say the same.
    """

    rule: str
    level: Level
    message: str
    position: Position
    also: tuple[str, ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        """Every name that silences it."""
        return (self.rule, *self.also)


def at(
    resource: Resource, rule: str, message: str, path: Path, level: Level = "warning"
) -> Finding:
    """A finding at the value at ``path`` of a resource."""
    return Finding(rule, level, message, resource.at(*path))


def of_kind(resources: Iterable[Resource], kind: str) -> list[Any]:
    """The resources of a kind whose type is not imported unless there are some."""
    return [it for it in resources if type(it).__name__ == kind]
