"""Checks plain values against the shape that a Kubernetes CRD asks for.

Types, unknown fields, required fields, enums and limits; rules that need to understand the value
live in the ``validate`` modules. Kubernetes counts ``null`` as a wrong value everywhere here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pytest_egress.contract.duration import MILLISECOND, parse_duration
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.suggest import did_you_mean, nearest

__all__ = [
    "WRONG",
    "Any_",
    "Bool",
    "Int",
    "List",
    "Map",
    "Number",
    "Obj",
    "Shape",
    "Span",
    "Text",
    "check",
]

#: The release whose CRDs the shapes are.
ISTIO = "1.31"
UINT32 = (1 << 32) - 1
_MOST_UNKNOWN = 20  # one by one; a mapping with more is something else altogether
_NO_FIELDS: Mapping[str, Shape] = MappingProxyType({})
_NO_HINTS: Mapping[str, str] = MappingProxyType({})


class _Wrong:
    """The mark of a value that the shape refuses and that no rule shall look at."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "WRONG"


WRONG: Any = _Wrong()


@dataclass(frozen=True, slots=True)
class Any_:  # noqa: N801 - Any is typing's
    """Whatever stands there."""


@dataclass(frozen=True, slots=True)
class Bool:
    """true or false."""

    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number in a range."""

    lowest: int = 0
    highest: int = UINT32
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a range, fractions included."""

    lowest: float
    highest: float
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A duration (``1m30s``); checked, it is nanoseconds.

    ``positive`` asks for 1ms at least (a CEL rule), ``whole`` for whole milliseconds too
    (istiod); ``off`` lets anything shorter than 1ms pass, which switches a timeout off.
    """

    positive: bool = False
    whole: bool = False
    off: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A string: at most ``longest`` characters, one of ``choices`` when there are any."""

    longest: int = 0
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class List:
    """A list of one kind of item; ``most`` 0 means no limit."""

    item: Shape
    least: int = 0
    most: int = 0


@dataclass(frozen=True, slots=True)
class Map:
    """Free keys, one kind of value."""

    value: Shape
    most: int = 0


@dataclass(frozen=True, slots=True)
class Obj:
    """Known fields; ``open`` lets unknown ones pass, ``hints`` explains some of them.

    Each group of ``alternatives`` are fields that exclude one another. ``example`` is shown to who
    writes something else than a mapping.
    """

    fields: Mapping[str, Shape] = field(default_factory=lambda: _NO_FIELDS)
    required: tuple[str, ...] = ()
    open: bool = False
    hints: Mapping[str, str] = field(default_factory=lambda: _NO_HINTS)
    alternatives: tuple[tuple[str, ...], ...] = ()
    example: str = ""


Shape = Any_ | Bool | Int | Number | Span | Text | List | Map | Obj


def check(value: Any, shape: Shape, path: Path, report: Report) -> Any:
    """The value without what the shape refuses; every refusal is reported.

    Refused fields of mappings are left out, refused items of lists become ``WRONG`` (so that
    indices stay right), a refused value is ``WRONG``. Whole floats become integers, as JSON
    carries them.
    """
    if isinstance(shape, Text):
        if not isinstance(value, str):
            return _wrong_type(value, "a text", path, report)
        if shape.choices and value not in shape.choices:
            return _wrong_choice(value, shape.choices, path, report)
        if shape.longest and len(value) > shape.longest:
            message = f"{len(value)} characters are too long: at most {shape.longest} are allowed"
            report.error("schema/too-long", message, path)
            return WRONG
        return value
    if isinstance(shape, Obj):
        return _object(value, shape, path, report)
    if isinstance(shape, List):
        return _list(value, shape, path, report)
    if isinstance(shape, Int):
        return _integer(value, shape, path, report)
    if isinstance(shape, Map):
        if not isinstance(value, dict):
            return _wrong_type(value, "a mapping", path, report)
        if shape.most and len(value) > shape.most:
            message = f"{len(value)} entries are too many: at most {shape.most} are allowed"
            report.error("schema/too-many", message, path)
            return WRONG
        checked = {k: check(v, shape.value, (*path, k), report) for k, v in value.items()}
        return {k: v for k, v in checked.items() if v is not WRONG}
    if isinstance(shape, Number):
        return _number(value, shape, path, report)
    if isinstance(shape, Span):
        return _span(value, shape, path, report)
    if isinstance(shape, Bool) and not isinstance(value, bool):
        if value is None and shape.nullable:
            return value
        return _wrong_type(value, "true or false", path, report)
    return value


def _object(value: Any, shape: Obj, path: Path, report: Report) -> Any:
    if not isinstance(value, dict):
        wanted = f"a mapping such as {shape.example}" if shape.example else "a mapping"
        return _wrong_type(value, wanted, path, report)
    known = shape.fields
    checked = {}
    unknown = 0
    for name, inner in value.items():
        expected = known.get(name)
        if expected is not None:
            good = check(inner, expected, (*path, name), report)
            if good is not WRONG:
                checked[name] = good
        elif not shape.open:
            unknown += 1
            if unknown <= _MOST_UNKNOWN:
                _unknown_field(name, value, shape, path, report)
    if unknown > _MOST_UNKNOWN:
        message = f"{unknown} unknown fields in {_field_name(path)}: is this the right kind?"
        report.error("schema/unknown-field", message, path, key=True)
    for name in shape.required:
        if name not in value:
            _missing_field(name, value, shape, path, report)
    for group in shape.alternatives:
        given = [name for name in group if name in value]
        if len(given) > 1:
            message = f"{' and '.join(given)} exclude one another in {_field_name(path)}: keep one"
            report.error("schema/alternatives", message, (*path, given[-1]), key=True)
    return checked


