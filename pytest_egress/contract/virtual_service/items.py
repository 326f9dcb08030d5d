"""Walking over checked lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_egress.contract.schema import WRONG

__all__ = ["items"]


def items(values: dict[str, Any], name: str) -> Iterator[tuple[int, Any]]:
    """The items of a list that the shape accepted, with their indices."""
    for i, item in enumerate(values.get(name, ())):
        if item is not WRONG:
            yield i, item
