"""A place with the endpoints that are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_egress.envoy.instances import Instance

__all__ = ["Locality", "locality_json"]


@dataclass(frozen=True, slots=True, eq=False)
class Locality:
    """``LocalityLbEndpoints`` with the instances that its endpoints were made from, in order."""

    json: dict[str, Any]
    members: list[Instance]


def locality_json(text: str) -> dict[str, str]:
    """A ``core.v3.Locality`` of ``region/zone/subzone``."""
    if not text:
        return {}
    parts = zip(("region", "zone", "sub_zone"), text.split("/"), strict=False)
    return {key: part for key, part in parts if part}
