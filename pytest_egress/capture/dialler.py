"""What a capture asks of the mesh that it leads to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pytest_egress.evidence import Evidence, UpstreamProof, Way
from pytest_egress.probe import DnsAnswer

__all__ = ["Dialler"]


class Dialler(Protocol):
    """What a capture asks of the mesh; see `pytest_egress.backends.mesh.LocalMesh`."""

    def dial(self, address: str, port: int, timeout: float) -> Any:
        """Open a captured connection; its ``source`` ties the records to it."""
        ...

    def lookup(self, name: str, family: str = "A", timeout: float = 5.0) -> DnsAnswer:
        """Resolve a name as the pod's application would."""
        ...

    def records(self, source: str) -> tuple[Evidence, ...]:
        """The records that have come since they were asked for."""
        ...

    def wait_for_records(
        self, source: str, timeout: float, known: tuple[Evidence, ...] = ()
    ) -> tuple[Evidence, ...]:
        """The records of a connection that has ended, less those that are known."""
        ...

    def settle(self) -> str:
        """Wait until the records of all that has happened are there; empty, or why not."""
        ...

    def follow(self, evidence: Evidence) -> Way:
        """Where a record of the sidecar led to, and what that proxy says of it."""
        ...

    def strangers(self) -> Mapping[str, str]:
        """Sources and destinations of connections that the kernel brought to the proxy."""
        ...

    def accepted(self, evidence: Evidence) -> UpstreamProof | None:
        """What the outside knows of the connection behind a record."""
        ...

    @property
    def live(self) -> bool:
        """Whether the real outside is asked."""
        ...

    @property
    def directory(self) -> Path:
        """A directory of this mesh's own, which does not outlive the run."""
        ...

    @property
    def ca_file(self) -> str | None:
        """The CA of the simulated outside."""
        ...
