"""The upstreams of an outside as a test sees them: by their host, until the test ends."""

from __future__ import annotations

from types import TracebackType
from typing import final

from pytest_egress.errors import CapabilityError
from pytest_egress.received import Request
from pytest_egress.upstream.outside import Outside
from pytest_egress.upstream.record import Connection
from pytest_egress.upstream.rules import Scope
from pytest_egress.upstream.script import Upstream

__all__ = ["Upstreams"]


@final
class Upstreams:
    """Upstreams by host: ``upstreams["api.weather.com"].respond(503)``.

    As a context manager it resets the outside at its end: scripts and records are dropped.

    Args:
        outside: what they belong to; None when the real outside is asked (``--egress-live``):
            then nothing can be scripted, and using it raises CapabilityError.
        backend: whose they are, for that error.
    """

    def __init__(self, outside: Outside | None, backend: str = "local") -> None:
        self._backend = backend
        self._outside = outside
        self._loan = None if outside is None else outside.lend()

    @property
    def outside(self) -> Outside:
        """The outside that they belong to.

        Raises:
            CapabilityError: the real outside is asked.
        """
        if self._outside is None:
            raise CapabilityError(
                self._backend,
                "simulate",
                "there are no upstreams to script, the real outside is asked (--egress-live)",
            )
        return self._outside

    def __enter__(self) -> Upstreams:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._outside is not None:
            self._outside.reset()

    def __repr__(self) -> str:
        return f"<Upstreams {'real' if self._outside is None else 'simulated'}>"

    def __getitem__(self, key: str | tuple[str, int]) -> Upstream:
        """Return the upstream ``"host"``, or one port of it: ``"host", port``; see `Outside.host`.

        Raises:
            ValueError: the host or port is not one; the message says what was expected.
            CapabilityError: the real outside is asked.
        """
        host, port = key if isinstance(key, tuple) else (key, None)
        return Upstream(self._loan or self.outside.lend(), Scope.of(host, port))

    def restore(self) -> None:
        """Take back what was told through this: what held before holds again."""
        if self._loan is not None:
            self._loan.take_back()

    @property
    def requests(self) -> list[Request]:
        """Every HTTP request that arrived outside, the first first."""
        return self.outside.requests

    @property
    def connections(self) -> list[Connection]:
        """Every connection that was accepted outside, the first first."""
        return self.outside.connections
