"""What a YAML scalar means to Kubernetes and istiod.

Both read YAML with sigs.k8s.io/yaml (go-yaml v2) and hand it on as JSON, so that reader decides:
``NO`` is a boolean, ``0777`` is 511, ``22:22`` and dates are strings.
"""

from __future__ import annotations

import re

__all__ = ["STANDARD_TAGS", "Scalar", "ScalarError", "resolve_plain", "resolve_tagged"]

Scalar = str | int | float | bool | None

_PREFIX = "tag:yaml.org,2002:"
STANDARD_TAGS = frozenset(
    _PREFIX + name
    for name in ("binary", "bool", "float", "int", "map", "null", "seq", "str", "timestamp")
)
_WORDS: dict[str, Scalar] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON"], True)
_WORDS |= dict.fromkeys(["true", "True", "TRUE"], True)
_WORDS |= dict.fromkeys(["n", "N", "no", "No", "NO", "off", "Off", "OFF"], False)
_WORDS |= dict.fromkeys(["false", "False", "FALSE"], False)
_NUMBER_STARTS = frozenset("0123456789+-.")
_INTEGER = re.compile(
    r"[-+]?(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)"
    r"|(?P<dec>[1-9][0-9]*|0))"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_BASES = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_LOWEST, _HIGHEST = -(1 << 63), (1 << 64) - 1


class ScalarError(ValueError):
    """A scalar that cannot be had as the value its tag or notation asks for."""


def resolve_plain(text: str) -> Scalar:
    """The value of a plain (unquoted, untagged) scalar.

    Raises:
        ScalarError: ``.inf`` and ``.nan``, which JSON cannot say.
    """
    if text in _WORDS:
        return _WORDS[text]
    return _number(text) if text[0] in _NUMBER_STARTS else text


def resolve_tagged(tag: str, text: str) -> Scalar:
    """The value of a scalar with one of ``STANDARD_TAGS``.

    Raises:
        ScalarError: the text is not of that type.
    """
    name = tag.removeprefix(_PREFIX)
    if name in {"str", "timestamp"}:
        return text
    if name == "binary":
        return _binary(text)
    value = resolve_plain(text)
    if name == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wanted = {"bool": bool, "float": float, "int": int, "null": type(None)}.get(name)
    if wanted is None or type(value) is not wanted:
        raise ScalarError(f"{text!r} cannot be read as !!{name}")
    return value


def _number(text: str) -> Scalar:
    digits = text.replace("_", "") if text[0] != "." else text
    found = _INTEGER.fullmatch(digits)
    if found is not None:
        kind = str(found.lastgroup)
        value = int(found[kind], _BASES[kind])
        value = -value if digits[0] == "-" else value
        if _LOWEST <= value <= _HIGHEST:
            return value
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        # Go's parser refuses what does not fit, and the text stays a string
        return text if number in {float("inf"), float("-inf")} else number
    if _NOT_FINITE.fullmatch(text):
        raise ScalarError(f"{text} is not a number that JSON can say")
    return text


def _binary(text: str) -> str:
    import base64

    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except ValueError as error:  # no base64, not even ASCII, or no UTF-8 in it
        raise ScalarError(f"!!binary value is not base64 of a text: {error}") from error
