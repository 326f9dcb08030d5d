"""What the item of a contract file brings along, for the fixtures and for what reads contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_egress.contract import Contract

__all__ = ["BACKEND", "CONTRACT"]

#: On the item of a contract file, where a run has several backends: the name of its own.
BACKEND: pytest.StashKey[str] = pytest.StashKey()

#: On the item of a contract file: the contract that it is a part of.
CONTRACT: pytest.StashKey[Contract] = pytest.StashKey()
