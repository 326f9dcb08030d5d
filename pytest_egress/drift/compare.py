"""Two contracts, asked the same questions: what becomes reachable, blocked or otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Workload
from pytest_egress.drift.candidates import ELSEWHERE, Question, questions, workloads
from pytest_egress.drift.ways import way
from pytest_egress.report.foresight import Foresight, Met
from pytest_egress.verdict import Verdict

__all__ = ["Change", "compare"]

Kind = Literal["opens", "closes", "changes"]
_ORDER: dict[Kind, int] = {"opens": 0, "closes": 1, "changes": 2}
_BECOMES = {
    Verdict.REACHABLE: "becomes reachable",
    Verdict.UNDECLARED: "becomes reachable without being declared",
    Verdict.BLOCKED: "becomes blocked",
    Verdict.UNREACHABLE: "loses its endpoints",
}
_OPEN = {Verdict.REACHABLE, Verdict.UNDECLARED}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference for callers.

    Attributes:
        kind: ``opens`` (something is reachable that was not), ``closes`` or ``changes``.
        target: host and port, as declared.
        how: with what it is called: ``TLS``, ``HTTP /v1`` ...; those of one change together.
        what: the difference, as a part of a sentence.
        workloads: from whom: namespaces, with labels in parentheses; empty for all of them.
        declared_by: where the side that lets it through declares it.
        reason: of the verdict that it has now.
    """

    kind: Kind
    target: str
    how: tuple[str, ...]
    what: str
    workloads: tuple[str, ...] = ()
    declared_by: tuple[Position, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        whom = f" from {', '.join(self.workloads)}" if self.workloads else ""
        return f"{self.target} ({', '.join(self.how)}) {self.what}{whom}"

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "kind": self.kind,
            "target": self.target,
            "how": list(self.how),
            "what": self.what,
            "workloads": list(self.workloads),
            "declared_by": [str(position) for position in self.declared_by],
            "reason": self.reason,
        }


def compare(
    old: Contract, new: Contract, asking: Iterable[Workload] = (), *, dns_capture: bool = False
) -> list[Change]:
    """What changes for callers from one contract to the other.

    Args:
        old: what holds now.
        new: what is to hold.
        asking: the workloads that are asked for; those that the contracts tell apart where none
            is given.
        dns_capture: whether Istio's agent resolves the pods' names, for the latter.

    Returns:
        The changes: what opens, what closes, what goes another way.

    Raises:
        ContractError: istiod itself fails on one of them.
        ProbeError: a regular expression has something that only Envoy knows.
    """
    who = list(asking) or workloads(old, new, dns_capture=dns_capture)
    asked = questions(old, new)
    found: dict[tuple[Kind, str, str], dict[str, list[tuple[str, Change]]]] = {}
    for workload in who:
        sides = Foresight(old, workload), Foresight(new, workload)
        if sides[0].equals(sides[1]):
            continue
        for question in asked:
            for change in _differences(question, *sides):
                key = (change.kind, change.target, change.what)
                name = _named(workload)
                found.setdefault(key, {}).setdefault(name, []).append((change.how[0], change))
    everyone = [_named(it) for it in who]
    return sorted(
        _grouped(found, everyone), key=lambda it: (_ORDER[it.kind], it.target, it.how, it.what)
    )


def _grouped(
    found: dict[tuple[Kind, str, str], dict[str, list[tuple[str, Change]]]], everyone: list[str]
) -> Iterator[Change]:
    """Changes that differ in the workload or in how is called only are one."""
    for (kind, target, what), by_workload in found.items():
        together: dict[tuple[str, ...], list[str]] = {}
        for name, changes in by_workload.items():
            together.setdefault(tuple(dict.fromkeys(how for how, _ in changes)), []).append(name)
        for how, names in together.items():
            change = by_workload[names[0]][0][1]
            whom = () if names == everyone else tuple(names)
            yield Change(kind, target, how, what, whom, change.declared_by, change.reason)


def _differences(question: Question, old: Foresight, new: Foresight) -> Iterator[Change]:
    before, after = (
        side.meet(question.call(side.dialled(question.name)[0])) for side in (old, new)
    )
    verdicts = _seen(before), _seen(after)
    if verdicts[0] is not verdicts[1]:
        opens = verdicts[1] in _OPEN and verdicts[0] not in _OPEN
        closes = verdicts[0] in _OPEN and verdicts[1] not in _OPEN
        kind: Kind = "opens" if opens else "closes" if closes else "changes"
        yield _change(kind, question, _BECOMES[verdicts[1]], before if closes else after, after)
        return
    if verdicts[1] not in {Verdict.REACHABLE, Verdict.UNREACHABLE}:
        return
    ways = way(before), way(after)
    for name in dict.fromkeys((*ways[0], *ways[1])):
        was, is_now = ways[0].get(name, "none"), ways[1].get(name, "none")
        told = name != "endpoints" or "none" not in {was, is_now}  # else the resolution tells it
        if was != is_now and told:
            other = "other" if name == "endpoints" else "another"
            what = f"has {other} {name}: {is_now} (was: {was})"
            yield _change("changes", question, what, after, after)


def _seen(met: Met) -> Verdict:
    """The verdict for a caller: what the proxy cannot read goes nowhere either."""
    verdict = met.judgement.verdict
    return Verdict.BLOCKED if verdict is Verdict.INCONCLUSIVE else verdict


def _change(kind: Kind, question: Question, what: str, declaring: Met, after: Met) -> Change:
    return Change(
        kind,
        question.target,
        (question.how,),
        what,
        declared_by=declaring.declared_by,
        reason=after.judgement.reason,
    )


def _named(workload: Workload) -> str:
    if workload.namespace == ELSEWHERE:
        return "any other namespace"
    labels = ", ".join(f"{key}={value}" for key, value in sorted(workload.labels.items()))
    return workload.namespace + (f" ({labels})" if labels else "")
