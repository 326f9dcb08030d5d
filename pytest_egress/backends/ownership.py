"""Who owns what a run has made outside of its own processes, and what of it a dead run has left.

Containers, networks, namespaces and clusters carry `labels`: the process they belong to, and
whether they are to be kept. From these everybody can tell what is in use and what is not.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["HOST", "KEEP", "Leftover", "Owner", "abandoned", "labels"]

#: Labels of all that a run makes; what has the first one is ours.
HOST, PID, STARTED, KEEP = (f"pytest-egress/{name}" for name in ("host", "pid", "started", "keep"))


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that something belongs to.

    Attributes:
        host: names a machine, and within it a boot and a PID namespace.
        started: when the process did, in a form that only this module reads: numbers of processes
            are used again.
    """

    host: str
    pid: int
    started: str

    @classmethod
    def of(cls, found: Mapping[str, str]) -> Owner | None:
        """The owner by labels, None where these are not ours."""
        if HOST not in found or not found.get(PID, "").isdecimal():
            return None
        return cls(found[HOST], int(found[PID]), found.get(STARTED, ""))

    def alive(self) -> bool | None:
        """Whether the process still runs; None where that cannot be known from this machine."""
        if self.host != _host():
            return None
        return _started(self.pid) == self.started

    def __str__(self) -> str:
        return f"process {self.pid} of {self.host.rpartition('-')[0]}"


def labels(*, keep: bool = False) -> dict[str, str]:
    """The labels for what this process makes: names and values are good for Docker and Kubernetes.

    Args:
        keep: it shall outlive the run.
    """
    pid = os.getpid()
    mine = {HOST: _host(), PID: str(pid), STARTED: _started(pid)}
    return mine | {KEEP: "true"} if keep else mine


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that a run has made and that is there.

    Attributes:
        kind: ``container``, ``network``, ``namespace`` ...
        name: its name, as its own tools show it.
        owner: None where it is known to belong to nobody.
        kept: whether it was to outlive its run.
        remove: removes it; raises `BackendError` where it cannot. Twice is once.
    """

    kind: str
    name: str
    owner: Owner | None
    kept: bool
    remove: Callable[[], object]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def abandoned(found: Iterable[Leftover]) -> list[Leftover]:
    """Those of dead runs of this machine that are not kept: what the next run may remove."""
    return [it for it in found if not it.kept and (it.owner is None or it.owner.alive() is False)]


@cache
def _host() -> str:
    """The machine's name, and a digest of what tells its boots and PID namespaces apart."""
    told = ""
    with suppress(OSError):  # not Linux
        told = Path("/proc/sys/kernel/random/boot_id").read_text()
        told += str(Path("/proc/self/ns/pid").readlink())
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname())[:40].strip("-.")
    return f"{name or 'host'}-{digest}"


def _started(pid: int) -> str:
    """When a process started; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
    else:
        fields = stat.rpartition(")")[2].split()
        return "" if fields[0] in {"Z", "X"} else fields[19]
    told = subprocess.run(  # noqa: S603  constant program
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return re.sub(r"[^A-Za-z0-9]+", "-", told).strip("-")
