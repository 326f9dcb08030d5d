"""The connections that probes and dials have made, which are no command's."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["OwnConnections"]

_MOST = 20_000  # the last of them are known


class OwnConnections:
    """Sources of our own connections, ``ip:port``."""

    def __init__(self) -> None:
        self._sources: OrderedDict[str, None] = OrderedDict()

    def claim(self, source: str) -> None:
        """Take note of a connection that we have made."""
        self._sources[source] = None
        while len(self._sources) > _MOST:
            self._sources.popitem(last=False)

    def __contains__(self, source: str) -> bool:
        return source in self._sources
