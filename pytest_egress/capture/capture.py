"""A capture: for its duration the connections of this process go through the pod's proxy."""

from __future__ import annotations

import errno
import ipaddress
import itertools
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

from pytest_egress.capture import interceptor
from pytest_egress.capture.calls import Call, Calls
from pytest_egress.capture.callsite import CallSite, call_site
from pytest_egress.capture.exclusions import Exclusions
from pytest_egress.capture.names import is_address
from pytest_egress.capture.relay import Relay
from pytest_egress.capture.trust import Trust, bundle
from pytest_egress.contract.position import Position
from pytest_egress.errors import CapturedCallError, UncapturedProcessWarning
from pytest_egress.evidence import Evidence, UpstreamProof
from pytest_egress.probe import Attempt, DnsAnswer, Failure
from pytest_egress.verdict import Observation, Verdict, judge

__all__ = ["Capture", "OnBlocked", "Pod"]

OnBlocked = Literal["fail", "warn", "allow"]

_DIAL_TIMEOUT = 10.0  # seconds, for a socket that waits for ever: the proxy accepts at once
_LOOKUP_TIMEOUT = 10.0  # seconds; longer than any client waits for its name server's answer
_CLOSED_TIMEOUT = 2.0  # seconds that the record of a closed connection may take
_MOST_TOLD = 5  # calls in the message of a failed capture


class Pod(Protocol):
    """What a capture asks of the mesh; see `pytest_egress.backends.mesh.LocalMesh`."""

    def dial(self, address: str, port: int, timeout: float) -> Any:
        """Open a captured connection; its ``source`` ties the records to it."""
        ...

    def lookup(self, name: str, family: str = "A", timeout: float = 5.0) -> DnsAnswer:
        """Resolve a name as the pod's application would."""
        ...

    def records(self, source: str) -> tuple[Evidence, ...]:
        """The records that have come since they were asked for."""
        ...

    def wait_for_records(
        self, source: str, timeout: float, known: tuple[Evidence, ...] = ()
    ) -> tuple[Evidence, ...]:
        """The records of a connection that has ended, less those that are known."""
        ...

    def settle(self) -> str:
        """Wait until the records of all that has happened are there; empty, or why not."""
        ...

    def accepted(self, evidence: Evidence) -> UpstreamProof | None:
        """What the outside knows of the connection behind a record."""
        ...

    @property
    def live(self) -> bool:
        """Whether the real outside is asked."""
        ...

    @property
    def ca_file(self) -> str | None:
        """The CA of the simulated outside."""
        ...


@dataclass(slots=True)
class _Connection:
    """One captured connection, and what is known of it so far."""

    order: int
    host: str
    address: str
    port: int
    source: str
    started: float
    where: CallSite | None
    descriptor: int = -1
    inode: int = 0
    records: list[Evidence] = field(default_factory=list)
    lost: bool = False

    def ended(self) -> bool:
        """Whether the proxy has recorded its end."""
        return any(record.kind == "connection" for record in self.records)

    def open(self) -> bool:
        """Whether the application still holds it."""
        try:
            return os.fstat(self.descriptor).st_ino == self.inode
        except OSError:
            return False


