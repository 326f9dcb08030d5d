"""What JSON Schemas are put together from: each with what the value means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Schema", "having", "listed", "mapped", "or_null", "text", "texts", "truth", "whole"]

Schema = dict[str, Any]


def text(means: str, *choices: str) -> Schema:
    """A text, one of ``choices`` where there are any."""
    return {"type": "string", "description": means, **({"enum": [*choices]} if choices else {})}


def whole(means: str, least: int = 0) -> Schema:
    """A whole number."""
    return {"type": "integer", "minimum": least, "description": means}


def truth(means: str) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": means}


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    return {**schema, "type": [schema["type"], "null"]}


def listed(items: Schema, means: str) -> Schema:
    """A list of such items."""
    return {"type": "array", "items": items, "description": means}


def texts(means: str) -> Schema:
    """A list of texts."""
    return listed({"type": "string"}, means)


def mapped(means: str, values: Schema | None = None) -> Schema:
    """An object whose names are not known beforehand; of texts, unless said."""
    kind = values or {"type": "string"}
    return {"type": "object", "additionalProperties": kind, "description": means}


def having(fields: Mapping[str, Schema], means: str = "", *, optional: str = "") -> Schema:
    """An object with these fields; those of ``optional``, a text, may be absent."""
    left_out = optional.split()
    return {
        "type": "object",
        "properties": dict(fields),
        "required": [name for name in fields if name not in left_out],
        **({"description": means} if means else {}),
    }
