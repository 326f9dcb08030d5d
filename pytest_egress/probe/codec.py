"""Probe values as JSON, and the checksummed frame in which they cross an exec stream.

A stream from a pod may be cut short with exit code 0 and may carry other output, so a result
counts only inside a frame whose digest fits.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar

from .errors import FrameError, ProbeOptionError
from .result import Headers

__all__ = ["FRAME_PREFIX", "decode_frame", "encode_frame", "from_json", "to_json"]

FRAME_PREFIX = "egress-probe"
_BYTES = "base64"
_PLAIN = frozenset({str, int, float, bool})
_Value = TypeVar("_Value")


class _Field(NamedTuple):
    """What a field of a dataclass may be, and what it is without a value."""

    kind: Any
    default: Any
    required: bool


def to_json(value: Any, *, lean: bool = False) -> Any:
    """Return a Target, Options, Attempt or a part of one as plain JSON values.

    Bytes become ``{"base64": ...}``. What is ``lean`` has no fields with their defaults.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, bytes):
        import base64

        return {_BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, tuple | list):
        return [to_json(item, lean=lean) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item, lean=lean) for key, item in value.items()}
    if not dataclasses.is_dataclass(value):
        return value
    found = {}
    kind: Any = type(value)
    for name, item in _fields(kind).items():
        content = getattr(value, name)
        if not (lean and content == item.default):
            found[name] = to_json(content, lean=lean)
    return found


def from_json(cls: type[_Value], data: Any) -> _Value:
    """Return the value that ``to_json`` wrote.

    Raises:
        ProbeOptionError: an unknown or missing field, or a value of another type.
    """
    return typing.cast("_Value", _read(cls, data, cls.__name__))


def encode_frame(data: Mapping[str, Any]) -> str:
    """Return one line: ``egress-probe <sha256 of the JSON> <JSON>``, in ASCII."""
    import json

    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return f"{FRAME_PREFIX} {_digest(text)} {text}\n"


def decode_frame(output: str) -> dict[str, Any]:
    """Return what the one frame in a program's output carries; other lines are ignored.

    Raises:
        FrameError: no frame, more than one, or one that was damaged or cut short.
    """
    import json

    lines = [line for line in output.splitlines() if line.startswith(FRAME_PREFIX + " ")]
    if len(lines) != 1:
        tail = output[-200:]
        raise FrameError(f"expected one {FRAME_PREFIX} frame, found {len(lines)}; output: {tail!r}")
    _, digest, text = [*lines[0].split(" ", 2), "", ""][:3]
    if digest != _digest(text):
        raise FrameError("the frame was damaged: its digest does not fit its content")
    data = json.loads(text)
    if not isinstance(data, dict):
        raise FrameError("the frame does not carry an object")
    return data


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def _read(kind: Any, data: Any, where: str) -> Any:
    if kind in _PLAIN and type(data) is kind:
        return data
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, data, where)
    origin, arguments = _parts(kind)
    if origin in {types.UnionType, typing.Union}:
        if data is None:
            return None
        return _read(next(item for item in arguments if item is not type(None)), data, where)
    if kind is bytes and isinstance(data, dict) and set(data) == {_BYTES}:
        return _bytes(data[_BYTES], where)
    if kind is Headers and isinstance(data, list):
        return Headers(_read(tuple[str, str], item, where) for item in data)
    if origin is tuple and isinstance(data, list):
        if arguments[-1] is Ellipsis:
            return tuple(_read(arguments[0], item, where) for item in data)
        if len(arguments) == len(data):
            return tuple(map(_read, arguments, data, [where] * len(data)))
    if origin is Mapping and isinstance(data, dict):
        return {key: _read(arguments[1], item, where) for key, item in data.items()}
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return data
    raise ProbeOptionError(f"{where}: expected {getattr(kind, '__name__', kind)}, got {data!r}")


@cache
def _parts(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """What a type is made from, ``tuple`` of ``tuple[str, int]``, and its arguments."""
    return typing.get_origin(kind), typing.get_args(kind)


def _read_dataclass(cls: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise ProbeOptionError(f"{where}: expected an object, got {data!r}")
    known = _fields(cls)
    for name in data:
        if name not in known:
            raise ProbeOptionError(f"{where}: unknown field {name!r}{_hint(name, known)}")
    for name, item in known.items():
        if item.required and name not in data:
            raise ProbeOptionError(f"{where}: missing field {name!r}")
    return cls(**{name: _read(known[name].kind, data[name], f"{where}.{name}") for name in data})


@cache
def _fields(cls: Any) -> dict[str, _Field]:
    """The fields of a dataclass; to find out what they may be takes longer than all the rest."""
    hints = typing.get_type_hints(cls)
    missing = dataclasses.MISSING
    return {
        item.name: _Field(
            hints[item.name],
            item.default,
            item.default is missing and item.default_factory is missing,
        )
        for item in dataclasses.fields(cls)
    }


def _bytes(text: Any, where: str) -> bytes:
    import base64

    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise ProbeOptionError(f"{where}: expected base64: {error}") from error


def _hint(name: str, known: Mapping[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
