"""What a contract promises, probed: the expectations that hold, and those that do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.report.nearest import matches
from pytest_egress.verdict import Verdict

if TYPE_CHECKING:
    from pytest_egress.backends.protocol import Backend

__all__ = ["Candidate", "Expectations", "expect"]

# A protocol of a port in lower case, and the scheme that a probe speaks to it. Bytes that are
# neither HTTP nor TLS stand for all others; a port without a protocol takes anything.
_SCHEMES: Mapping[str, str] = {
    "http": "http",
    "http2": "http",
    "http_proxy": "http",
    "grpc": "grpc",
    "grpc-web": "http",
    "https": "https",
    "tls": "tls",
    "": "http",
}
_DEFAULT_PORTS = {"http": 80, "https": 443, "tls": 443, "grpc": 80}
_OTHER_PORTS = (8080, 8081, 9090, 9091, 18080)
_NEIGHBOURS = ("not-declared.example", "not-declared.invalid", "not-declared.test")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One thing that a first test may assert.

    Attributes:
        namespace: who asks.
        url: what is asked for.
        wanted: what the contract promises.
    """

    namespace: str
    url: str
    wanted: Literal["REACHABLE", "BLOCKED"]


@dataclass(frozen=True, slots=True)
class Expectations:
    """What came of the probes.

    Attributes:
        holding: what holds, in the contract's order.
        failing: what does not, each with the verdict and its reason.
        left_out: hosts and ports that no probe can ask for, each with the reason.
    """

    holding: tuple[Candidate, ...]
    failing: tuple[tuple[Candidate, str], ...]
    left_out: tuple[str, ...]


def expect(contract: Contract, backend: Backend) -> Expectations:
    """Probe all that the contract declares, and what lies beside it.

    Each entry is asked for from its own namespace, where it is visible whatever it is exported to.

    Raises:
        BackendError: the proxy cannot be brought up.
        ContractError: the contract holds something that this backend cannot enforce.
    """
    left_out: list[str] = []
    candidates = dict.fromkeys((*_declared(contract, left_out), *_beside(contract)))
    holding, failing = [], []
    pods: dict[str, Egress] = {}
    for candidate in candidates:
        namespace = candidate.namespace
        if namespace not in pods:
            workload = Workload(namespace, dns_capture=contract.mesh.dns_capture)
            pods[namespace] = Egress(backend, contract, workload)
        outcome = pods[namespace].probe(candidate.url)
        if outcome.verdict is Verdict[candidate.wanted]:
            holding.append(candidate)
        else:
            failing.append((candidate, f"{outcome.verdict}: {outcome.reason}"))
    return Expectations(tuple(holding), tuple(failing), tuple(left_out))


def _declared(contract: Contract, left_out: list[str]) -> Iterator[Candidate]:
    for entry in contract.service_entries:
        namespace = entry.metadata.namespace or "default"
        for host in entry.hosts:
            for port in entry.ports:
                protocol = port.protocol.lower()
                if protocol == "udp":
                    left_out.append(f"{host}:{port.number}/UDP: sidecars leave UDP alone")
                    continue
                scheme = _SCHEMES.get(protocol, "tcp")
                url = _url(scheme, _example(host, contract), port.number)
                yield Candidate(namespace, url, "REACHABLE")


def _beside(contract: Contract) -> Iterator[Candidate]:
    """Of each namespace one declared host on a port that it has not, and one other host."""
    ports = {port.number for entry in contract.service_entries for port in entry.ports}
    free = next((number for number in _OTHER_PORTS if number not in ports), None)
    hosts = {host for entry in contract.service_entries for host in entry.hosts}
    neighbour = next((it for it in _NEIGHBOURS if not any(matches(h, it) for h in hosts)), None)
    seen: set[str] = set()
    for entry in contract.service_entries:
        namespace = entry.metadata.namespace or "default"
        if namespace in seen:
            continue
        seen.add(namespace)
        if free is not None and entry.hosts:
            host = _example(entry.hosts[0], contract)
            yield Candidate(namespace, _url("http", host, free), "BLOCKED")
        if neighbour is not None:
            yield Candidate(namespace, f"https://{neighbour}", "BLOCKED")


def _example(host: str, contract: Contract) -> str:
    """A name that a host stands for: of a wildcard, one that no other entry declares."""
    if not host.startswith("*"):
        return host
    exact = {it for entry in contract.service_entries for it in entry.hosts}
    names = (f"any{number or ''}{host[1:]}" for number in range(len(exact) + 1))
    return next(name for name in names if name not in exact)


def _url(scheme: str, host: str, port: int) -> str:
    return (
        f"{scheme}://{host}" if _DEFAULT_PORTS.get(scheme) == port else f"{scheme}://{host}:{port}"
    )
