"""Comparing a compiled program with what istiod pushed, resource by resource, as whole JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_egress.envoy import Program

__all__ = ["LEFT_OUT", "differences", "normalize"]

# All that is not compared, with the reason. The order of clusters is compared.
LEFT_OUT = {
    "istio.metadata_exchange, istio.alpn, istio.stats": "extensions of Istio's own Envoy build;"
    " stock Envoy refuses them and none changes where a connection goes",
    "access_log": "the program that runs the proxy sets its own access log as evidence",
    "tracing": "istiod writes a block without provider, which traces nothing",
    "filter_metadata.istio": "telemetry labels that no stock filter reads",
    "order of listeners, routes and endpoints": "istiod takes them from Go maps, in no fixed order",
}

_KEYS = {"access_log", "tracing"}


def differences(program: Program, istiod: Mapping[str, Any]) -> list[str]:
    """Each difference as one line; empty where the two agree."""
    found: list[str] = []
    for kind, key in (
        ("listeners", "name"),
        ("routes", "name"),
        ("clusters", "name"),
        ("endpoints", "cluster_name"),
    ):
        ours = {it[key]: normalize(it) for it in getattr(program, kind)}
        theirs = {it[key]: normalize(it) for it in istiod.get(kind, ())}
        found += (f"{kind}: {name!r} only in ours" for name in sorted(ours.keys() - theirs.keys()))
        found += (
            f"{kind}: {name!r} only in istiod" for name in sorted(theirs.keys() - ours.keys())
        )
        for name in sorted(ours.keys() & theirs.keys()):
            found += (f"{kind}[{name}]{line}" for line in _diff(ours[name], theirs[name]))
    order = [it["name"] for it in program.clusters], [it["name"] for it in istiod["clusters"]]
    if not found and order[0] != order[1]:
        found.append(f"clusters: order {order[0]} != {order[1]}")
    return found


def normalize(value: Any) -> Any:
    """The value without what `LEFT_OUT` names."""
    if isinstance(value, list):
        return [normalize(item) for item in value if not _is_istio_extension(item)]
    if not isinstance(value, dict):
        return value
    kept = {key: normalize(item) for key, item in value.items() if key not in _KEYS}
    if "filter_metadata" in kept:
        kept["filter_metadata"].pop("istio", None)
        if not kept["filter_metadata"]:
            del kept["filter_metadata"]
    if kept.get("metadata") == {}:
        del kept["metadata"]
    if kept.get("filters") == [] and "filters" in value:
        del kept["filters"]  # a cluster whose only filter was Istio's
    return kept


def _is_istio_extension(item: Any) -> bool:
    return isinstance(item, dict) and str(item.get("name", "")).startswith("istio.")


def _diff(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from _diff(ours.get(key, ...), theirs.get(key, ...), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from _diff(*pair, f"{path}[{index}]")
    elif ours != theirs:
        yield f"{path}: ours {_text(ours)} istiod {_text(theirs)}"


def _text(value: Any) -> str:
    return "absent" if value is ... else json.dumps(value)
