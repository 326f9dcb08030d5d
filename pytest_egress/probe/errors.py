"""The errors that a probe raises; network failures are never raised, they are recorded."""

from __future__ import annotations

__all__ = ["FrameError", "ProbeOptionError"]


class ProbeOptionError(ValueError):
    """A target or an option asks for something that no probe can do."""


class FrameError(ValueError):
    """A probe's output has no frame, or one that was damaged on its way."""
