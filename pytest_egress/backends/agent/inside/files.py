"""Files that probes and commands need: they are sent, and stand in memory under a path."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from pytest_egress.backends.agent.inside.wire import unpack

__all__ = ["Files"]


class Files:
    """Keeps what was sent for as long as the agent lives; nothing is written to a disk on Linux.

    A pod's file system may be read-only, and a killed agent would leave its files behind.
    """

    def add(self, request: dict[str, Any]) -> dict[str, Any]:
        """Keep ``data`` and return its path, which every process of this user can read."""
        data = unpack(request["data"])
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("egress")
            path = f"/proc/{os.getpid()}/fd/{descriptor}"
        else:
            descriptor, path = tempfile.mkstemp(prefix="egress-agent-")
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        return {"path": path}
