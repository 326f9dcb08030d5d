"""Single calls, decided over a compiled program, against istiod's own simulation of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_egress.decide import Call, Decider
from pytest_egress.envoy import Program

__all__ = ["answers_of", "call_differences"]

_Json = Mapping[str, Any]
_FIELDS = (
    "verdict",
    "listener",
    "filter_chain",
    "route_config",
    "virtual_host",
    "route",
    "cluster",
    "clusters",
    "direct_response",
)


def answers_of(program: Program, calls: Iterable[_Json]) -> list[dict[str, Any]]:
    """What each call meets, in the words of recorded answers."""
    decider = Decider(program)
    return [_simulated(decider.decide(Call.from_json(call)).to_json()) for call in calls]


def _simulated(told: dict[str, Any]) -> dict[str, Any]:
    """As istiod's simulation says it, which knows no split of TCP."""
    if "clusters" in told and "route_config" not in told:
        return {**{key: told[key] for key in told if key != "clusters"}, "verdict": "error"}
    return told


def call_differences(
    program: Program, calls: Iterable[_Json], answers: Iterable[_Json]
) -> list[str]:
    """Where the calls meet other things than in the oracle's own simulation of them."""
    found = []
    asked = list(calls)
    for call, told, met in zip(asked, answers_of(program, asked), answers, strict=True):
        istiods = {name: met[name] for name in _FIELDS if met.get(name)}
        istiods |= {"clusters": met["weighted_clusters"]} if met.get("weighted_clusters") else {}
        if told != istiods:
            found.append(f"call {json.dumps(call)}: ours {told} istiod {istiods}")
    return found
