"""What istiod writes where there is no limit."""

from __future__ import annotations

__all__ = ["NO_LIMIT"]

NO_LIMIT = 2**32 - 1
