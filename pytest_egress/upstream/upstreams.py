"""The handle a test scripts the outside with; what it scripts ends with it."""

from __future__ import annotations

from types import TracebackType

from pytest_egress.errors import ProbeError
from pytest_egress.upstream.outside import Outside
from pytest_egress.upstream.record import Request
from pytest_egress.upstream.script import Upstream

__all__ = ["Upstreams"]


class Upstreams:
    """The external hosts, by name: ``upstreams["api.weather.com"].respond(503)``.

    A name may be a wildcard (``*.weather.com``) or an IP address; ``upstreams["db.example", 5432]``
    is one port of it.

    Args:
        outside: the simulated outside; None when the real one is asked, which nobody can script.
    """

    def __init__(self, outside: Outside | None) -> None:
        self._outside = outside

    def __getitem__(self, key: str | tuple[str, int]) -> Upstream:
        if self._outside is None:
            raise ProbeError(f"{key!r} cannot be scripted: --egress-live asks the real outside")
        name, port = key if isinstance(key, tuple) else (key, None)
        return self._outside.host(name, port)

    @property
    def requests(self) -> list[Request]:
        """Every HTTP request that reached the outside since the last reset."""
        return [] if self._outside is None else self._outside.requests

    def reset(self) -> None:
        """Drop every script and every recorded request."""
        if self._outside is not None:
            self._outside.reset()

    def __enter__(self) -> Upstreams:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.reset()
