"""Protobuf's JSON, as MeshConfig is read: fields under two names, null for absent, quoted numbers.

A `Layer` is one place where a MeshConfig stands; several may lie over one another (a chart's
values over a profile), and each value is still told at its own place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_egress.contract.position import Position
from pytest_egress.contract.reader import Document
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.schema import Int, List, Map, Obj, Shape

__all__ = ["Layer", "LayeredReport", "camel", "canonical", "overlay"]


@dataclass(frozen=True, slots=True)
class Layer:
    """A MeshConfig as written, and where: below ``base`` in a document.

    ``pinned`` is the one place of a text that has no lines of its own in the file.
    """

    value: dict[str, Any]
    document: Document
    base: Path = ()
    pinned: Position | None = None


class LayeredReport(Report):
    """Collects the problems of layers; paths have the names of protobuf's JSON."""

    __slots__ = ("_layers",)

    def __init__(self, document: Document, layers: Sequence[Layer]) -> None:
        super().__init__(document, (), {})
        self._layers = layers
        self.locate = self.place  # type: ignore[assignment]

    def place(self, path: Path, *, key: bool = False) -> Position:
        """The place of a value in the uppermost layer that has it; else of its nearest parent."""
        best, depth = self._layers[-1], -1
        for layer in reversed(self._layers):
            known = len(_as_written(layer.value, path))
            if known > depth:
                best, depth = layer, known
        if best.pinned is not None:
            return best.pinned
        given = _as_written(best.value, path)
        missing = path[len(given) :][:1]
        return best.document.position((*best.base, *given, *missing), key=key)


def camel(name: str) -> str:
    """A field's name in protobuf's JSON: ``root_namespace`` is ``rootNamespace``."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def canonical(value: Any, shape: Shape) -> Any:
    """A value with the names of protobuf's JSON, without null, with numbers that are quoted."""
    if isinstance(shape, Obj) and isinstance(value, dict):
        result = {}
        for given, inner in value.items():
            name = given if given in shape.fields else camel(given)
            if inner is None or (name != given and name in value):
                continue
            known = shape.fields.get(name)
            result[name] = inner if known is None else canonical(inner, known)
        return result
    if isinstance(shape, List) and isinstance(value, list):
        return [canonical(item, shape.item) for item in value]
    if isinstance(shape, Map) and isinstance(value, dict):
        return {key: canonical(item, shape.value) for key, item in value.items()}
    if isinstance(shape, Int) and isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value


def overlay(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """``upper`` over ``lower``, as Helm merges values: mappings are merged, all else replaced."""
    result = dict(lower)
    for key, value in upper.items():
        below = result.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        result[key] = overlay(below, value) if both else value  # type: ignore[arg-type]
    return result


def _as_written(value: Any, path: Path) -> Path:
    """The start of ``path`` that a value has, with the names that it gives."""
    given: list[str | int] = []
    for step in path:
        if isinstance(value, dict):
            found = step if step in value else next((k for k in value if camel(k) == step), None)
            if found is None:
                break
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            found = step
        else:
            break
        given.append(found)
        value = value[found]
    return tuple(given)
