"""What a run has called, as plain facts: small enough to travel from xdist's workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_egress.capture.calls import Call
from pytest_egress.contract.contract import Contract
from pytest_egress.evidence import Evidence
from pytest_egress.outcome import Outcome
from pytest_egress.probe import Target
from pytest_egress.verdict import Verdict

__all__ = ["Declaration", "Fact", "declarations_of", "fact_of_call", "fact_of_outcome"]

_PROTOCOLS = {"https": "tls", "grpcs": "tls", "grpc": "http"}
_ANSWERED = {Verdict.REACHABLE, Verdict.UNREACHABLE, Verdict.UNDECLARED}


@dataclass(frozen=True, slots=True)
class Fact:
    """One call of one test.

    Attributes:
        host: the name that was meant, else the address.
        port: the port that was dialled.
        protocol: ``http``, ``http2``, ``tls``, ``tcp``, ``udp`` or ``dns``.
        address: the address that was dialled, empty where it is not known.
        verdict: what became of it.
        undeclared: whether the mesh let it through although nothing declares it.
        cluster: the cluster it went to, empty where it went nowhere.
        test: the test that called.
    """

    host: str
    port: int
    protocol: str
    address: str
    verdict: str
    undeclared: bool
    cluster: str
    test: str

    def to_json(self) -> dict[str, Any]:
        """The fact as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Fact:
        """The fact of plain values."""
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Declaration:
    """One host on one port, as a ServiceEntry declares it.

    Attributes:
        place: ``file:line:column`` of the host.
        protocol: as written.
    """

    place: str
    host: str
    port: int
    protocol: str

    def to_json(self) -> dict[str, Any]:
        """The declaration as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Declaration:
        """The declaration of plain values."""
        return cls(**values)


def declarations_of(contract: Contract) -> Iterable[Declaration]:
    """Every host and port that a contract declares, in its order."""
    for entry in contract.service_entries:
        for index, host in enumerate(entry.hosts):
            place = str(entry.at("spec", "hosts", index))
            for port in entry.ports:
                yield Declaration(place, host, port.number, port.protocol)


def fact_of_outcome(outcome: Outcome, test: str) -> Fact:
    """What a probe says."""
    target, evidence = Target.parse(outcome.target), outcome.evidence
    address = outcome.attempt.address
    protocol = _PROTOCOLS.get(target.scheme, target.scheme)
    if target.scheme == "grpc" or (protocol == "http" and _is_http2(outcome)):
        protocol = "http2"
    if outcome.attempt.stage == "dns" and outcome.attempt.failure is not None:
        protocol = "dns"
    return Fact(
        _meant(evidence, target.host.removesuffix(".")),
        target.port,
        protocol,
        address[0] if address else "",
        outcome.verdict.value,
        *_went_to(evidence, outcome.verdict),
        test,
    )


def fact_of_call(call: Call, test: str) -> Fact:
    """What a captured call says."""
    protocol = call.protocol
    if protocol == "http" and call.spoken.startswith("h2"):
        protocol = "http2"
    return Fact(
        call.host.lower().removesuffix("."),
        call.port,
        protocol,
        call.address,
        call.verdict.value,
        *_went_to(call.evidence, call.verdict),
        test,
    )


def _meant(evidence: Evidence | None, host: str) -> str:
    """The name that the proxy saw: a probe may send another Host or server name on purpose."""
    if evidence is None:
        return host
    seen = evidence.requested_server_name or evidence.authority
    bare, colon, port = seen.rpartition(":")
    name = bare if colon and port.isdigit() else seen
    return name.strip("[]").lower().removesuffix(".") or host


def _is_http2(outcome: Outcome) -> bool:
    response = outcome.attempt.response
    return response is not None and response.http_version == "2"


def _went_to(evidence: Evidence | None, verdict: Verdict) -> tuple[bool, str]:
    if evidence is None or verdict not in _ANSWERED:
        return False, ""
    return evidence.undeclared, evidence.cluster
