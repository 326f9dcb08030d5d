"""What changes for callers from one contract to another: in what is reachable, not in lines."""

from __future__ import annotations

from pytest_egress.drift.compare import Change, compare

__all__ = ["Change", "compare"]
