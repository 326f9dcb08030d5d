"""What every resource of a contract has: metadata, and the positions of its values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pytest_egress.contract.position import Position

__all__ = ["Locate", "Metadata", "Resource"]

Locate = Callable[[tuple["str | int", ...]], Position]

_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Metadata:
    """Kubernetes object metadata, as far as it changes outbound traffic.

    ``creation_timestamp`` is seconds since the epoch: Istio settles conflicts by age. An object
    without one is yet to be created, and so younger than all others (infinity).
    """

    name: str
    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    annotations: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    creation_timestamp: float = math.inf


@dataclass(frozen=True, slots=True)
class Resource:
    """What every Istio resource has: metadata and positions.

    ``manifest`` is the whole object as it was read, for a cluster; empty when it was not read.
    """

    metadata: Metadata
    locate: Locate = field(compare=False, repr=False, kw_only=True)
    manifest: Mapping[str, Any] = field(
        default_factory=lambda: _EMPTY, compare=False, repr=False, kw_only=True
    )

    def at(self, *path: str | int) -> Position:
        """The position of the value at ``path``; of the nearest parent where it is absent."""
        return self.locate(path)