def _list(value: Any, shape: List, path: Path, report: Report) -> Any:
    if not isinstance(value, list):
        return _wrong_type(value, "a list", path, report)
    if len(value) < shape.least:
        report.error("schema/too-few", f"the list needs at least {shape.least} item", path)
        return WRONG
    if shape.most and len(value) > shape.most:
        message = f"{len(value)} items are too many: at most {shape.most} are allowed"
        report.error("schema/too-many", message, path)
        return WRONG
    return [check(item, shape.item, (*path, i), report) for i, item in enumerate(value)]


def _integer(value: Any, shape: Int, path: Path, report: Report) -> Any:
    if value is None and shape.nullable:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return _wrong_type(value, "a whole number", path, report)
    if not shape.lowest <= value <= shape.highest:
        message = f"{value} is out of range: {shape.lowest} to {shape.highest} is allowed"
        report.error("schema/range", message, path)
        return WRONG
    return value


def _number(value: Any, shape: Number, path: Path, report: Report) -> Any:
    if value is None and shape.nullable:
        return value
    if not isinstance(value, int | float) or isinstance(value, bool):
        return _wrong_type(value, "a number", path, report)
    if not shape.lowest <= value <= shape.highest:
        message = f"{value} is out of range: {shape.lowest:g} to {shape.highest:g} is allowed"
        report.error("schema/range", message, path)
        return WRONG
    return value


def _span(value: Any, shape: Span, path: Path, report: Report) -> Any:
    if not isinstance(value, str):
        return _wrong_type(value, "a duration (a text such as 30s)", path, report)
    found = parse_duration(value)
    if found is None:
        message = f'"{value}" is not a duration: write it as 30s, 1m or 250ms'
    elif shape.off and abs(found) < MILLISECOND:
        return found
    elif (shape.positive or shape.whole) and found < MILLISECOND:
        message = f'"{value}" is too short: at least 1ms is needed'
    elif shape.whole and found % MILLISECOND:
        message = f'"{value}" is finer than a millisecond: give whole milliseconds'
    else:
        return found
    report.error("schema/duration", message, path)
    return WRONG


def _wrong_type(value: Any, expected: str, path: Path, report: Report) -> Any:
    name = _field_name(path)
    if value is None:
        message = f"{name} is empty (null): give {expected}, or remove the field"
        report.error("schema/null", message, path)
        return WRONG
    message = f"{name} must be {expected}, not {_described(value)}"
    if expected == "a text" and isinstance(value, bool | int | float):
        message += ": put it in quotes"
        if isinstance(value, bool):
            message += " (Kubernetes reads yes, no, on, off, y and n as booleans too)"
    elif expected == "a list" and isinstance(value, str):
        message += f": write [{value}] or put '- ' before it"
    elif expected == "a list" and isinstance(value, dict):
        message += ": put '- ' before it"
    elif expected == "a whole number" and isinstance(value, str) and value.isdecimal():
        message += ": remove the quotes"
    elif isinstance(value, dict) and value and not any(value.values()):
        message += f": {{{', '.join(value)}}} looks like a placeholder, fill it in"
    report.error("schema/type", message, path)
    return WRONG


def _wrong_choice(value: str, choices: tuple[str, ...], path: Path, report: Report) -> Any:
    message = f'"{value}" is not a value of {_field_name(path)}: {did_you_mean(value, choices)}'
    report.error("schema/enum", message, path)
    return WRONG


def _unknown_field(name: str, value: Any, shape: Obj, path: Path, report: Report) -> None:
    hint = shape.hints.get(name)
    if hint is None:
        known = [field for field in shape.fields if field not in value]
        hint = did_you_mean(name, known)
        if path[:1] == ("spec",) and nearest(name, known) is None:
            hint = f"Istio {ISTIO} has no such field here, {hint}"
    message = f'unknown field "{name}" in {_field_name(path)}: {hint}'
    report.error("schema/unknown-field", message, (*path, name), key=True)


def _missing_field(name: str, value: Any, shape: Obj, path: Path, report: Report) -> None:
    # a misspelt required field has been reported as unknown: once is enough
    unknown = [other for other in value if other not in shape.fields]
    if any(nearest(other, shape.fields) == name for other in unknown):
        return
    message = f'{_field_name(path)} lacks the field "{name}", which is required'
    report.error("schema/required", message, (*path, name))


def _field_name(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".") or "the document"


def _described(value: Any) -> str:
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:37] + "..."
        return f'the text "{shown}"'
    return "a list" if isinstance(value, list) else "a mapping"
