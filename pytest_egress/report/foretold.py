"""What would be told of a call, without making it: decided over the compiled contract.

The words are those of a real outcome (`pytest_egress.report.explain`); each choice of the proxy is
added with its reason, and every resource that had a part in it with its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Workload
from pytest_egress.decide import Call, Decision
from pytest_egress.probe import Target
from pytest_egress.report.explain import story
from pytest_egress.report.foresight import Foresight
from pytest_egress.report.parts import Part, parts
from pytest_egress.verdict import Judgement, Verdict

__all__ = ["Foretold", "foretell"]

SCHEMA = 1
_STAGES = {"tcp": "tcp", "tls": "tls", "https": "http", "http": "http"}
_WIDTH = 10


@dataclass(frozen=True, slots=True)
class Foretold:
    """What would be told of one call.

    Attributes:
        target: what is called.
        workload: who calls.
        address: the address that is dialled, and ``why_address`` it is that one.
        decisions: of each proxy on the way, the sidecar first, by its name.
        judgement: the verdict if the upstream answers, and its reason.
        declared_by: as `Outcome.declared_by`.
        parts: what had a part in it.
    """

    target: Target
    workload: Workload
    address: str
    why_address: str
    decisions: tuple[tuple[str, Decision], ...]
    judgement: Judgement
    declared_by: tuple[Position, ...]
    parts: tuple[Part, ...]
    told: tuple[tuple[str, str], ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict if the upstream answers."""
        return self.judgement.verdict

    def lines(self) -> Iterator[str]:
        """The story as text: a label and what it is about on each line."""
        labels = ", ".join(f"{key}={value}" for key, value in sorted(self.workload.labels.items()))
        told = [
            ("target", str(self.target)),
            ("verdict", f"{self.verdict}: {self.judgement.reason}"),
            ("from", self.workload.namespace + (f" ({labels})" if labels else "")),
            ("dialled", f"{Call.to(self.target, self.address).destination} ({self.why_address})"),
        ]
        for number, (proxy, decision) in enumerate(self.decisions):
            if number:
                told.append(("gateway", proxy))
            for step in decision.steps:
                label = {"filter chain": "chain", "virtual host": "host"}.get(step.kind, step.kind)
                told.append((label, f"{step.name or '-'}: {step.why}"))
            if decision.fault:
                told.append(("fault", decision.fault))
        for number, part in enumerate(self.parts):
            at = f" at {part.position}" if part.position else ""
            told.append(("" if number else "took part", f"{part.name}{at} {part.does}"))
        told.extend(self.told)
        return (f"{label:<{_WIDTH}}{text}" for label, text in told)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "schema": SCHEMA,
            "target": str(self.target),
            "from": {"namespace": self.workload.namespace, "labels": dict(self.workload.labels)},
            "verdict": str(self.verdict),
            "reason": self.judgement.reason,
            "address": self.address,
            "proxies": [
                {
                    "proxy": proxy,
                    "decision": decision.to_json(),
                    "fault": decision.fault,
                    "rule": str(decision.rule) if decision.rule else "",
                    "steps": [
                        {"kind": it.kind, "name": it.name, "why": it.why} for it in decision.steps
                    ],
                }
                for proxy, decision in self.decisions
            ],
            "took_part": [
                {
                    "name": part.name,
                    "does": part.does,
                    "at": str(part.position) if part.position else None,
                }
                for part in self.parts
            ],
            "declared_by": [str(position) for position in self.declared_by],
            **dict(self.told),
        }


def foretell(foresight: Foresight, target: Target, address: str = "") -> Foretold:
    """What would be told of a call.

    Args:
        foresight: the contract, and who calls.
        target: what is called.
        address: what its name resolves to; what the contract says of it where empty.

    Raises:
        ProbeError: a regular expression has something that only Envoy knows.
    """
    why = "as given"
    if not address:
        address, why = foresight.dialled(target.host)
    met = foresight.meet(Call.to(target, address))
    contract, workload = foresight.contract, foresight.workload
    first = met.hops[0][0].evidence if met.hops else met.evidence
    stage = _STAGES.get(target.scheme, "http")
    told = story(
        target, met.judgement, stage, met.evidence, met.declared_by, contract, workload, met.hops
    )
    return Foretold(
        target,
        workload,
        address,
        why,
        met.decisions,
        met.judgement,
        met.declared_by,
        tuple(
            parts(
                contract,
                workload,
                foresight.program,
                met.decisions,
                met.gateway,
                undeclared=first is not None and first.undeclared,
            )
        ),
        tuple(it for it in told if it[0] in {"declared", "nearest", "edit"}),
    )
