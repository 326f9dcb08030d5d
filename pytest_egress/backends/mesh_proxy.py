"""What a mesh asks of its proxies, the sidecar and those of gateways, wherever they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_egress.envoy import Program
from pytest_egress.evidence import Evidence, Way

if TYPE_CHECKING:
    from pytest_egress.backends.witness import Witness

__all__ = ["Led", "LedThrough", "Proxy"]


class Proxy(Protocol):
    """A proxy of ours, as far as a mesh speaks with it.

    Attributes:
        program: what it was given.
        directory: its own, on this machine.
        control_failure: empty once the positive control has passed through it, else why not.
        witness: receives its records.
    """

    program: Program
    directory: Path
    control_failure: str
    witness: Witness

    def configure(
        self, timeout: float, gateways: Mapping[tuple[str, int], Path] | None = None
    ) -> None:
        """Hand it its bootstrap."""
        ...

    def bootstrap(self, gateways: Mapping[tuple[str, int], Path] | None = None) -> dict[str, Any]:
        """The bootstrap; ``gateways`` tells where pods of gateways really listen."""
        ...

    def wait(self, timeout: float) -> None:
        """Return once the positive control has passed through."""
        ...

    def records(self, source: str) -> tuple[Evidence, ...]:
        """What it says of the connection from ``source``, once that is complete."""
        ...

    def settle(self) -> str:
        """Return once the records of all that has happened so far are here; empty, or why not."""
        ...

    def running(self) -> bool:
        """Whether it is alive."""
        ...

    def close(self) -> None:
        """Stop it and remove its directory. Twice is once."""
        ...


class Led(Protocol):
    """A gateway that a sidecar leads to."""

    @property
    def name(self) -> str:
        """Its name and namespace, as in the contract."""
        ...

    @property
    def program(self) -> Program:
        """What its proxy was given."""
        ...

    @property
    def proxy(self) -> Proxy:
        """Its proxy."""
        ...


class LedThrough(Protocol):
    """The gateways of a contract, as far as a mesh speaks with them."""

    def __iter__(self) -> Iterator[Led]:
        """Each of them."""
        ...

    @property
    def sockets(self) -> Mapping[tuple[str, int], Path]:
        """Where their pods really listen, by address and port; those missing listen there."""
        ...

    def wait(self, timeout: float) -> None:
        """Return once the positive control has passed through each."""
        ...

    def running(self) -> bool:
        """Whether all are alive."""
        ...

    def stale(self, generation: int) -> bool:
        """Whether a test that begins now needs others; as `SimulatedMesh.stale`."""
        ...

    def follow(self, evidence: Evidence) -> Way | None:
        """Where a record of the sidecar led to; None where that is no gateway."""
        ...

    def release(self) -> None:
        """Let go of them. Once."""
        ...
