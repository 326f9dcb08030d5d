"""Comparing a compiled program with what istiod pushed, resource by resource, as whole JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pytest_egress.envoy import Program

__all__ = [
    "ALLOWED",
    "UNORDERED",
    "Allowance",
    "compare",
    "configuration_differences",
    "differences",
    "normalize",
    "normalized",
]


@dataclass(frozen=True, slots=True)
class Allowance:
    """A piece of istiod's answer that ours lacks, with the reason.

    Attributes:
        name: what it is.
        reason: why it may be absent.
        applies: told the key that holds the object or list, the piece's own key or index in
            it, and the piece.
    """

    name: str
    reason: str
    applies: Callable[[str, str | int, Any], bool]


def _is_extension(_parent: str, key: str | int, value: Any) -> bool:
    named = isinstance(key, int) and isinstance(value, dict)
    return named and str(value.get("name", "")).startswith("istio.")


#: All that istiod has and ours may lack. What ours has and istiod lacks is always a difference.
ALLOWED = (
    Allowance(
        "Istio's own extensions",
        "`istio.metadata_exchange`, `istio.alpn` and `istio.stats` are parts of Istio's own Envoy"
        " build; stock Envoy refuses them and none changes where a connection goes",
        _is_extension,
    ),
    Allowance(
        "access logs",
        "the program that runs the proxy sets its own access log as evidence",
        lambda _, key, __: key == "access_log",
    ),
    Allowance(
        "tracing",
        "istiod writes a block without provider, which traces nothing",
        lambda _, key, __: key == "tracing",
    ),
    Allowance(
        "`istio` metadata",
        "telemetry labels that no stock filter reads",
        lambda parent, key, _: (parent, key) == ("filter_metadata", "istio"),
    ),
)
#: Not a difference either: istiod takes these from Go maps, in no fixed order.
UNORDERED = ("listeners", "routes", "endpoints")

_Configuration: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]
_KINDS = {"listeners": "name", "routes": "name", "clusters": "name", "endpoints": "cluster_name"}


def differences(program: Program, istiod: Mapping[str, Any]) -> list[str]:
    """Each difference as one line; empty where the two agree."""
    return compare(program, istiod)[0]


def compare(program: Program, istiod: Mapping[str, Any]) -> tuple[list[str], Counter[str]]:
    """The differences, and how often each allowance was made use of."""
    used: Counter[str] = Counter()
    ours = {kind: list(getattr(program, kind)) for kind in _KINDS}
    theirs = {kind: [normalize(it, used) for it in istiod.get(kind, ())] for kind in _KINDS}
    return configuration_differences(ours, theirs), used


def configuration_differences(ours: _Configuration, theirs: _Configuration) -> list[str]:
    """The differences of two configurations, each as one line that begins with its place."""
    found: list[str] = []
    for kind, key in _KINDS.items():
        one, other = ({it[key]: it for it in side[kind]} for side in (ours, theirs))
        found += (f"{kind}[{name}]: only in ours" for name in sorted(one.keys() - other.keys()))
        found += (f"{kind}[{name}]: only in istiod" for name in sorted(other.keys() - one.keys()))
        for name in sorted(one.keys() & other.keys()):
            found += (f"{kind}[{name}]{line}" for line in _diff(one[name], other[name]))
        names = [[it[key] for it in side[kind]] for side in (ours, theirs)]
        if not found and names[0] != names[1]:
            if sorted(names[0]) != sorted(names[1]):
                found.append(f"{kind}: one of a name more than once {names[0]} != {names[1]}")
            elif kind not in UNORDERED:
                found.append(f"{kind}: order {names[0]} != {names[1]}")
    return found


def normalized(istiod: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Take what `ALLOWED` names out of istiod's configuration."""
    return {kind: [normalize(it) for it in istiod.get(kind, ())] for kind in _KINDS}


def normalize(value: Any, used: Counter[str] | None = None, parent: str = "") -> Any:
    """Take what `ALLOWED` names out of istiod's value; ``used`` counts.

    An object or a list that becomes empty by that is left out as well.
    """
    used = Counter() if used is None else used
    if isinstance(value, dict):
        pieces = [(key, item, key) for key, item in value.items()]
    elif isinstance(value, list):
        pieces = [(index, item, parent) for index, item in enumerate(value)]
    else:
        return value
    kept = []
    for key, item, inner in pieces:
        if _allowed(parent, key, item, used):
            continue
        cleaned = normalize(item, used, inner)
        if cleaned not in ({}, []) or item in ({}, []):
            kept.append((key, cleaned))
    return dict(kept) if isinstance(value, dict) else [item for _, item in kept]


def _allowed(parent: str, key: str | int, value: Any, used: Counter[str]) -> bool:
    for allowance in ALLOWED:
        if allowance.applies(parent, key, value):
            used[allowance.name] += 1
            return True
    return False


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
