"""Marks code that runs in the test's process and is not the test's: nobody captures what it calls.

An application that stands for an upstream is the outside's; its own connections are real.
"""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["BYSTANDER"]

#: Whether the code that runs at the moment belongs to the outside.
BYSTANDER: ContextVar[bool] = ContextVar("pytest_egress_bystander", default=False)
