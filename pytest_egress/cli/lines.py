"""Reading JSON lines from a file or standard input, and the fields of their objects."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pytest_egress.errors import ProbeError

__all__ = ["answer", "field", "read_lines", "refuse", "unforeseen"]

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


def read_lines(source: str) -> Iterator[dict[str, Any] | ProbeError]:
    """Yield the objects of ``source`` (``-``: standard input); blank lines are skipped.

    For a line that is no JSON object the error is yielded, so that the others are answered.

    Raises:
        ProbeError: the file cannot be read.
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
            yield ProbeError(f"{name}:{number}:{error.colno}: not JSON: {error.msg}")
        except (RecursionError, ValueError) as error:  # too deep, a number of too many digits
            yield ProbeError(f"{name}:{number}:1: not JSON: {error}")
        else:
            if isinstance(value, dict):
                yield value
            else:
                yield ProbeError(f"{name}:{number}:1: expected a JSON object")


def answer(value: dict[str, Any]) -> None:
    """Print one answer as a line."""
    print(json.dumps(value, separators=(",", ":")), flush=True)


def unforeseen(error: Exception) -> list[str]:
    """The answer to a line on which this program itself failed; standard error tells more."""
    traceback.print_exception(error, file=sys.stderr)
    return [f"this is a fault of pytest-egress, please report it: {type(error).__name__}: {error}"]


def refuse(errors: list[ProbeError]) -> None:
    """End a batch, once all is answered, for the lines of it that were no JSON objects.

    Raises:
        ProbeError: with all of them, if there are any.
    """
    if errors:
        raise ProbeError("\n".join(map(str, errors)))
