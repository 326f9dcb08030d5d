"""What a mesh is that runs our configuration: probed, followed and judged, wherever it runs."""

from __future__ import annotations

import contextlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pytest_egress.backends.declaring import certificates_in
from pytest_egress.backends.mesh_proxy import LedThrough, Proxy
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.contract.syntax import TLS_PROTOCOLS
from pytest_egress.envoy import Program
from pytest_egress.evidence import Evidence, UpstreamProof, Way
from pytest_egress.probe import Attempt, DnsAnswer, Options, Target
from pytest_egress.upstream import Outside, Request
from pytest_egress.upstream.journal import CONTROL_NAME
from pytest_egress.verdict import Observation

__all__ = ["SimulatedMesh"]

_TOKEN_HEADER = "x-egress-upstream"  # noqa: S105  a header's name
_CONNECTION_ENDED = frozenset({"UF", "UC"})  # response flags: the upstream connection has ended


P = TypeVar("P", bound=Proxy)


class SimulatedMesh(ABC, Generic[P]):
    """One proxy of ours with the contract it enforces.

    Args:
        contract: what is enforced.
        workload: for whom.
        sidecar: the proxy.
        outside: what its upstream connections are led to.
        endpoints: the hosts that each endpoint belongs to.
        clients: hosts, and the client certificates that they are to expect.
        generation: of the outside's names when it was made.
        live: the real outside is asked.
        gateways: the contract's, held for this mesh.
    """

    pods = 1

    def __init__(
        self,
        contract: Contract,
        workload: Workload,
        sidecar: P,
        outside: Outside,
        endpoints: Mapping[str, tuple[str, ...]],
        clients: Iterable[tuple[str, str]],
        generation: int,
        *,
        live: bool,
        gateways: LedThrough | None = None,
    ) -> None:
        self.contract = contract
        self.workload = workload
        self.sidecar = sidecar
        self.program = sidecar.program
        self.generation = generation
        self.gateways = gateways
        self.leases = 0  # counted by the backend
        self._endpoints = endpoints
        self._clients = tuple(clients)
        self._resets = outside.resets
        self._remembers = any("outlier_detection" in it for it in self.program.clusters)
        self._outside = outside
        self._live = live
        self._leads = gateways is not None
        #: Who carries the proxy's connections to the outside; empty: it dials them itself.
        self._carrier = ""

    @property
    def live(self) -> bool:
        """Whether the real outside is asked."""
        return self._live

    @property
    def ca_file(self) -> str | None:
        """The throw-away CA of the simulated outside; None when the real one is asked."""
        return None if self._live else str(self._outside.ca_file)

    def prepare(self) -> None:
        """Tell the outside what this contract's upstreams are, in place of another's."""
        self._outside.serve(self._endpoints)
        for host, certificates in self._clients:
            self._outside.expect_client(host, certificates)

    def stale(self, generation: int) -> bool:
        """Whether a test that begins now needs another proxy.

        That is when this one has resolved names to what is no longer so, or remembers failures of
        an earlier test (ejected hosts).
        """
        resets = self._outside.resets
        if self._remembers and self.sidecar.witness.troubled and resets != self._resets:
            return True
        self._resets = resets
        if self.gateways is not None and self.gateways.stale(generation):
            return True
        return self.generation != generation

    def start(self, timeout: float) -> None:
        """Start Envoy and return once the positive control has passed through it.

        Raises:
            BackendError: it does not serve, or the control does not come through.
        """
        self.sidecar.configure(timeout, self.gateways.sockets if self.gateways else None)
        if self.gateways is not None:
            self.gateways.wait(timeout)
        self.sidecar.wait(timeout)

    @property
    def directory(self) -> Path:
        """Where Envoy's sockets and its log are."""
        return self.sidecar.directory

    def bootstrap(self) -> dict[str, Any]:
        """The bootstrap that Envoy is given."""
        return self.sidecar.bootstrap(self.gateways.sockets if self.gateways else None)

    def enforces(self, contract: Contract, workload: Workload) -> bool:
        """Whether this is the proxy for ``contract`` as ``workload`` sees it."""
        return self.workload == workload and (
            self.contract is contract or self.contract == contract
        )

    def running(self) -> bool:
        """Whether Envoy is alive, and so are the gateways."""
        return self.sidecar.running() and (self.gateways is None or self.gateways.running())

    def close(self) -> None:
        """Stop Envoy and remove its directory, let go of the gateways. Twice is once."""
        self.sidecar.close()
        if self._leads and self.gateways is not None:
            self._leads = False
            self.gateways.release()

    @abstractmethod
    def lookup(self, name: str, family: str = "A", timeout: float = 5.0) -> DnsAnswer:
        """Resolve ``name`` as the pod's application would."""

    @abstractmethod
    def _attempt(self, target: Target, options: Options) -> tuple[Attempt, str | None]:
        """Make an attempt; it, and the source address of its connection, if it had one."""

    def probe(self, target: Target, options: Options) -> Observation:
        """Make one attempt and gather what the proxy and the outside say of it."""
        if options.client_cert is not None and not self._live:
            with contextlib.suppress(OSError):  # the probe itself says what is wrong with it
                known = certificates_in(Path(options.client_cert))
                self._outside.expect_client(target.host, known)
        attempt, source = self._attempt(target, options)
        if attempt.stage == "dns" and attempt.failure is not None:
            return Observation(attempt, live=self._live, resolver=self._resolver_failure(attempt))
        records = self.sidecar.records(source) if source else ()
        way = self.follow(_deciding(records))
        accepted = self._accepted(way.evidence)
        return Observation(
            attempt,
            way.evidence,
            signed=not self._live and self._signed(attempt, options, accepted),
            accepted=accepted,
            requests=self._requests(way.evidence),
            live=self._live,
            control=way.control,
            hops=way.hops,
        )

    def follow(self, evidence: Evidence | None) -> Way:
        """Where a record of the sidecar led to, and what that proxy says of it; once for each."""
        if evidence is not None and self.gateways is not None:
            way = self.gateways.follow(evidence)
            if way is not None:
                return way
        return Way(evidence, control=self.sidecar.control_failure)

    def program_of(self, proxy: str) -> Program:
        """What a proxy was given: a gateway by its name; empty: the sidecar."""
        if proxy and self.gateways is not None:
            return next((it.program for it in self.gateways if it.name == proxy), self.program)
        return self.program

    def records(self, source: str) -> tuple[Evidence, ...]:
        """The records of a connection (`PodSocket.source`) that have come since they were asked."""
        return self.sidecar.witness.take(source)

    def wait_for_records(
        self, source: str, timeout: float, known: tuple[Evidence, ...] = ()
    ) -> tuple[Evidence, ...]:
        """The records of a connection that has ended; after ``timeout``, what has come of them.

        ``known`` are those that have been taken already; they are not returned again.
        """
        return self.sidecar.witness.wait(source, timeout, known)

    def settle(self) -> str:
        """Return once the records of all that has happened so far are here; empty, or why not.

        The proxy works in one thread: when a control has passed through it, what came before is
        done, and its records have been sent.
        """
        failure = self.sidecar.settle()
        for gateway in self.gateways or ():
            failure = failure or gateway.proxy.settle()
        return failure

    def accepted(self, evidence: Evidence) -> UpstreamProof | None:
        """What the simulated outside knows of the connection that the proxy opened."""
        return self._accepted(evidence, ended=evidence.kind == "connection")

    def _signed(self, attempt: Attempt, options: Options, accepted: UpstreamProof | None) -> bool:
        """Whether the answer carries what only the simulated outside could send."""
        if attempt.response is not None:
            token = attempt.response.headers.get(_TOKEN_HEADER) or ""
            return hmac.compare_digest(token.encode(), self._outside.token.encode())
        if attempt.target.startswith("tls:"):
            verified = attempt.tls is not None and attempt.tls.verified
            return attempt.completed and (verified or accepted is not None)
        if options.payload is not None and accepted is not None:
            # Bytes of the user's own: they came back over the connection the outside accepted.
            return attempt.completed and bool(attempt.received)
        signature = b"EGRESS-UPSTREAM " + self._outside.sign(attempt.nonce).encode() + b"\r\n"
        return signature in attempt.received

    def _carrier_of(self, evidence: Evidence) -> str:
        """Who carries the connections of the proxy that made a record to the outside."""
        del evidence  # its gateways dial from where the sidecar does
        return self._carrier

    def _accepted(self, evidence: Evidence | None, *, ended: bool = False) -> UpstreamProof | None:
        """What the outside knows of the connection that the proxy opened for this attempt."""
        if self._live or evidence is None or not evidence.upstream_local_address:
            return None
        proof = self._outside.accepted(
            evidence.upstream_local_address,
            evidence.upstream_host,
            ended=ended or bool(evidence.response_flags & _CONNECTION_ENDED),
            carrier=self._carrier_of(evidence),
        )
        if proof is None or not evidence.rule or evidence.kind != "http":
            return proof  # only a rule sends what a gateway or an HTTP listener has read elsewhere
        tls = proof.details.get("protocol", "").startswith("tls")
        if tls or proof.forwarded or not _is_of_tls(self.contract, evidence.cluster):
            return proof
        return replace(proof, unencrypted=True)

    def _requests(self, evidence: Evidence | None) -> tuple[Request, ...]:
        """What arrived of this attempt at the host that the proxy's cluster is for.

        A mirrored copy has the same id and comes at a time of its own: it is its mirror's.
        """
        if self._live or evidence is None:
            return ()
        requests = self._outside.requests_with(evidence.request_id)
        host = evidence.cluster.rpartition("|")[2].lower()
        if not evidence.cluster.startswith("outbound|"):
            return requests
        # Of a shared place it is not known who stands there, only what was asked for.
        return tuple(it for it in requests if it.address is None or it.is_for(host))

    def _resolver_failure(self, attempt: Attempt) -> str:
        """Empty when the name server works, so that its refusal is about the name asked."""
        if self._live:
            silent = attempt.dns is None or attempt.dns.rcode in {"TIMEOUT", "SERVFAIL"}
            return "the system's resolver is not known to work" if silent else ""
        answer = self.lookup(CONTROL_NAME, timeout=1.0)
        return "" if answer.addresses else "the pod's name server does not answer at all"


def _deciding(records: tuple[Evidence, ...]) -> Evidence | None:
    """The record that tells most: the last request's, else the connection's."""
    for kind in ("http", "connection"):
        for record in reversed(records):
            if record.kind == kind:
                return record
    return None


def _is_of_tls(contract: Contract, cluster: str) -> bool:
    """Whether the port of a cluster is declared as one of TLS, by each entry that declares it."""
    _, _, rest = cluster.partition("|")
    number, _, host = rest.partition("|")
    host = host.rpartition("|")[2]
    protocols = {
        port.protocol.lower()
        for entry in contract.service_entries
        if host in {it.lower() for it in entry.hosts}
        for port in entry.ports
        if str(port.number) == number
    }
    return bool(protocols) and protocols <= TLS_PROTOCOLS
