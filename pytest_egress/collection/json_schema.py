"""The JSON Schema of expectation files, for editors: made of what their reader takes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_egress.collection.expectation_file import FIELDS, OPTIONS
from pytest_egress.contract.schema import Any_, Bool, Int, List, Map, Number, Obj, Shape, Text
from pytest_egress.probe import Options

__all__ = ["SCHEMA_FILE", "json_schema"]

#: The schema, as it is shipped.
SCHEMA_FILE = Path(__file__).with_name("egress.schema.json")

_TEXTS = {
    "oneOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ]
}
_MEANING = {
    "from": "The workload that asks. Without it the settings say who asks.",
    "namespace": "Its namespace.",
    "labels": "Its labels: Sidecars and DestinationRules select by them.",
    "contract": "Files, directories and globs of Istio YAML, relative to this file. Without it "
    "the contract is that of the run.",
    "policy": "The mesh's outboundTrafficPolicy.",
    "dns_proxy": "Whether Istio's agent resolves the workload's names (ISTIO_META_DNS_CAPTURE).",
    "reachable": "What the declared upstream must answer.",
    "blocked": "What the mesh must refuse.",
    "resolves": "Names that the workload's lookup must give an address for.",
    "url": "http, https, tls, tcp, grpc or grpcs.",
    "upstream": "Who must have answered: one of these host names or IP addresses.",
    "name": "A host name.",
    "to": "The exact set of IP addresses.",
}


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of one document of an expectation file.

    A document with a ``kind`` is one of Istio's resources, which the schema leaves alone.
    """
    options = {name: _shape(shape, name) for name, shape in OPTIONS.items()}
    probe = {"url": _shape(Text(), "url"), **options}
    reachable = {**probe, "upstream": {**_TEXTS, "description": _MEANING["upstream"]}}
    lookup = {
        "name": _shape(Text(), "name"),
        "to": {**_TEXTS, "description": _MEANING["to"]},
    }
    fields: dict[str, Any] = {name: _shape(shape, name) for name, shape in FIELDS.items()}
    fields["from"] = {
        **_object({name: _shape(it, name) for name, it in _from().items()}, "namespace"),
        "description": _MEANING["from"],
    }
    fields["contract"] = {**_TEXTS, "description": _MEANING["contract"]}
    for kind, properties, required in (
        ("reachable", reachable, "url"),
        ("blocked", probe, "url"),
        ("resolves", lookup, "name"),
    ):
        items = {"oneOf": [{"type": "string"}, _object(properties, required)]}
        fields[kind]["items"] = items
    expectations = {
        **_object(fields),
        "anyOf": [{"required": [kind]} for kind in ("reachable", "blocked", "resolves")],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Expectations of pytest-egress",
        "if": {"type": "object", "required": ["kind"]},
        "then": {"required": ["apiVersion"]},
        "else": expectations,
    }


def _from() -> Mapping[str, Shape]:
    shape = FIELDS["from"]
    assert isinstance(shape, Obj)
    return shape.fields


def _object(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    known: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    if required:
        known["required"] = list(required)
    return {**known, "additionalProperties": False}


def _shape(shape: Shape, name: str = "") -> dict[str, Any]:
    described = _MEANING.get(name) or _option(name)
    told = {"description": described} if described else {}
    if isinstance(shape, Text):
        return {
            "type": "string",
            **({"enum": list(shape.choices)} if shape.choices else {}),
            **told,
        }
    if isinstance(shape, Bool):
        return {"type": "boolean", **told}
    if isinstance(shape, Int):
        return {"type": "integer", "minimum": shape.lowest, "maximum": shape.highest, **told}
    if isinstance(shape, Number):
        return {"type": "number", "minimum": shape.lowest, "maximum": shape.highest, **told}
    if isinstance(shape, List):
        least = {"minItems": shape.least} if shape.least else {}
        return {"type": "array", "items": _shape(shape.item), **least, **told}
    if isinstance(shape, Map):
        return {"type": "object", "additionalProperties": _shape(shape.value), **told}
    assert isinstance(shape, Any_ | Obj)
    return told


def _option(name: str) -> str:
    """What a probe's option means, by its own documentation."""
    told = inspect.getdoc(Options) or ""
    found = re.search(rf"^    {name}: (.*(?:\n {{8}}.*)*)", told, re.MULTILINE)
    return re.sub(r"\s+", " ", found[1]).replace("``", "") if found and name else ""
