"""The words of a failure: target, verdict, what decided, where it is declared, what to change."""

from __future__ import annotations

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import ServiceEntry, Workload
from pytest_egress.evidence import Evidence
from pytest_egress.probe import Target
from pytest_egress.report.nearest import matches, nearest
from pytest_egress.verdict import Judgement, Verdict

__all__ = ["declarations", "explain", "summary"]

_INDENT = 10


def declarations(entries: tuple[ServiceEntry, ...], cluster: str) -> tuple[Position, ...]:
    """Where the host of a cluster (``outbound|443||host``) is declared."""
    host = cluster.rpartition("|")[2]
    return tuple(
        entry.at("spec", "hosts", index)
        for entry in entries
        for index, name in enumerate(entry.hosts)
        if name.lower() == host.lower() or matches(name, host)
    )


def summary(target: str, judgement: Judgement, declared: tuple[Position, ...]) -> str:
    """One line, short enough for pytest's own assertion message."""
    where = f" {declared[0]}" if declared else ""
    return f"<{judgement.verdict} {target}{where}: {judgement.reason}>"


def explain(
    target: Target,
    judgement: Judgement,
    stage: str,
    evidence: Evidence | None,
    declared: tuple[Position, ...],
    contract: Contract,
    workload: Workload,
) -> str:
    """The whole story of one outcome, one labelled line for each part of it."""
    lines = [
        ("target", str(target)),
        ("verdict", f"{judgement.verdict} at stage {stage}: {judgement.reason}"),
    ]
    if evidence is not None:
        lines.append(("decided", _decided(evidence)))
    lines.extend(_declaration(target, judgement.verdict, declared, contract, workload))
    if evidence is not None:
        lines.append(("proxy", str(evidence)))
    return "\n".join(f"{label:<{_INDENT}}{text}" for label, text in lines)


def _decided(evidence: Evidence) -> str:
    parts = [f"listener {evidence.listener}"]
    if evidence.filter_chain:
        parts.append(f"filter chain {evidence.filter_chain}")
    if evidence.route_config:
        parts.append(f"route {evidence.route or '-'} of {evidence.route_config}")
    parts.append(f"cluster {evidence.cluster or '-'}")
    return ", ".join(parts)


def _declaration(
    target: Target,
    verdict: Verdict,
    declared: tuple[Position, ...],
    contract: Contract,
    workload: Workload,
) -> list[tuple[str, str]]:
    policy = contract.mesh.outbound_traffic_policy.mode
    if verdict is Verdict.REACHABLE:
        where = ", ".join(map(str, declared))
        return [
            ("declared", where),
            ("edit", f"to block it, take {target.host} out at {where}"),
        ]
    if verdict is Verdict.UNREACHABLE and declared:
        where = ", ".join(map(str, declared))
        return [
            ("declared", where),
            ("edit", f"none for the mesh: look at the upstream, or at the endpoints at {where}"),
        ]
    if verdict in {Verdict.UNDECLARED, Verdict.UNREACHABLE}:
        return [
            ("declared", "nowhere"),
            ("edit", f"to block it, set outboundTrafficPolicy to REGISTRY_ONLY (it is {policy})"),
        ]
    if verdict is Verdict.BLOCKED:
        near = nearest(contract, workload, target.scheme, target.host, target.port)
        where = f"{near.position} declares {near.declares}" if near.position else near.declares
        return [("nearest", where), ("edit", f"to allow it, {near.edit}")]
    return []
