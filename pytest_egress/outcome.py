"""What a test reads from a probe: a verdict with its evidence, and name lookups."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NoReturn

from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Workload
from pytest_egress.errors import InconclusiveError
from pytest_egress.evidence import Evidence, Hop
from pytest_egress.flags import Flags
from pytest_egress.particulars import Timings, UpstreamAddress
from pytest_egress.probe import Attempt, DnsAnswer, Headers, Response, TlsInfo
from pytest_egress.received import Request
from pytest_egress.report.explain import summary
from pytest_egress.verdict import Judgement, Observation, Verdict

__all__ = ["Outcome", "Resolution"]


@dataclass(frozen=True, slots=True, repr=False)
class Outcome:
    """The judged result of one probe.

    Attributes:
        target: the URL that was probed.
        judgement: verdict and reason.
        observation: what was seen: the attempt, the proxy's record, the outside's.
        declared_by: where the contract declares what was reached; the rule of a VirtualService
            that decided comes last.
        workload: who asked: the pod's namespace and labels; None where nobody said.
    """

    target: str
    judgement: Judgement
    observation: Observation
    declared_by: tuple[Position, ...] = ()
    _explain: Callable[[], str] = field(default=str, compare=False)
    workload: Workload | None = field(default=None, compare=False)

    @property
    def verdict(self) -> Verdict:
        """The verdict itself, INCONCLUSIVE included."""
        return self.judgement.verdict

    @property
    def reason(self) -> str:
        """The verdict's reason, one sentence."""
        return self.judgement.reason

    @property
    def reachable(self) -> bool:
        """Whether the declared upstream answered.

        Raises:
            InconclusiveError: there is no proof either way.
        """
        __tracebackhide__ = True
        return self._proven() is Verdict.REACHABLE

    @property
    def blocked(self) -> bool:
        """Whether the mesh refused it.

        Raises:
            InconclusiveError: there is no proof either way.
        """
        __tracebackhide__ = True
        return self._proven() is Verdict.BLOCKED

    @property
    def unreachable(self) -> bool:
        """Whether the contract lets it through, but the upstream failed.

        Raises:
            InconclusiveError: there is no proof either way.
        """
        __tracebackhide__ = True
        return self._proven() is Verdict.UNREACHABLE

    @property
    def declared(self) -> bool:
        """Whether something in the contract declares what was asked for.

        Raises:
            InconclusiveError: there is no proof either way.
        """
        through = self._proven() in {Verdict.REACHABLE, Verdict.UNREACHABLE}
        undeclared = self.evidence is not None and self.evidence.undeclared
        return through and not undeclared and bool(self.declared_by)

    @property
    def resolved(self) -> bool:
        """Whether the pod's own name lookup gave an address (true for an IP address).

        Raises:
            InconclusiveError: there is no proof either way.
        """
        __tracebackhide__ = True
        return self._proven() is not Verdict.UNRESOLVED

    @property
    def attempt(self) -> Attempt:
        """What the probe saw."""
        return self.observation.attempt

    @property
    def evidence(self) -> Evidence | None:
        """The proxy's record that decided, None when there is none."""
        return self.observation.evidence

    @property
    def hops(self) -> tuple[Hop, ...]:
        """The proxies that it came to where these are several: the sidecar, then a gateway.

        Empty where the sidecar led to no gateway: `evidence` tells all then.
        """
        return self.observation.hops

    @property
    def stage(self) -> str:
        """The furthest stage the probe entered: dns, tcp, tls, http or grpc."""
        return self.attempt.stage

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that the pod's lookup gave."""
        return self.attempt.dns.addresses if self.attempt.dns else ()

    @property
    def upstream(self) -> UpstreamAddress:
        """Who answered: ``address:port`` as text, with ``.host``, ``.address`` and ``.port``.

        Empty when it is not known.
        """
        accepted = self.observation.accepted
        if accepted is not None:
            return UpstreamAddress(accepted.host, accepted.address, accepted.port)
        if self.observation.live and self.evidence is not None:
            address, _, port = self.evidence.upstream_host.rpartition(":")
            if port.isdecimal():
                return UpstreamAddress("", address.strip("[]"), int(port))
        return UpstreamAddress()

    @property
    def attempts(self) -> int:
        """How often the proxy tried the upstream, by its own record; 0 when it never did.

        What the upstream counted are the `requests`.
        """
        return self.evidence.attempts if self.evidence is not None else 0

    @property
    def requests(self) -> tuple[Request, ...]:
        """The HTTP requests that arrived at the upstream for this one: each attempt.

        Mirrored copies are their mirror's: see `Upstream.wait_for_requests`.
        """
        return self.observation.requests

    @property
    def flags(self) -> Flags:
        """Envoy's response flags, empty without a record: ``"UT" in outcome.flags``."""
        return Flags(self.evidence.response_flags if self.evidence is not None else ())

    @property
    def cluster(self) -> str:
        """The upstream cluster that the proxy's record names, empty without one."""
        return self.evidence.cluster if self.evidence is not None else ""

    @property
    def subset(self) -> str:
        """The DestinationRule subset in `cluster`, empty without one."""
        parts = self.cluster.split("|")
        return parts[2] if len(parts) == 4 else ""

    @property
    def timings(self) -> Timings:
        """How long it took, in seconds: each stage, all of them, the proxy's own."""
        evidence = self.evidence
        if evidence is None:
            return Timings(self.attempt.timings)
        return Timings(self.attempt.timings, evidence.duration, evidence.upstream_duration)

    @property
    def tls(self) -> TlsInfo | None:
        """The TLS session as the probe saw it, None before the handshake."""
        return self.attempt.tls

    @property
    def response(self) -> Response | None:
        """The HTTP response, whoever sent it, None when there was none."""
        return self.attempt.response

    @property
    def status(self) -> int | None:
        """The HTTP status code, whoever sent it, None when there was none."""
        return self.response.status if self.response else None

    @property
    def headers(self) -> Headers:
        """The response's headers; ``get()`` ignores case."""
        return self.response.headers if self.response else Headers()

    @property
    def body(self) -> bytes:
        """The response's body, or the bytes that a TCP probe received."""
        return self.response.body if self.response else self.attempt.received

    @property
    def text(self) -> str:
        """The body as UTF-8; undecodable bytes are replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            json.JSONDecodeError: it is not.
        """
        return json.loads(self.body)

    def explain(self) -> str:
        """The whole story: verdict, what decided, where it is declared, what to change."""
        return self._explain()

    def __repr__(self) -> str:
        return summary(self.target, self.judgement, self.declared_by)

    def __str__(self) -> str:
        return self.explain()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the explanation as text: a contract cannot leave its process (pytest-xdist)."""
        told = partial(str, self.explain())
        values = (self.target, self.judgement, self.observation, self.declared_by, told)
        asking = self.workload
        if asking is not None:
            asking = replace(asking, labels=dict(asking.labels))  # a mapping proxy stays at home
        return Outcome, (*values, asking)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "an outcome is neither true nor false: read .reachable, .blocked, .unreachable, "
            ".declared or .resolved"
        )

    def _proven(self) -> Verdict:
        __tracebackhide__ = True
        if self.verdict is Verdict.INCONCLUSIVE:
            raise InconclusiveError(f"no proof either way\n{self.explain()}")
        return self.verdict


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer to a name lookup made as the pod's application would.

    Attributes:
        name: the name that was asked for.
        answer: the DNS answer.
        failure: empty, or why this answer proves nothing.
        family: the type of the records that were asked for.
        workload: who asked; None: not known.
        declared_by: where the contract declares the name for that workload.
    """

    name: str
    answer: DnsAnswer
    failure: str = ""
    family: Literal["A", "AAAA"] = "A"
    workload: Workload | None = None
    declared_by: tuple[Position, ...] = ()

    @property
    def resolved(self) -> bool:
        """Whether there is an address.

        Raises:
            InconclusiveError: the name server is not known to work.
        """
        __tracebackhide__ = True
        self._proven()
        return bool(self.answer.addresses)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses, in the order of the answer.

        Raises:
            InconclusiveError: the name server is not known to work.
        """
        __tracebackhide__ = True
        self._proven()
        return self.answer.addresses

    @property
    def rcode(self) -> str:
        """The response code (RFC 1035): NOERROR, NXDOMAIN, SERVFAIL ..., or TIMEOUT.

        Raises:
            InconclusiveError: the name server is not known to work.
        """
        __tracebackhide__ = True
        self._proven()
        return self.answer.rcode

    def __bool__(self) -> NoReturn:
        raise TypeError("a resolution is neither true nor false: read .resolved or .addresses")

    def _proven(self) -> None:
        __tracebackhide__ = True
        if self.failure:
            raise InconclusiveError(f"the lookup of {self.name} proves nothing: {self.failure}")
