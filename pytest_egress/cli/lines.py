"""Reading JSON lines from a file or standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_egress.errors import ProbeError

__all__ = ["read_lines"]


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
