"""Reading JSON lines from a file or standard input, and the fields of their objects."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pytest_egress.errors import ProbeError

__all__ = ["field", "read_lines"]

_T = TypeVar("_T")
_KINDS = {str: "text", int: "a whole number", list: "a list", dict: "an object"}


def field(case: Any, name: str, kind: type[_T], default: _T | None = None) -> _T:
    """Return a field of a JSON object; ``default`` where it is absent or null.

    Raises:
        ProbeError: it is of another kind, or absent although there is no default.
    """
    if not isinstance(case, dict):
        raise ProbeError(f"expected an object, got {json.dumps(case)}")
    found = case.get(name)
    if found is None:
        found = default
    if not isinstance(found, kind) or isinstance(found, bool):
        got = "nothing" if found is None else json.dumps(found)
        raise ProbeError(f"{name}: expected {_KINDS[kind]}, got {got}")
    return found


def read_lines(source: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of ``source`` (``-``: standard input); blank lines are skipped.

    Raises:
        ProbeError: the file cannot be read, or a line is no JSON object.
    """
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProbeError(f"{source}: cannot be read: {error}") from None
    name = "<stdin>" if source == "-" else source
    # Not splitlines(): JSON text may hold U+2028, which is no end of a line here.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise ProbeError(f"{name}:{number}:{error.colno}: not JSON: {error.msg}") from None
        if not isinstance(value, dict):
            raise ProbeError(f"{name}:{number}:1: expected a JSON object")
        yield value
