"""The object a test holds: it probes from the pod and returns judged outcomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pytest_egress.backends.protocol import Backend, Mesh, require
from pytest_egress.contract.allocation import allocate
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import OutboundTrafficPolicy, Workload
from pytest_egress.errors import ProbeError
from pytest_egress.evidence import Evidence
from pytest_egress.outcome import Outcome, Resolution
from pytest_egress.probe import Options, Target
from pytest_egress.probes import Probes, read_probe
from pytest_egress.report.declared import declared_by, declaring, rule_position
from pytest_egress.report.explain import explain
from pytest_egress.report.nearest import matches
from pytest_egress.verdict import Judgement, judge

if TYPE_CHECKING:
    import requests

    from pytest_egress.capture.calls import Call, Calls
    from pytest_egress.capture.capture import Capture, OnBlocked
    from pytest_egress.capture.command import Completed, Pod
    from pytest_egress.capture.log import Log
    from pytest_egress.matrix import Matrix
    from pytest_egress.outcomes import Outcomes
    from pytest_egress.upstream import Upstream, Upstreams

__all__ = ["Egress"]

_EACH_POD = 4  # probes under way in a pod, where all are asked for beforehand
_CONTROL_NAME = "control.pytest-egress.invalid"


class Egress(Probes):
    """Probes from a test pod that lives under a contract.

    Every probe method takes a URL and returns an `Outcome`, or with ``n`` many `Outcomes`; none of
    them raises for what the network does. Further keyword arguments are the probe's options
    (`pytest_egress.Options`): ``headers``, ``body``, ``http_version`` ("1.0", "1.1", "2"),
    ``host_header``, ``sni`` ("" sends none), ``address`` (connect there, no lookup), ``timeout``
    (seconds), ``verify``, ``payload``, ``read_first`` and so on. URLs are ``http:// https:// tls://
    tcp:// grpc:// grpcs://``.

    Args:
        backend: where the contract is enforced.
        contract: what is declared, and the mesh's policy.
        workload: who is asking.
        timeout: seconds that one probe may take, unless it says otherwise.
        on_outcome: called with each outcome, for the report of a failing test.
        on_outcomes: called with those of each probe that was made several times, after them.
        on_calls: called with the calls of each capture or command that has ended.
        exclude: what every capture leaves out, beside loopback.
        test: the name of the test, for the call log.
    """

    def __init__(
        self,
        backend: Backend,
        contract: Contract,
        workload: Workload | None = None,
        *,
        timeout: float = 5.0,
        on_outcome: Callable[[Outcome], None] | None = None,
        on_outcomes: Callable[[Outcomes], None] | None = None,
        on_calls: Callable[[Calls], None] | None = None,
        on_lookup: Callable[[Resolution], None] | None = None,
        exclude: Iterable[str] = (),
        test: str = "",
    ) -> None:
        self.backend = backend
        self.workload = workload or Workload()
        self.contract = allocate(contract) if self.workload.dns_capture else contract
        self._timeout = timeout
        self._on_outcome = on_outcome
        self._on_outcomes = on_outcomes
        self._on_calls = on_calls
        self._on_lookup = on_lookup
        self._exclude = tuple(exclude)
        self._test = test
        self._session: requests.Session | None = None
        self._lent: list[Upstreams] = []  # at most one, shared with the variations of this pod

    # -- probes ---------------------------------------------------------------------------------

    def _attempt(self, target: Target, options: Options) -> Outcome:
        return self._tell(self._ask(target, options))

    def _tell(self, outcome: Outcome) -> Outcome:
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        return outcome

    def _ask(self, target: Target, options: Options) -> Outcome:
        mesh = self.mesh
        observation = mesh.probe(target, options)
        judgement = judge(observation)
        evidence = observation.evidence
        declared: tuple[Position, ...] = ()
        if evidence is not None:
            declared = _declared(mesh, evidence)
        return Outcome(
            str(target),
            judgement,
            observation,
            declared,
            partial(
                explain,
                target,
                judgement,
                observation.attempt.stage,
                evidence,
                declared,
                self.contract,
                self.workload,
                [(hop, _rule(mesh, hop.evidence)) for hop in observation.hops],
            ),
            self.workload,
        )

    def _ask_ahead(self, probes: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Outcome]:
        """Make probes at the same time; each is told of (`_tell`) when it is asked for."""
        attempts = [read_probe(url, self._timeout, options) for url, options in probes]
        return self._attempt_each(attempts, _EACH_POD * self.mesh.pods, self._ask)

    def _attempt_all(self, attempts: list[tuple[Target, Options]], concurrency: int) -> Outcomes:
        from pytest_egress.outcomes import Outcomes

        outcomes = Outcomes(self._attempt_each(attempts, concurrency))
        if self._on_outcomes is not None:
            self._on_outcomes(outcomes)
        return outcomes

    def resolve(self, name: str, family: Literal["A", "AAAA"] = "A") -> Resolution:
        """Look ``name`` up as the pod's application would, without connecting."""
        mesh = self.mesh
        answer = mesh.lookup(name, family, self._timeout)
        failure = ""
        if not answer.addresses and answer.rcode not in {"NOERROR", "NXDOMAIN"}:
            control = mesh.lookup(_CONTROL_NAME, "A", 1.0)
            if not control.addresses:
                failure = "the pod's name server does not answer at all"
        declared = declaring(mesh.program_of(""), name)
        resolution = Resolution(name, answer, failure, family, self.workload, declared)
        if self._on_lookup is not None:
            self._on_lookup(resolution)
        return resolution

    # -- the pod --------------------------------------------------------------------------------

    @property
    def mesh(self) -> Mesh:
        """The proxy that enforces the contract, started on first use."""
        return self.backend.enforce(self.contract, self.workload)

    @property
    def session(self) -> requests.Session:
        """A `requests.Session` whose connections go through the pod's proxy.

        It trusts the simulated outside's CA and takes no proxy from the environment.
        """
        if self._session is None:
            from pytest_egress.capture.session import pod_session

            require(self.backend, "dial")

            self._session = pod_session(lambda: self.mesh)
        return self._session

    def capture(
        self,
        *,
        on_blocked: OnBlocked = "fail",
        exclude: Iterable[str] = (),
        trust: bool = True,
    ) -> Capture:
        """Bring this process's own connections into the pod: ``with egress.capture() as calls:``.

        Every TCP connection and name lookup made through Python's sockets goes through the proxy
        until the block is left, whichever library and thread makes it. Loopback stays out.

        Args:
            on_blocked: what calls that the mesh refuses, or that have no proof, do when the block
                is left, even where the application swallowed the exception: ``fail`` raises
                `CapturedCallError`, ``warn`` warns, ``allow`` leaves it to the test.
            exclude: further hosts, globs (``*.internal``), addresses and networks that are
                reached directly.
            trust: have Python's TLS and libraries on top of it trust the simulated outside's CA.

        Raises:
            ProbeError: an argument is wrong.
        """
        from pytest_egress.capture.capture import Capture

        require(self.backend, "dial")
        if on_blocked not in {"fail", "warn", "allow"}:
            raise ProbeError(f"on_blocked={on_blocked!r}: expected 'fail', 'warn' or 'allow'")
        try:
            return Capture(
                self._new_log(),
                explain=self._explain_call,
                on_blocked=on_blocked,
                exclude=(*self._exclude, *exclude),
                trust=trust,
            )
        except ValueError as error:
            raise ProbeError(f"exclude: {error}") from None

    @property
    def pod(self) -> Pod:
        """The pod as a place to run commands: ``egress.pod.exec(["node", "client.js"])``."""
        from pytest_egress.capture.command import Pod

        require(self.backend, "pod-exec")
        return Pod(self.mesh, partial(require, self.backend), self._new_log, self._explain_call)

    def run(self, args: Sequence[str], **options: Any) -> Completed:
        """Run a command in the pod to its end; as ``egress.pod.exec``."""
        __tracebackhide__ = True
        return self.pod.exec(args, **options)

    def _new_log(self) -> Log:
        from pytest_egress.capture.log import Log

        mesh = self.mesh
        return Log(mesh, partial(_declared, mesh), self._test, self._on_calls)

    def _explain_call(self, call: Call) -> str:
        where = f"\nmade at   {call.where}" if call.where else ""
        if call.protocol in {"dns", "udp"}:
            return f"{call}"
        text = explain(
            Target.parse(call.target),
            Judgement(call.verdict, call.reason),
            call.protocol,
            call.evidence,
            call.declared_by,
            self.contract,
            self.workload,
            [(hop, _rule(self.mesh, hop.evidence)) for hop in call.hops],
        )
        return f"{text}{where}"

    def upstream(self, host: str, port: int | None = None) -> Upstream:
        """A simulated upstream, to script and to ask what it has seen: see `Upstreams`.

        What is told through it ends with `close`.

        Raises:
            ValueError: the host or port is not one; the message says what was expected.
            CapabilityError: the backend simulates no outside.
        """
        require(self.backend, "simulate")
        _ = self.mesh  # the contract says which endpoints a host has
        if not self._lent:
            self._lent.append(self.backend.upstreams())
        upstreams = self._lent[0]
        return upstreams[host] if port is None else upstreams[host, port]

    @property
    def policy(self) -> str:
        """The mesh's outbound traffic policy: REGISTRY_ONLY or ALLOW_ANY."""
        return self.contract.mesh.outbound_traffic_policy.mode

    def close(self) -> None:
        """End the session's connections and the captures', take back what `upstream` was told.

        The proxy belongs to the backend.
        """
        from pytest_egress.capture.kept import end_kept

        end_kept()
        while self._lent:
            self._lent.pop().restore()
        if self._session is not None:
            self._session.close()
            self._session = None

    # -- variations -----------------------------------------------------------------------------

    def without(self, *hosts: str) -> Egress:
        """The same pod under the contract less every entry that declares one of ``hosts``.

        Raises:
            ProbeError: no entry declares one of them.
        """
        entries = self.contract.service_entries
        for host in hosts:
            if not any(matches(pattern, host) for entry in entries for pattern in entry.hosts):
                declared = sorted({name for entry in entries for name in entry.hosts})
                raise ProbeError(
                    f"without({host!r}): no entry declares it; declared are {', '.join(declared)}"
                )
        kept = tuple(
            entry
            for entry in entries
            if not any(matches(pattern, host) for host in hosts for pattern in entry.hosts)
        )
        return self._with(contract=dataclasses.replace(self.contract, service_entries=kept))

    def as_workload(
        self, namespace: str = "default", labels: Mapping[str, str] | None = None
    ) -> Egress:
        """The same contract seen by another workload of the same mesh."""
        workload = dataclasses.replace(self.workload, namespace=namespace, labels=labels or {})
        return self._with(workload=workload)

    def matrix(
        self,
        workloads: Iterable[Workload | str],
        targets: Iterable[str],
        *,
        concurrency: int | None = None,
        **options: Any,
    ) -> Matrix:
        """Probe every target from every workload, one workload after the other.

        Args:
            workloads: each a `Workload`, or ``NAMESPACE`` or ``NAMESPACE/key=value,key=value``.
            targets: URLs.
            concurrency: how many probes of a workload may be under way at the same time; None:
                as many as there are test pods (``--egress-pods``).
            options: the probes' options.

        Raises:
            ProbeError: a workload, a URL or an option is wrong, or there is none.
            BackendError: a proxy cannot be brought up.
        """
        __tracebackhide__ = True
        from pytest_egress.matrix import Matrix, read_workloads

        urls = tuple(targets)
        pods = {
            name: self.as_workload(workload.namespace, workload.labels)
            for name, workload in read_workloads(workloads).items()
        }
        return Matrix(
            {
                (name, url): outcome
                for name, pod in pods.items()
                for url, outcome in pod._attempt_urls(urls, concurrency, options)  # noqa: SLF001  its class
            }
        )

    def with_dns_proxy(self, enabled: bool = True) -> Egress:
        """The same pod with or without DNS proxying (``ISTIO_META_DNS_CAPTURE``)."""
        return self._with(workload=dataclasses.replace(self.workload, dns_capture=enabled))

    def with_policy(self, mode: Literal["REGISTRY_ONLY", "ALLOW_ANY"]) -> Egress:
        """The same contract in a mesh with another outbound traffic policy."""
        mesh = dataclasses.replace(
            self.contract.mesh, outbound_traffic_policy=OutboundTrafficPolicy(mode)
        )
        return self._with(contract=dataclasses.replace(self.contract, mesh=mesh))

    def __repr__(self) -> str:
        entries = len(self.contract.service_entries)
        noun = "ServiceEntry" if entries == 1 else "ServiceEntries"
        return (
            f"<Egress {self.backend.name}: {entries} {noun}, {self.policy}, "
            f"from namespace {self.workload.namespace}>"
        )

    def _with(
        self, *, contract: Contract | None = None, workload: Workload | None = None
    ) -> Egress:
        varied = Egress(
            self.backend,
            contract or self.contract,
            workload or self.workload,
            timeout=self._timeout,
            on_outcome=self._on_outcome,
            on_outcomes=self._on_outcomes,
            on_calls=self._on_calls,
            on_lookup=self._on_lookup,
            exclude=self._exclude,
            test=self._test,
        )
        varied._lent = self._lent
        return varied


def _declared(mesh: Mesh, evidence: Evidence) -> tuple[Position, ...]:
    """Where the contract declares what a record's cluster leads to, the deciding rule last."""
    return declared_by(mesh.program_of(evidence.proxy), evidence)


def _rule(mesh: Mesh, evidence: Evidence | None) -> Position | None:
    """Where the rule of a VirtualService stands that a proxy followed."""
    return None if evidence is None else rule_position(mesh.program_of(evidence.proxy), evidence)
