"""What a run found out about one call, as plain values: verdict, way, evidence, words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pytest_egress.capture.calls import Call
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Workload
from pytest_egress.evidence import Evidence, Hop
from pytest_egress.outcome import Outcome
from pytest_egress.report.facts import Fact, fact_of_call, fact_of_outcome
from pytest_egress.report.redact import redacted
from pytest_egress.report.steps import SIDECAR, Step, steps_of
from pytest_egress.verdict import Verdict

__all__ = ["Finding", "finding_of_call", "finding_of_outcome", "text_of"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One probe or lookup of a test, or one call of its own code.

    Attributes:
        fact: the call itself, as coverage and record want it.
        kind: ``probe``, ``call`` or ``lookup``.
        target: the URL that was asked for; of a lookup ``dns://NAME``.
        reason: the verdict's reason, one sentence.
        workload: who asked: ``namespace`` or ``namespace/key=value,...``; empty: not known.
        declared_by: where the contract declares what was reached.
        steps: its way, with the step that decided.
        records: what each proxy logged; fields that Envoy had nothing for are left out.
        status: the HTTP status; None: no response.
        seconds: how long it took; None: not known.
        where: the line of the user's code that made it, for a call.
        explanation: the whole story.
    """

    fact: Fact
    kind: str
    target: str
    reason: str
    workload: str = ""
    declared_by: tuple[Position, ...] = ()
    steps: tuple[Step, ...] = ()
    records: tuple[Mapping[str, Any], ...] = ()
    status: int | None = None
    seconds: float | None = None
    where: str = ""
    explanation: str = ""

    @property
    def verdict(self) -> str:
        """The verdict's name."""
        return self.fact.verdict

    def to_json(self) -> dict[str, Any]:
        """The finding as plain values."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values["fact"] = self.fact.to_json()
        values["declared_by"] = [asdict(place) for place in self.declared_by]
        values["steps"] = [step.to_json() for step in self.steps]
        values["records"] = [dict(record) for record in self.records]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Finding:
        """The finding of plain values."""
        changed = {
            "fact": Fact.from_json(values["fact"]),
            "declared_by": tuple(Position(**place) for place in values["declared_by"]),
            "steps": tuple(map(Step.from_json, values["steps"])),
            "records": tuple(values["records"]),
        }
        return cls(**{**values, **changed})


def finding_of_outcome(outcome: Outcome, test: str, *, words: bool = True) -> Finding:
    """What a probe says; without ``words`` the explanation is left out, which takes time."""
    attempt, evidence = outcome.attempt, outcome.evidence
    return Finding(
        fact_of_outcome(outcome, test),
        "probe",
        redacted(outcome.target),
        redacted(outcome.reason),
        text_of(outcome.workload),
        outcome.declared_by,
        steps_of(
            outcome.verdict,
            _lookup(outcome),
            evidence,
            outcome.hops,
            _upstream(str(outcome.upstream), outcome.upstream.host, evidence),
        ),
        _records(evidence, outcome.hops),
        outcome.status,
        round(sum(attempt.timings.values()), 6),
        "",
        redacted(outcome.explain()) if words else "",
    )


def finding_of_call(call: Call, test: str) -> Finding:
    """What a captured call says."""
    failed = call.verdict is Verdict.UNRESOLVED
    lookup = Step("dns", "", call.host, "no address" if failed else call.address)
    return Finding(
        fact_of_call(call, test),
        "call",
        f"dns://{call.host}" if call.protocol == "dns" else redacted(call.target),
        redacted(call.reason),
        "",
        call.declared_by,
        steps_of(call.verdict, lookup, call.evidence, call.hops, _upstream("", "", call.evidence)),
        _records(call.evidence, call.hops),
        call.status or None,
        None,
        str(call.where or ""),
        redacted(str(call)),
    )


def _lookup(outcome: Outcome) -> Step:
    dns, address = outcome.attempt.dns, outcome.attempt.address
    if dns is None:
        given = address[0] if address else ""
        return Step("dns", "", given or "none", "no lookup: the address was given")
    found = ", ".join(dns.addresses[:3]) + (" ..." if len(dns.addresses) > 3 else "")
    return Step("dns", "", dns.name, found or dns.rcode)


def _upstream(address: str, host: str, evidence: Evidence | None) -> Step:
    if evidence is None:
        return Step("upstream", "", "")
    name = address or evidence.upstream_host
    flags = ",".join(sorted(evidence.response_flags - {"DC"}))
    return Step("upstream", "", name, (host or flags) if name else "")


def _records(evidence: Evidence | None, hops: Iterable[Hop]) -> tuple[Mapping[str, Any], ...]:
    seen = list(hops) or [Hop(SIDECAR, evidence)]
    return tuple(_record(hop) for hop in seen if hop.evidence is not None or hop.refusal)


def _record(hop: Hop) -> dict[str, Any]:
    found: dict[str, Any] = {"proxy": hop.proxy}
    if hop.refusal:
        found["refusal"] = hop.refusal
    if hop.evidence is None:
        return found
    for item in fields(hop.evidence):
        value = getattr(hop.evidence, item.name)
        if item.name == "proxy" or value in ("", 0, None, frozenset()):
            continue
        if isinstance(value, str):
            value = redacted(value)
        found[item.name] = sorted(value) if isinstance(value, frozenset) else value
    return found


def text_of(workload: Workload | None) -> str:
    """``namespace/key=value,...``; empty where the workload is not known."""
    if workload is None:
        return ""
    labels = ",".join(f"{key}={value}" for key, value in sorted(workload.labels.items()))
    return f"{workload.namespace}/{labels}" if labels else workload.namespace
