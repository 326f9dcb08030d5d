"""Every script that is in force, and which of them holds for a connection or a request."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pytest_egress.upstream.conduct import Certificate, Conduct, Effect, Grpc, Lookup, Respond
from pytest_egress.upstream.names import is_address, patterns

__all__ = ["Rules", "Scope", "Script", "connects"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a script is about: a host (name, wildcard, address), perhaps one port or address."""

    host: str
    port: int | None = None
    address: str | None = None

    def covers(self, names: Iterable[str], address: str | None, port: int | None) -> bool:
        """Whether something known by any of ``names``, at ``address`` and ``port``, falls in it."""
        if self.port not in {None, port} or self.address not in {None, address}:
            return False
        return self.host == address or any(self.host in patterns(name) for name in names)


@dataclass(slots=True)
class Script:
    """What one scope was told; None leaves that aspect to a wider scope."""

    lookup: Lookup | None = None
    conduct: Conduct | None = None
    delay: float | None = None
    certificate: Certificate | None = None
    grpc: Grpc | None = None
    failure: int = 0
    failures_left: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def copy(self, other: Script) -> None:
        """Take over everything that ``other`` was told."""
        self.lookup, self.conduct, self.delay = other.lookup, other.conduct, other.delay
        self.certificate, self.grpc = other.certificate, other.grpc
        self.failure, self.failures_left = other.failure, other.failures_left

    def fail(self) -> int | None:
        """Use up one failure; return its status, or None when none is left."""
        with self.lock:
            if not self.failures_left:
                return None
            self.failures_left -= 1
            return self.failure


def connects(script: Script | None) -> tuple[Conduct | None, Certificate | None]:
    """Return what a script says of connections, as opposed to requests on an open one."""
    if script is None:
        return None, None
    return None if isinstance(script.conduct, Respond) else script.conduct, script.certificate


class Rules:
    """The scripts by scope.

    A narrower scope wins over a wider one, aspect by aspect: address and port, address, port,
    host; then the wildcards, the longest first; then what was said of the IP address itself.
    """

    def __init__(self) -> None:
        self._scripts: dict[Scope, Script] = {}

    def __iter__(self) -> Iterator[tuple[Scope, Script]]:
        return iter(tuple(self._scripts.items()))

    def get(self, scope: Scope) -> Script | None:
        """Return what ``scope`` was told."""
        return self._scripts.get(scope)

    def put(self, scope: Scope, script: Script) -> None:
        """Let ``script`` hold for ``scope``, as the last one: where two agree in scope, it wins."""
        self._scripts.pop(scope, None)
        self._scripts[scope] = script

    def drop(self, scope: Scope) -> Script | None:
        """Forget what ``scope`` was told."""
        return self._scripts.pop(scope, None)

    def clear(self) -> None:
        """Forget everything."""
        self._scripts.clear()

    def effect(self, names: Iterable[str], address: str | None, port: int | None) -> Effect:
        """Return what holds for ``names`` (the more telling first) at ``address`` and ``port``."""
        if not self._scripts:
            return _NOTHING
        conduct: Conduct | None = None
        delay: float | None = None
        certificate: Certificate | None = None
        grpc: Grpc | None = None
        for script in self._matching(names, address, port):
            conduct = conduct or script.conduct
            delay = script.delay if delay is None else delay
            certificate = certificate or script.certificate
            grpc = grpc or script.grpc
        return Effect(conduct, delay or 0.0, certificate or "valid", grpc)

    def failure(self, names: Iterable[str], address: str | None, port: int | None) -> int | None:
        """Use up one failure that holds here; return its status, or None when there is none."""
        if not self._scripts:
            return None
        statuses = (script.fail() for script in self._matching(names, address, port))
        return next((status for status in statuses if status is not None), None)

    def lookup(self, name: str) -> Lookup | None:
        """Return what name servers were told of ``name``."""
        for pattern in patterns(name):
            script = self._scripts.get(Scope(pattern))
            if script is not None and script.lookup is not None:
                return script.lookup
        return None

    def pointing_at(self, address: str) -> list[str]:
        """Return the hosts whose scripted lookups give ``address``, the last told first."""
        return [
            scope.host
            for scope, script in reversed(tuple(self._scripts.items()))
            if script.lookup is not None and address in script.lookup.addresses
        ]

    def _matching(
        self, names: Iterable[str], address: str | None, port: int | None
    ) -> Iterator[Script]:
        hosts = [pattern for name in names for pattern in patterns(name)]
        if address is not None and is_address(address):
            hosts.append(address)
        for host in hosts:
            for scope in (
                Scope(host, port, address),
                Scope(host, None, address),
                Scope(host, port),
                Scope(host),
            ):
                script = self._scripts.get(scope)
                if script is not None:
                    yield script


_NOTHING = Effect()
