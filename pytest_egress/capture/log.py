"""The log of what was captured: connections and lookups on one side, judged calls on the other."""

from __future__ import annotations

import errno
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from pytest_egress.capture.calls import Call, Calls
from pytest_egress.capture.callsite import CallSite
from pytest_egress.capture.captured import Captured, calls_of
from pytest_egress.capture.dialler import Dialler
from pytest_egress.capture.kept import Kept
from pytest_egress.contract.position import Position
from pytest_egress.evidence import Evidence
from pytest_egress.probe import Attempt, DnsAnswer, Failure
from pytest_egress.verdict import Observation, Verdict, judge

__all__ = ["Log", "outside_of_contract"]

_DIAL_TIMEOUT = 10.0  # seconds, for a socket that waits for ever: the proxy accepts at once
_LOOKUP_TIMEOUT = 10.0  # seconds; longer than any client waits for its name server's answer
_CLOSED_TIMEOUT = 2.0  # seconds that the record of a closed connection may take
_MOST_TOLD = 5  # calls in the message of a failed capture


# Clients keep answers from one capture to the next. Nobody writes these addresses (RFC 2544), which
# the outside gives to names that have none: who connects to one has looked its name up.
_OF_NAMES = ("198.18.", "198.19.")
_NAMES: dict[str, str] = {}


class Log:
    """Opens connections through the proxy for whoever captures them, and remembers each.

    Args:
        pod: the mesh to go through.
        declared: where a cluster's host is declared.
        test: the name of the test, for the calls.
        on_calls: called with all of them when there will be no more.
    """

    def __init__(
        self,
        pod: Dialler,
        declared: Callable[[Evidence], tuple[Position, ...]],
        test: str = "",
        on_calls: Callable[[Calls], None] | None = None,
    ) -> None:
        self.pod = pod
        self.calls = Calls(self.read)
        self._declared = declared
        self._test = test
        self._on_calls = on_calls
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._names: dict[str, str] = {}
        self._connections: list[Captured] = []
        self._other: list[tuple[int, Call]] = []
        self._began = time.monotonic()
        self._watching = self._frozen = False
        self._before: set[str] = set()

    def watch(self) -> None:
        """Take in what the kernel brings to the proxy from now on."""
        self._before = set(self.pod.strangers())
        self._watching = True

    def lookup(self, name: str, where: CallSite | None = None) -> DnsAnswer:
        """Look a name up in the pod; a failure is a call of its own."""
        answer = self.pod.lookup(name, "A", _LOOKUP_TIMEOUT)
        self.heard(name, answer, where)
        return answer

    def heard(self, name: str, answer: DnsAnswer, where: CallSite | None = None) -> None:
        """Take note of a lookup that was made in the pod."""
        with self._lock:
            for address in answer.addresses:
                self._names[address] = name
                if address.startswith(_OF_NAMES):
                    _NAMES[address] = name
        if not answer.addresses:
            attempt = Attempt(name, "dns", completed=False, failure=_failed(answer), dns=answer)
            judgement = judge(Observation(attempt, live=self.pod.live))
            self.add(name, 0, "dns", judgement.verdict, judgement.reason, where=where)

    def open(
        self, address: str, port: int, timeout: float | None, where: CallSite | None = None
    ) -> Any:
        """Open a connection through the proxy; `hold` says who has it now.

        Raises:
            OSError: as behind a sidecar.
        """
        connection = Captured(
            next(self._order),
            self.name_of(address),
            address,
            port,
            "",
            time.monotonic() - self._began,
            where,
        )
        try:
            opened = self.pod.dial(address, port, timeout or _DIAL_TIMEOUT)
        except OSError as error:
            connection.lost = True
            with self._lock:
                self._connections.append(connection)
            if ":" in address:
                raise OSError(errno.ENETUNREACH, "the pod has no IPv6 address") from None
            raise ConnectionRefusedError(
                errno.ECONNREFUSED, f"the pod's proxy does not accept: {error}"
            ) from error
        connection.source = opened.source
        opened.connection = connection
        return opened

    def hold(self, opened: Any, descriptor: int, inode: int) -> None:
        """Take note of the descriptor under which a connection is held from now on."""
        connection: Captured = opened.connection
        connection.descriptor, connection.inode = descriptor, inode
        with self._lock:
            self._connections.append(connection)

    def held(self) -> list[Kept]:
        """The connections that the application still holds."""
        with self._lock:
            connections = list(self._connections)
        return [
            Kept(it.descriptor, it.inode, self.pod, it.speaks_http1(self.pod))
            for it in connections
            if it.descriptor >= 0 and it.open()
        ]

    def name_of(self, address: str) -> str:
        """The name that gave this address last, else the address."""
        return self._names.get(address) or _NAMES.get(address, address)

    def add(
        self,
        host: str,
        port: int,
        protocol: str,
        verdict: Verdict,
        reason: str,
        address: str = "",
        where: CallSite | None = None,
    ) -> None:
        """Remember a call that is no connection."""
        started = time.monotonic() - self._began
        call = Call(
            host,
            port,
            protocol,
            verdict,
            reason,
            address,
            started=started,
            test=self._test,
            where=where,
        )
        with self._lock:
            self._other.append((next(self._order), call))

    def freeze(self) -> None:
        """There will be no more calls."""
        self._frozen = True
        self.calls.freeze(self.read())
        if self._on_calls is not None:
            self._on_calls(self.calls)

    def read(self) -> list[Call]:
        """All calls so far; the records of everything that has been done are waited for."""
        control = ""
        if self._watching:
            control = self.pod.settle()
            self._take_in_strangers()
        with self._lock:
            connections, other = list(self._connections), list(self._other)
        if not self._watching and any(not it.lost and not it.ended() for it in connections):
            control = self.pod.settle()
        for connection in connections:
            if connection.lost or connection.ended():
                continue
            connection.records.extend(self.pod.records(connection.source))
            held = not self._frozen if connection.foreign else connection.open()
            if not connection.ended() and not control and not held:
                connection.records.extend(
                    self.pod.wait_for_records(
                        connection.source, _CLOSED_TIMEOUT, tuple(connection.records)
                    )
                )
        found = [
            (connection.order, call)
            for connection in connections
            for call in calls_of(connection, control, self.pod, self._declared, self._test)
        ]
        return [call for _, call in sorted([*found, *other], key=lambda it: it[0])]

    def _take_in_strangers(self) -> None:
        with self._lock:
            known = {it.source for it in self._connections} | self._before
            for source, destination in self.pod.strangers().items():
                if source in known:
                    continue
                address, _, port = destination.rpartition(":")
                connection = Captured(
                    next(self._order),
                    self._names.get(address, address),
                    address,
                    int(port),
                    source,
                    time.monotonic() - self._began,
                    None,
                    foreign=True,
                )
                self._connections.append(connection)


def outside_of_contract(calls: Calls, explain: Callable[[Call], str]) -> str:
    """The failure that tells of blocked calls and those without proof; empty if there are none."""
    found = [it for it in calls if it.verdict in {Verdict.BLOCKED, Verdict.INCONCLUSIVE}]
    if not found:
        return ""
    noun = "call" if len(found) == 1 else "calls"
    told = [explain(call) for call in found[:_MOST_TOLD]]
    if len(found) > _MOST_TOLD:
        told.append(f"... and {len(found) - _MOST_TOLD} more")
    return "\n\n".join([f"{len(found)} {noun} outside of the contract:", *told])


def _failed(answer: DnsAnswer) -> Failure:
    return Failure("rcode", f"the lookup of {answer.name} gave {answer.rcode}")
