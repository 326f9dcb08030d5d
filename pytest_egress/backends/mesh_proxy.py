"""What a mesh asks of its proxies, the sidecar and those of gateways, wherever they run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_egress.envoy import Program
from pytest_egress.evidence import Evidence

if TYPE_CHECKING:
    from pytest_egress.backends.witness import Witness

__all__ = ["Proxy"]


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
