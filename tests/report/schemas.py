"""The schemas that reports are held to, and the part of JSON Schema that they need."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from pytest_egress.report.as_json import schema_text

__all__ = ["SchemaError", "validate_run", "validate_sarif"]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "number": (int, float),
    "null": type(None),
}
_SAID = {"$schema", "$defs", "title", "description"}  # of the schema itself
_FORMATS = {
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "uri": r"[a-z][a-z0-9+.-]*:[^\s\\<>\"{}|^`]+",
    "uri-reference": r"[^\s\\<>\"{}|^`]+",
}


class SchemaError(AssertionError):
    """What does not fit, and where."""


@cache
def _schema(name: str) -> Any:
    return json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def validate_sarif(log: Any) -> None:
    """Hold a log to the part of SARIF 2.1.0 that is written, each result to its run's rules.

    Raises:
        SchemaError: it does not fit.
    """
    schema = _schema("sarif.schema.json")
    _check(log, schema, schema, "$")
    for run in log["runs"]:
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        assert len(rules) == len(set(rules))
        for result in run["results"]:
            assert rules[result["ruleIndex"]] == result["ruleId"]
        prints = [json.dumps(it["partialFingerprints"]) for it in run["results"]]
        assert len(prints) == len(set(prints))


def validate_run(run: Any) -> None:
    """Hold a JSON report to the schema that the package publishes.

    Raises:
        SchemaError: it does not fit.
    """
    schema = json.loads(schema_text())
    _check(run, schema, schema, "$")


def _check(value: Any, schema: Any, root: Any, at: str) -> None:
    for word, wanted in schema.items():
        if word == "$ref":
            _check(value, root["$defs"][wanted.rpartition("/")[2]], root, at)
        elif value is None and word in {"properties", "required"}:
            continue  # its type says whether it may be
        elif word == "properties":
            for name in wanted.keys() & value.keys():
                _check(value[name], wanted[name], root, f"{at}.{name}")
        elif word == "propertyNames":
            for name in value:
                _check(name, wanted, root, f"{at}: name")
        elif word == "items":
            for i, item in enumerate(value):
                _check(item, wanted, root, f"{at}[{i}]")
        elif word == "additionalProperties":
            for name in value.keys() - schema.get("properties", {}).keys():
                if wanted is False:
                    raise SchemaError(f"{at}: unknown {name}")
                _check(value[name], wanted, root, f"{at}.{name}")
        elif word not in _SAID and not _fits(value, word, wanted):
            raise SchemaError(f"{at}: {value!r} is not {word} {wanted}")


def _fits(value: Any, word: str, wanted: Any) -> bool:
    match word:
        case "type":
            kinds = [wanted] if isinstance(wanted, str) else wanted
            fits = any(isinstance(value, _TYPES[kind]) for kind in kinds)
            return fits and ("boolean" in kinds or not isinstance(value, bool))
        case "const":
            return bool(value == wanted)
        case "enum":
            return bool(value in wanted)
        case "required":
            return bool(set(wanted) <= value.keys())
        case "pattern":
            return re.search(wanted, value) is not None
        case "format":
            return re.fullmatch(_FORMATS[wanted], value) is not None
        case "minimum":
            return value is None or bool(value >= wanted)
        case "maximum":
            return bool(value <= wanted)
        case "minLength" | "minItems" | "minProperties":
            return bool(len(value) >= wanted)
        case "uniqueItems":
            return len({json.dumps(item, sort_keys=True) for item in value}) == len(value)
    raise NotImplementedError(word)
