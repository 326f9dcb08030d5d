"""Where a value stands in a file, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Position", "Problem", "Severity"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about a contract.

    Attributes:
        severity: ``error`` (Istio, or this program, refuses the file) or ``warning``.
        message: what is wrong, what was expected and how to mend it.
        position: where.
        rule: a stable name of the rule, such as ``service-entry/hosts-required``.
    """

    severity: Severity
    message: str
    position: Position
    rule: str

    def __str__(self) -> str:
        return f"{self.position}: {self.severity}: {self.message} [{self.rule}]"
