"""One check: its name, what it is needed for, what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_egress.errors import EgressError

__all__ = ["Check", "Finding", "carry_out"]


@dataclass(frozen=True, slots=True)
class Check:
    """Something that can be tried.

    Attributes:
        name: how it is asked for.
        purpose: what it is needed for.
        attempt: tries it and returns one line of what was seen; raises an `EgressError` that says
            what failed and what to do.
    """

    name: str
    purpose: str
    attempt: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a check.

    Attributes:
        name: of the check.
        purpose: what it is needed for.
        works: whether the thing can be used here.
        detail: what was seen, or what failed; may have several lines.
        next_step: what to do about it, empty where it works.
    """

    name: str
    purpose: str
    works: bool
    detail: str
    next_step: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding as plain values."""
        return {
            "name": self.name,
            "works": self.works,
            "detail": self.detail,
            "next_step": self.next_step,
            "purpose": self.purpose,
        }


def carry_out(check: Check) -> Finding:
    """Try it; what it raises is the finding, whatever it is: the other checks want to run."""
    try:
        return Finding(check.name, check.purpose, works=True, detail=check.attempt())
    except EgressError as error:
        detail, _, next_step = str(error).partition("\nnext step: ")
        return Finding(check.name, check.purpose, False, detail, next_step)
    except Exception as error:  # noqa: BLE001  a fault of one check must not hide the others
        detail = f"{type(error).__name__}: {error}"
        return Finding(check.name, check.purpose, works=False, detail=detail)