class Capture:
    """Brings the process's own TCP connections and name lookups into the pod.

    Every TCP connection of every thread is captured but those to loopback, to what is excluded,
    and those of test tools. Captures nest; the innermost one takes the calls.

    Args:
        pod: the mesh to go through.
        declared: where a cluster's host is declared.
        explain: the long text about a call, for the failure.
        on_blocked: what a call that was blocked, or has no proof, does at the end of the block:
            fail it, warn, or nothing.
        exclude: hosts, globs, addresses and networks that are reached directly.
        trust: trust the simulated outside's CA meanwhile.
        test: the name of the test, for the call log.
    """

    def __init__(
        self,
        pod: Pod,
        *,
        declared: Callable[[Evidence], tuple[Position, ...]],
        explain: Callable[[Call], str] = str,
        on_blocked: OnBlocked = "fail",
        exclude: Iterable[str] = (),
        trust: bool = True,
        test: str = "",
    ) -> None:
        self._pod = pod
        self._declared = declared
        self._explain = explain
        self._on_blocked = on_blocked
        self._exclusions = Exclusions(exclude)
        self._excluded: set[str] = set()
        self._trusts = trust
        self._trust: Trust | None = None
        self._bundle: Path | None = None
        self._test = test
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._names: dict[str, str] = {}
        self._connections: list[_Connection] = []
        self._other: list[tuple[int, Call]] = []
        self._children: list[tuple[str, CallSite | None]] = []
        self._relays: list[Relay] = []
        self._began = 0.0
        self._finished = False
        self.calls = Calls(self._snapshot)

    def __enter__(self) -> Calls:
        self._began = time.monotonic()
        if self._trusts and self._pod.ca_file is not None:
            self._start_trust(self._pod.ca_file)
        interceptor.start(self)
        return self.calls

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        failure = self.finish()
        if failure and (error is None or isinstance(error, Exception)):
            raise CapturedCallError(failure)

    def finish(self) -> str:
        """End the capture. Twice is once.

        Returns:
            what fails the test: its calls outside of the contract; empty where there are none, or
            where ``on_blocked`` says otherwise.
        """
        if self._finished:
            return ""
        self._finished = True
        interceptor.stop(self)
        while self._relays:
            self._relays.pop().close()
        if self._trust is not None:
            self._trust.stop()
        if self._bundle is not None:
            self._bundle.unlink(missing_ok=True)
        self.calls.freeze(self._snapshot())
        self._tell_children()
        failure = self._outside_of_contract()
        if failure and self._on_blocked == "warn":
            warnings.warn(failure, stacklevel=3)
        return failure if self._on_blocked == "fail" else ""

    def _start_trust(self, ca_file: str) -> None:
        bundle_file = ca_file
        if self._exclusions:
            # What is excluded is real, and so are its certificates.
            self._bundle = Path(f"{ca_file}.{id(self):x}.bundle")
            self._bundle.write_text(bundle(ca_file, system=True), encoding="utf-8")
            bundle_file = str(self._bundle)
        self._trust = Trust(ca_file, bundle_file)
        self._trust.start()

    def _tell_children(self) -> None:
        for what, where in self._children:
            warnings.warn(
                f"{what}{f' (at {where})' if where else ''}: what a child process calls is not "
                "captured here",
                UncapturedProcessWarning,
                stacklevel=4,
            )

    def _outside_of_contract(self) -> str:
        found = [it for it in self.calls if it.verdict in {Verdict.BLOCKED, Verdict.INCONCLUSIVE}]
        if not found:
            return ""
        noun = "call" if len(found) == 1 else "calls"
        told = [self._explain(call) for call in found[:_MOST_TOLD]]
        if len(found) > _MOST_TOLD:
            told.append(f"... and {len(found) - _MOST_TOLD} more")
        return "\n\n".join([f"{len(found)} {noun} outside of the contract:", *told])

    # -- what the interceptor asks -----------------------------------------------------------

    def takes_name(self, name: str) -> bool:
        """Whether a host name is looked up in the pod."""
        return not self._exclusions.name(name)

    def takes_address(self, address: str) -> bool:
        """Whether connections to an IP address are captured."""
        return address not in self._excluded and not self._exclusions.address(address)

    def resolved(self, name: str, addresses: tuple[str, ...]) -> None:
        """An excluded name's addresses are excluded, too."""
        if self._exclusions.name(name):
            self._excluded.update(addresses)

    def lookup(self, name: str) -> DnsAnswer:
        """Look a name up in the pod; a failure is a call of its own."""
        answer = self._pod.lookup(name, "A", _LOOKUP_TIMEOUT)
        with self._lock:
            for address in answer.addresses:
                self._names[address] = name
        if not answer.addresses:
            attempt = Attempt(name, "dns", completed=False, failure=_failed(answer), dns=answer)
            judgement = judge(Observation(attempt, live=self._pod.live))
            self._add_other(
                Call(name, 0, "dns", judgement.verdict, judgement.reason, **self._here())
            )
        return answer

    def open(self, address: str, port: int, timeout: float | None) -> Any:
        """Open a connection through the proxy.

        Raises:
            OSError: as behind a sidecar.
        """
        connection = _Connection(
            next(self._order),
            self._names.get(address, address),
            address,
            port,
            "",
            time.monotonic() - self._began,
            call_site(),
        )
        try:
            opened = self._pod.dial(address, port, timeout or _DIAL_TIMEOUT)
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

    def opened(self, opened: Any, descriptor: int, inode: int) -> None:
        """Take note of the descriptor under which the application holds a connection."""
        connection: _Connection = opened.connection
        connection.descriptor, connection.inode = descriptor, inode
        with self._lock:
            self._connections.append(connection)

    def refuse_udp(self, address: str, port: int) -> OSError:
        """Record a datagram that was to be sent, and say why it is not."""
        reason = (
            "a sidecar does not capture UDP: the mesh's policy cannot refuse it, "
            "and nothing of a test leaves this machine"
        )
        host = self._names.get(address, address)
        self._add_other(
            Call(host, port, "udp", Verdict.INCONCLUSIVE, reason, address, **self._here())
        )
        return PermissionError(errno.EPERM, f"UDP to {address}:{port} inside a capture: {reason}")

    def relay(self, host: str, port: int) -> int:
        """A port on 127.0.0.1 whose connections go to a host of the outside.

        Raises:
            OSError: the name does not resolve.
        """
        where = call_site()
        if not is_address(host):
            answer = self.lookup(host)
            if not answer.addresses:
                raise OSError(errno.EHOSTUNREACH, f"the lookup of {host} gave {answer.rcode}")
            host = answer.addresses[0]

        def dial() -> Any:
            opened = self.open(host, port, None)
            opened.connection.where = where
            opened.settimeout(None)
            self.opened(opened, opened.fileno(), os.fstat(opened.fileno()).st_ino)
            return opened

        relay = Relay(dial)
        self._relays.append(relay)
        return relay.port

    def child(self, what: str) -> None:
        """A process is about to be started, whose calls nobody here sees."""
        with self._lock:
            self._children.append((what, call_site()))

    # -- the log -------------------------------------------------------------------------------

    def _here(self) -> dict[str, Any]:
        return {
            "started": time.monotonic() - self._began,
            "test": self._test,
            "where": call_site(),
        }

    def _add_other(self, call: Call) -> None:
        with self._lock:
            self._other.append((next(self._order), call))

    def _snapshot(self) -> list[Call]:
        """All calls so far; the records of everything that has been done are waited for."""
        with self._lock:
            connections, other = list(self._connections), list(self._other)
        control = ""
        if any(not it.lost and not it.ended() for it in connections):
            control = self._pod.settle()
        for connection in connections:
            if connection.lost or connection.ended():
                continue
            connection.records.extend(self._pod.records(connection.source))
            if not connection.ended() and not control and not connection.open():
                connection.records.extend(
                    self._pod.wait_for_records(
                        connection.source, _CLOSED_TIMEOUT, tuple(connection.records)
                    )
                )
        found = [
            (connection.order, call)
            for connection in connections
            for call in self._calls_of(connection, control)
        ]
        return [call for _, call in sorted([*found, *other], key=lambda it: it[0])]

    def _calls_of(self, connection: _Connection, control: str) -> Iterator[Call]:
        requests = [record for record in connection.records if record.kind == "http"]
        if requests:
            for record in requests:
                yield self._call(connection, record, control)
            return
        # The end tells more than the beginning; one that is still open has the beginning only.
        for kind in ("connection", "opened"):
            for record in connection.records:
                if record.kind == kind:
                    yield self._call(connection, record, control)
                    return
        yield self._call(connection, None, control)

    def _call(self, connection: _Connection, evidence: Evidence | None, control: str) -> Call:
        accepted = self._pod.accepted(evidence) if evidence is not None else None
        problem = accepted.details.get("problem") if accepted is not None else ""
        http = evidence is not None and evidence.kind == "http"
        sni = evidence.requested_server_name if evidence is not None else ""
        protocol = "http" if http else "tls" if sni else "tcp"
        attempt = Attempt(
            f"{protocol}://{connection.host}:{connection.port}",
            protocol,
            completed=not problem,
            failure=Failure("protocol", str(problem)) if problem else None,
        )
        judgement = judge(
            Observation(
                attempt,
                evidence,
                signed=accepted is not None and not problem,
                accepted=accepted,
                live=self._pod.live,
                control=control,
            )
        )
        host = connection.host
        if evidence is not None:
            authority = _without_port(evidence.authority) if http else ""
            host = authority or sni or host
        return Call(
            host,
            connection.port,
            protocol,
            judgement.verdict,
            judgement.reason,
            connection.address,
            method=evidence.method if evidence else "",
            path=evidence.path if evidence else "",
            status=evidence.response_code if evidence and http else 0,
            sni=sni,
            declared_by=self._declared(evidence) if evidence else (),
            bytes_sent=evidence.bytes_received if evidence else 0,
            bytes_received=evidence.bytes_sent if evidence else 0,
            started=connection.started,
            test=self._test,
            where=connection.where,
            evidence=evidence,
        )


def _failed(answer: DnsAnswer) -> Failure:
    return Failure("rcode", f"the lookup of {answer.name} gave {answer.rcode}")


def _without_port(authority: str) -> str:
    host, colon, port = authority.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.startswith("[")):
        return host.strip("[]")
    try:
        return str(ipaddress.ip_address(authority.strip("[]")))
    except ValueError:
        return authority
