"""Who uses a cluster on this machine: processes share it, the last one may remove it.

Two locks per cluster, both let go of by the kernel when a process dies in whichever way: one for
making and removing, held for that time alone, and one that every user holds.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pytest_egress.backends.cluster.progress import Say, step

__all__ = ["Lease", "leases"]

_RECORD = ".json"


def _directory() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    path = Path(tempfile.gettempdir()) / f"pytest-egress-kind-{user}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def leases() -> list[Lease]:
    """The leases of clusters that were made by runs of this user."""
    return [Lease(path.name.removesuffix(_RECORD)) for path in _directory().glob(f"*{_RECORD}")]


class Lease:
    """The use of one cluster.

    Args:
        name: the cluster's.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        directory = _directory()
        self._record = directory / f"{name}{_RECORD}"
        self._making = directory / f"{name}.making"
        self._using = directory / f"{name}.using"
        self._held: IO[str] | None = None

    @contextmanager
    def making(self, say: Say) -> Iterator[None]:
        """Be the only one that makes or removes the cluster."""
        with self._making.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with step(f"another process works on the cluster {self.name}", say):
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def hold(self) -> None:
        """Be one of its users until `release`."""
        if self._held is None:
            self._held = self._using.open("w")
            fcntl.flock(self._held, fcntl.LOCK_SH)

    def release(self) -> bool:
        """Be none of its users; returns whether there is no other one. Within `making`."""
        if self._held is not None:
            self._held.close()
            self._held = None
        return not self.in_use()

    def in_use(self) -> bool:
        """Whether anybody holds it."""
        with self._using.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @property
    def record(self) -> dict[str, Any]:
        """What was noted of the cluster when it was made; empty: no run has made it."""
        try:
            noted = json.loads(self._record.read_text())
        except (OSError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}

    def note(self, facts: dict[str, Any]) -> None:
        """Note that a run makes the cluster."""
        self._record.write_text(json.dumps(facts))

    def forget(self) -> None:
        """Note that it is gone."""
        self._record.unlink(missing_ok=True)
