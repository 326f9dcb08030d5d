"""The lines that both sides of the agent's stream speak: one JSON object each."""

from __future__ import annotations

import base64
import json
from typing import Any

__all__ = ["PROTOCOL", "LineError", "Lines", "decode", "encode", "pack", "unpack"]

PROTOCOL = 1
_LONGEST = 1 << 28  # bytes; a peer that never ends its line is no peer
_encode = json.JSONEncoder(separators=(",", ":")).encode


class LineError(ValueError):
    """What came is not a line of this protocol."""


def encode(message: dict[str, Any]) -> bytes:
    """Return ``message`` as one line."""
    return _encode(message).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return the message of a line.

    Raises:
        LineError: it is not a JSON object.
    """
    try:
        message = json.loads(line.decode())
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise LineError(f"expected one JSON object a line, got {line[:200]!r}")
    return message


class Lines:
    """Cuts what comes, in pieces of any size, into lines."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes, without their ends.

        Raises:
            LineError: a line does not end.
        """
        *whole, rest = data.split(b"\n")
        lines = []
        for part in whole:
            lines.append(b"".join([*self._parts, part]))
            self._parts.clear()
            self._size = 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
            if self._size > _LONGEST:
                raise LineError("a line that does not end")
        return lines


def pack(data: bytes) -> str:
    """Return bytes as text for a message."""
    return base64.b64encode(data).decode("ascii")


def unpack(text: str) -> bytes:
    """Return the bytes that `pack` was given."""
    return base64.b64decode(text)
