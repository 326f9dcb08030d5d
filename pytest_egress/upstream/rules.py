"""Every script that is in force, and which of them holds for a connection or a request."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from pytest_egress.upstream.conduct import (
    ClientAuth,
    Conduct,
    Effect,
    Failure,
    Grpc,
    Lookup,
    Respond,
    Serve,
    Shown,
)
from pytest_egress.upstream.names import check_host, check_port, is_address, patterns

__all__ = ["Budget", "Rules", "Scope", "Script", "connects"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a script is about: a host (name, wildcard, address), perhaps one port or address."""

    host: str
    port: int | None = None
    address: str | None = None

    @classmethod
    def of(cls, host: object, port: object = None) -> Scope:
        """Return the scope of what a test wrote.

        Raises:
            ValueError: the host or port is not one; the message says what was expected.
        """
        return cls(check_host(host), None if port is None else check_port(port))

    def covers(self, names: Iterable[str], address: str | None, port: int | None) -> bool:
        """Whether something known by any of ``names``, at ``address`` and ``port``, falls in it."""
        if self.port not in {None, port} or self.address not in {None, address}:
            return False
        return self.host == address or any(self.host in patterns(name) for name in names)


class Budget(Generic[_T]):
    """Something that holds for so many answers, or (``times`` None) for every one."""

    def __init__(self, what: _T, times: int | None = None) -> None:
        self._what = what
        self._left = times
        self._lock = threading.Lock()

    def spend(self) -> _T | None:
        """Use it up once; None when nothing is left."""
        with self._lock:
            if self._left is not None:
                if not self._left:
                    return None
                self._left -= 1
            return self._what


@dataclass(frozen=True, slots=True)
class Script:
    """What one scope was told; None leaves that aspect to a wider scope."""

    lookup: Lookup | None = None
    conduct: Conduct | None = None
    certificate: Shown | None = None
    clients: ClientAuth | None = None
    grpc: Grpc | None = None
    delays: Budget[float] | None = None
    failures: Budget[Failure] | None = None


def connects(script: Script | None) -> tuple[object, ...]:
    """Return what a script says of connections, as opposed to requests on an open one."""
    if script is None:
        return None, None, None
    conduct = None if isinstance(script.conduct, (Respond, Serve)) else script.conduct
    return conduct, script.certificate, script.clients


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
        certificate: Shown | None = None
        clients: ClientAuth | None = None
        grpc: Grpc | None = None
        for script in self._matching(names, address, port):
            conduct = conduct or script.conduct
            certificate = certificate or script.certificate
            clients = clients or script.clients
            grpc = grpc or script.grpc
        return Effect(conduct, certificate or Shown(), clients, grpc)

    def failure(
        self, names: Iterable[str], address: str | None, port: int | None
    ) -> Failure | None:
        """Use up one failure that holds here; None when there is none."""
        return _spent(script.failures for script in self._matching(names, address, port))

    def delay(self, names: Iterable[str], address: str | None, port: int | None) -> float:
        """Use up one delay that holds here; return its seconds, 0 when there is none."""
        return _spent(script.delays for script in self._matching(names, address, port)) or 0.0

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
        if not self._scripts:
            return
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


def _spent(budgets: Iterable[Budget[_T] | None]) -> _T | None:
    """Spend of the first that has something left."""
    found = (budget.spend() for budget in budgets if budget is not None)
    return next((what for what in found if what is not None), None)


_NOTHING = Effect()
