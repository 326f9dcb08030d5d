"""Puts scripts and contracts into force: names, places, and the connections that are open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import final

from pytest_egress.received import Request
from pytest_egress.upstream.clients import Clients
from pytest_egress.upstream.conduct import Answering, Lookup, Serve, state_of
from pytest_egress.upstream.door import State
from pytest_egress.upstream.journal import Journal
from pytest_egress.upstream.link import Link
from pytest_egress.upstream.names import check_port, is_name
from pytest_egress.upstream.places import Places, Slot
from pytest_egress.upstream.pool import Workers
from pytest_egress.upstream.record import Connection
from pytest_egress.upstream.rules import Rules, Scope, Script, connects
from pytest_egress.upstream.zone import Zone

__all__ = ["Loan", "Staging"]

_DECLARED = 64  # hosts that get places of their own before they are scripted


@final
class Staging:
    """What can be told to an outside, and what follows from it.

    Args:
        rules: the scripts that are in force.
        zone: what names resolve to.
        places: what listens.
        journal: what has arrived.
        clients: the client certificates that are expected.
        workers: what serves the open connections.
        forget: lets name servers ask the zone anew.

    Attributes:
        resets: how often `reset` was called.
    """

    def __init__(
        self,
        rules: Rules,
        zone: Zone,
        places: Places,
        journal: Journal,
        clients: Clients,
        workers: Workers,
        forget: Callable[[], None],
    ) -> None:
        self._rules = rules
        self._zone = zone
        self._places = places
        self._journal = journal
        self._clients = clients
        self._workers = workers
        self._forget = forget
        self._lock = zone.lock
        self._declared: set[str] = set()
        self._answering: set[Answering] = set()
        self.resets = 0
        #: Called when what connects meet may have changed; not under the lock.
        self.watchers: list[Callable[[], None]] = []

    @property
    def requests(self) -> list[Request]:
        """Every request that arrived."""
        return self._journal.requests

    @property
    def connections(self) -> list[Connection]:
        """Every connection that was accepted."""
        return self._journal.connections

    def wait(self, done: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``done()`` holds, asked whenever something arrives; return whether it does."""
        return self._journal.wait(done, timeout)

    def addresses_of(self, host: str) -> tuple[str, ...]:
        """Return every simulated address that ``host`` has at any time."""
        with self._lock:
            return self._zone.addresses(host)

    def turned_away(self) -> list[tuple[str, int, State]]:
        """Return the addresses and ports (0: every one) at which connects are refused or hang.

        The narrower come first; among them are those that listen although a wider one does not.
        Wildcards are left out: whom they cover is known only once it is asked for.
        """
        found: dict[tuple[str, int], State] = {}
        with self._lock:
            told = [scope for scope, script in self._rules if script.conduct is not None]
            for scope in sorted(told, key=lambda it: it.port is None):
                own = (scope.address,) if scope.address else self._zone.addresses(scope.host)
                for address in own:
                    tenants = self._zone.tenants_at(address)
                    effect = self._rules.effect(tenants, address, scope.port)
                    found[address, scope.port or 0] = state_of(effect)
        if "refuse" not in found.values() and "hang" not in found.values():
            return []
        return [(address, port, state) for (address, port), state in found.items()]

    def told(self, scope: Scope) -> Script | None:
        """Return what ``scope`` was told."""
        return self._rules.get(scope)

    def change(self, scope: Scope, edit: Callable[[Script], Script] | None) -> None:
        """Change what ``scope`` was told, and everything that follows from it.

        Args:
            scope: what the script is about.
            edit: makes the script that is to hold of the one that does; None drops it.

        Raises:
            BackendError: a socket cannot be bound.
        """
        with self._lock:
            script = None if edit is None else edit(self._rules.get(scope) or Script())
            self._put(scope, script)
        self._let_go()

    def put(self, scope: Scope, script: Script | None) -> None:
        """Let ``script`` hold for ``scope``, None: nothing, and bring all into line with it.

        Raises:
            BackendError: a socket cannot be bound.
        """
        with self._lock:
            self._put(scope, script)
        self._let_go()

    def reset(self) -> None:
        """Drop every script and record; places that hosts have of their own stay theirs."""
        with self._lock:
            told = list(self._rules)
            self._rules.clear()
            for scope, script in told:
                self._took_effect(scope, script, None)
            self._clients.clear()
            self.resets += 1
            self._journal.clear()
        self._let_go()

    def close(self) -> None:
        """Close every application; called once, at the end."""
        with self._lock:
            self._rules.clear()
        self._let_go()

    def declare(
        self,
        hosts: Iterable[str],
        ports: Iterable[int],
        addresses: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Prepare for the hosts and ports of a contract.

        The first 64 hosts that are exact names get places of their own, so that scripting them
        later changes nothing that a proxy has resolved. The limit of open files may make them
        fewer: a quarter of it is used.

        Args:
            hosts: names, wildcards and addresses.
            ports: every port that one of them may be dialled at.
            addresses: pairs of host and the IPv4 address that it resolves to unless a script
                says otherwise.

        Raises:
            ValueError: a port is not one. Hosts that are no names are left out.
            BackendError: a socket cannot be bound.
        """
        with self._lock:
            for port in ports:
                self._places.number(Slot(check_port(port)))
            for host, address in addresses:
                name = host.lower().removesuffix(".")
                if is_name(name) and self._zone.assign(name, address):
                    self._renew(name)
            for host in hosts:
                name = host.lower().removesuffix(".")
                if not is_name(name) or self._zone.has_own(name):
                    continue
                if len(self._declared) >= _DECLARED or self._places.room() < self._ports():
                    break
                self._declared.add(name)
                self._zone.dedicate(name)
                self._renew(name)

    def serve(self, endpoints: Mapping[str, tuple[str, ...]]) -> None:
        """Say which hosts each endpoint (address or name) belongs to, in place of what was said.

        What is scripted for a host holds at its endpoints, although looking it up does not lead
        there.

        Raises:
            BackendError: a socket cannot be bound.
        """
        with self._lock:
            if self._zone.serve(endpoints):
                for place in self._places:
                    self._places.refresh(place)
        self._let_go()

    def _put(self, scope: Scope, script: Script | None) -> None:
        old = self._rules.drop(scope)
        if script is not None:
            self._rules.put(scope, script)
            if isinstance(script.conduct, Serve):
                self._answering.add(script.conduct.answering)
        self._took_effect(scope, old, script)

    def _let_go(self) -> None:
        """Close the applications that no script names any more, tell whoever watches.

        Not under the lock: what they do last may be a lookup.
        """
        with self._lock:
            conducts = [script.conduct for _, script in self._rules]
            needed = {it.answering for it in conducts if isinstance(it, Serve)}
            unused, self._answering = self._answering - needed, self._answering & needed
        for answering in unused:
            answering.close()
        for watcher in tuple(self.watchers):
            watcher()

    def _took_effect(self, scope: Scope, old: Script | None, new: Script | None) -> None:
        lookups = (old and old.lookup, new and new.lookup)
        if new is not None:
            self._zone.dedicate(scope.host)
        if lookups[0] != lookups[1]:
            self._zone.restart(scope.host)
        self._renew(scope.host)
        moved = {a for lookup in lookups if isinstance(lookup, Lookup) for a in lookup.addresses}
        whole = Scope(scope.host)
        for place in self._places:
            hosts = self._zone.tenants_of(place)
            if place.address in moved or whole.covers(hosts, place.address, None):
                self._places.refresh(place)
        if connects(old) != connects(new):
            self._workers.abort(lambda wire: isinstance(wire, Link) and wire.falls_in(scope))

    def _renew(self, host: str) -> None:
        """Let what ``host`` covers resolve anew."""
        self._zone.recheck(host)
        self._forget()

    def _ports(self) -> int:
        return sum(not slot.original for slot in self._places.slots())


@final
class Loan:
    """A stage whose scripts can be taken back.

    Args:
        staging: what the scripts are told to.
    """

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._before: dict[Scope, Script | None] = {}

    @property
    def requests(self) -> list[Request]:
        """Every request that arrived."""
        return self._staging.requests

    @property
    def connections(self) -> list[Connection]:
        """Every connection that was accepted."""
        return self._staging.connections

    def wait(self, done: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``done()`` holds; see `Staging.wait`."""
        return self._staging.wait(done, timeout)

    def addresses_of(self, host: str) -> tuple[str, ...]:
        """Return every simulated address that ``host`` has at any time."""
        return self._staging.addresses_of(host)

    def change(self, scope: Scope, edit: Callable[[Script], Script] | None) -> None:
        """Change what ``scope`` was told, and remember what that was."""
        self._before.setdefault(scope, self._staging.told(scope))
        self._staging.change(scope, edit)

    def take_back(self) -> None:
        """Let every scope hold again what it did before the first change."""
        while self._before:
            self._staging.put(*self._before.popitem())
