"""A captured connection: what is known of it, and the judged calls that it amounts to."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pytest_egress.capture.calls import Call
from pytest_egress.capture.callsite import CallSite
from pytest_egress.capture.dialler import Dialler
from pytest_egress.contract.position import Position
from pytest_egress.evidence import Evidence, Way
from pytest_egress.probe import Attempt, Failure
from pytest_egress.verdict import Observation, judge

__all__ = ["Captured", "calls_of"]


@dataclass(slots=True)
class Captured:
    """One captured connection, and what is known of it so far.

    Attributes:
        order: when it was made, among all that was captured.
        host: the name that gave its address, else the address.
        address: that was wanted, and its `port`.
        source: ties the proxy's records to it.
        started: seconds since the capture began.
        where: the line of the user's code.
        descriptor: under which the application holds it, and its `inode`.
        records: the proxy's, so far.
        ways: where each record leads to, by the record's identity.
        lost: the proxy did not accept it.
        foreign: another process holds it.
    """

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
    ways: dict[int, Way] = field(default_factory=dict)
    lost: bool = False
    foreign: bool = False

    def ended(self) -> bool:
        """Whether the proxy has recorded its end."""
        return any(record.kind == "connection" for record in self.records)

    def open(self) -> bool:
        """Whether the application still holds it."""
        try:
            return os.fstat(self.descriptor).st_ino == self.inode
        except OSError:
            return False

    def speaks_http1(self, pod: Dialler) -> bool:
        """Whether HTTP/1 was seen on it."""
        if any(record.kind == "http" for record in self.records):
            return True
        for way in self.ways.values():
            accepted = None if way.evidence is None else pod.accepted(way.evidence)
            if accepted is not None and "http/1" in str(accepted.details.get("protocol", "")):
                return True
        return False


def calls_of(
    connection: Captured,
    control: str,
    pod: Dialler,
    declared: Callable[[Evidence], tuple[Position, ...]],
    test: str,
) -> Iterator[Call]:
    """The calls that a connection amounts to, each judged.

    Args:
        connection: it.
        control: why the positive control failed; empty: it has passed.
        pod: the mesh that it went through.
        declared: where a cluster's host is declared.
        test: the name of the test, for the calls.
    """

    def told(record: Evidence | None) -> Call:
        return _call(connection, record, control, pod, declared, test)

    requests = [record for record in connection.records if record.kind == "http"]
    if requests:
        for record in requests:
            yield told(record)
        return
    # The end tells more than the beginning; one that is still open has the beginning only.
    for kind in ("connection", "opened"):
        for record in connection.records:
            if record.kind == kind:
                yield told(record)
                return
    yield told(None)


def _call(
    connection: Captured,
    first: Evidence | None,
    control: str,
    pod: Dialler,
    declared: Callable[[Evidence], tuple[Position, ...]],
    test: str,
) -> Call:
    way = Way(first)
    if first is not None:
        known = connection.ways.get(id(first))
        way = connection.ways[id(first)] = known or pod.follow(first)
    evidence = way.evidence
    accepted = pod.accepted(evidence) if evidence is not None else None
    details = accepted.details if accepted is not None else {}
    problem = details.get("problem", "")
    http = evidence is not None and evidence.kind == "http"
    sni = evidence.requested_server_name if evidence is not None else ""
    # Where a listener does not look into the bytes, the outside has seen what they are.
    spoken = str(details.get("protocol", ""))
    sni = sni or str(details.get("sni", ""))
    protocol = "http" if http else "tls" if sni else _protocol(spoken)
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
            live=pod.live,
            control=control or way.control,
            hops=way.hops,
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
        declared_by=declared(evidence) if evidence else (),
        bytes_sent=evidence.bytes_received if evidence else 0,
        bytes_received=evidence.bytes_sent if evidence else 0,
        started=connection.started,
        test=test,
        where=connection.where,
        evidence=evidence,
        spoken=spoken,
        hops=way.hops,
    )


def _protocol(spoken: str) -> str:
    first = spoken.partition("+")[0]
    return {"tls": "tls", "http/1.0": "http", "http/1.1": "http", "h2": "http"}.get(first, "tcp")


def _without_port(authority: str) -> str:
    host, colon, port = authority.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.startswith("[")):
        return host.strip("[]")
    try:
        return str(ipaddress.ip_address(authority.strip("[]")))
    except ValueError:
        return authority
