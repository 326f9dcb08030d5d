"""The client certificates that upstreams expect, because a contract or a probe presents them."""

from __future__ import annotations

import threading

from pytest_egress.upstream.names import patterns

__all__ = ["Clients"]


class Clients:
    """Who presents which certificate where.

    A real upstream was told of its clients' CA. A simulated one trusts the very certificates that
    it is going to see, whoever issued them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts: set[str] = set()
        self._known: dict[str, None] = {}

    def expect(self, host: str, certificates: str) -> None:
        """Let ``host`` (name, wildcard or address) ask for, and trust, these (PEM)."""
        with self._lock:
            self._hosts.add(host)
            self._known[certificates] = None

    def expected(self, names: tuple[str, ...]) -> bool:
        """Whether something known by ``names`` is to ask for a certificate."""
        return bool(self._hosts) and any(
            not self._hosts.isdisjoint(patterns(name)) for name in names
        )

    @property
    def known(self) -> str:
        """Every certificate (PEM) that is expected anywhere."""
        with self._lock:
            return "".join(self._known)

    def clear(self) -> None:
        """Expect none."""
        with self._lock:
            self._hosts.clear()
            self._known.clear()
