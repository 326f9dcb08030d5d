"""The page of the JSON formats: the fields of every schema that the package publishes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pytest_egress.cli.json_schemas import SCHEMAS

__all__ = ["formats_page", "formats_table"]

_HEAD = """# JSON formats

What programs read and write, field by field. This page is written by `{command}` from the
schemas themselves; `pytest-egress schema NAME` prints one as JSON Schema (draft 2020-12).

A name of fields within fields has dots, `[]` is each item of a list, `*` each name of an object.
`schema` grows when a field changes its meaning or goes away, not when one is added: leave fields
alone that you do not know.

SARIF (`--egress-sarif`, `lint --format sarif`) is version
[2.1.0](https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html). `--egress-code-quality`
and `--format gitlab` write GitLab's Code Quality reports.
"""
_TYPES = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "object": "object",
    "string": "text",
}
_SHORT = 100  # characters of a schema that may be told twice
Row = tuple[str, str, str]


def formats_page(command: str, table: Any) -> str:
    """The page docs/formats.md."""
    parts = [_HEAD.format(command=command)]
    for name, published in SCHEMAS.items():
        schema = published.make()
        rows = _rows(schema, schema, "[]" if schema.get("type") == "array" else "", {})
        parts.append(f"\n## {name}\n\n{_sentence(published.of)}\n\n")
        parts.append(table(("field", "is", "means"), rows))
    return "".join(parts)


def formats_table(table: Any) -> str:
    """Each schema by name, with a link to its fields."""
    rows = ((f"[`{name}`](formats.md#{name})", it.of) for name, it in SCHEMAS.items())
    return str(table(("`pytest-egress schema`", "is of"), rows))


def _sentence(of: str) -> str:
    return f"{of[0].upper()}{of[1:]}."


def _rows(schema: Any, root: Any, at: str, told: dict[str, str]) -> Iterator[Row]:
    """A row for each field that is in a value, fields within fields included.

    ``told`` has where the fields of an object stand already: they are not repeated.
    """
    schema = _resolved(schema, root)
    schema = schema.get("else", schema)  # of expectation files; the rest is Istio's
    for choice in schema.get("oneOf", ()):
        if choice.get("type") == "object":
            yield from _rows(choice, root, at, told)
    if schema.get("type") == "array":
        yield from _rows(schema["items"], root, at, told)
        return
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        path = f"{at}.{name}" if at else name
        value = _resolved(field, root)
        inner, mark = _inner(value, root)
        means = field.get("description") or value.get("description", "")
        left_out = "" if name in needed else "optional: "
        same = json.dumps(inner.get("properties"))
        place = told.setdefault(same, f"{path}{mark}") if len(same) > _SHORT else ""
        if place and place != f"{path}{mark}":
            yield f"`{path}`", f"{left_out}{_kind(value, root)}", f"{means}; as `{place}`"
            continue
        yield f"`{path}`", f"{left_out}{_kind(value, root)}", means
        yield from _rows(inner, root, f"{path}{mark}", told)


def _inner(schema: Any, root: Any) -> tuple[Any, str]:
    """What a field is made of, and how that is written behind its name."""
    if schema.get("type") == "array":
        return _resolved(schema["items"], root), "[]"
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        return _resolved(values, root), ".*"
    return schema, ""


def _resolved(schema: Any, root: Any) -> Any:
    reference = schema.get("$ref")
    return root["$defs"][reference.rpartition("/")[2]] if reference else schema


def _kind(schema: Any, root: Any) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{it}`" for it in schema["enum"])
    if "oneOf" in schema:
        return " or ".join(_kind(it, root) for it in schema["oneOf"])
    kinds = schema.get("type", "anything")
    if isinstance(kinds, str) and kinds != "array":
        return _TYPES.get(kinds, kinds)
    if isinstance(kinds, list):
        return " or ".join(_TYPES[it] for it in kinds)
    return f"list of {_plural(_kind(_resolved(schema['items'], root), root))}"


def _plural(kind: str) -> str:
    known = {"text": "texts", "object": "objects", "text or object": "texts or objects"}
    return known.get(kind, kind)
