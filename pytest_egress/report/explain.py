"""The words of a failure: target, verdict, what decided, where it is declared, what to change."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import ServiceEntry, Workload
from pytest_egress.evidence import Evidence, Hop
from pytest_egress.probe import Target
from pytest_egress.report.hops import decided, hop_lines, refused_by_gateway
from pytest_egress.report.nearest import Nearest, covers, matches, nearest
from pytest_egress.report.routed import caused_by_rule, refused_by_rule
from pytest_egress.verdict import Judgement, Verdict

__all__ = ["declarations", "explain", "story", "summary"]

_INDENT = 10
_WIDTH = 240  # pytest cuts the middle out of anything longer


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
    where = f" {declared[0]}" if declared and judgement.verdict is not Verdict.UNDECLARED else ""
    line = f"<{judgement.verdict} {target}{where}: {judgement.reason}>"
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 4]}...>"


def explain(
    target: Target,
    judgement: Judgement,
    stage: str,
    evidence: Evidence | None,
    declared: tuple[Position, ...],
    contract: Contract,
    workload: Workload,
    hops: Sequence[tuple[Hop, Position | None]] = (),
) -> str:
    """The whole story of one outcome as text, one line for each part of it: see `story`."""
    told = story(target, judgement, stage, evidence, declared, contract, workload, hops)
    return "\n".join(f"{label:<{_INDENT}}{text}" for label, text in told)


def story(
    target: Target,
    judgement: Judgement,
    stage: str,
    evidence: Evidence | None,
    declared: tuple[Position, ...],
    contract: Contract,
    workload: Workload,
    hops: Sequence[tuple[Hop, Position | None]] = (),
) -> list[tuple[str, str]]:
    """The whole story of one outcome: a label and its text for each part of it.

    ``declared`` ends with the position of the rule, where ``evidence`` names one. ``hops`` are
    the proxies on the way, where there are several, each with the position of its rule.
    """
    lines = [
        ("target", str(target)),
        ("verdict", f"{judgement.verdict} at stage {stage}: {judgement.reason}"),
    ]
    lines.extend(hop_lines(hops))
    if evidence is not None and not hops:
        lines.append(("decided", decided(evidence)))
    rule: Position | None = None
    if evidence is not None and evidence.rule and declared:
        *entries, rule = declared
        declared = tuple(entries)
        if not hops:
            lines.append(("rule", f"VirtualService {evidence.rule} at {rule}"))
    near: Nearest | None = None
    if judgement.verdict is Verdict.BLOCKED:
        near = (
            refused_by_gateway(contract, target, tuple(hop for hop, _ in hops))
            or refused_by_rule(contract, target, evidence, rule)
            or nearest(contract, workload, target, evidence)
        )
    if judgement.edit:
        where = ", ".join(map(str, declared)) or "nowhere"
        lines += [("declared", where), ("edit", judgement.edit)]
    else:
        lines += _declaration(
            target, judgement.verdict, evidence, declared, rule, contract, workload, near
        )
    records = [hop.evidence for hop, _ in hops] or [evidence]
    lines.extend(("proxy", str(record)) for record in records if record is not None)
    return lines


def _declaration(
    target: Target,
    verdict: Verdict,
    evidence: Evidence | None,
    declared: tuple[Position, ...],
    rule: Position | None,
    contract: Contract,
    workload: Workload,
    near: Nearest | None,
) -> list[tuple[str, str]]:
    where = ", ".join(map(str, declared)) or "nowhere"
    undeclared = evidence is None or evidence.undeclared
    if verdict is Verdict.REACHABLE and evidence is not None:
        return [
            ("declared", where),
            ("edit", f"to block it, {_block(target, evidence, where, rule, contract)}"),
        ]
    if verdict is Verdict.UNREACHABLE and rule is not None and evidence is not None:
        of_rule = caused_by_rule(evidence, rule)
        if of_rule:
            return [("declared", where), ("edit", of_rule)]
    if verdict is Verdict.UNREACHABLE and not undeclared:
        return [
            ("declared", where),
            ("edit", f"none for the mesh: look at the upstream, or at the endpoints at {where}"),
        ]
    if verdict in {Verdict.UNDECLARED, Verdict.UNREACHABLE}:
        return [("declared", "nowhere"), ("edit", f"to block it, {_close(contract, workload)}")]
    if near is not None:
        where = f"{near.position} declares {near.declares}" if near.position else near.declares
        return [("nearest", where), ("edit", f"to allow it, {near.edit}")]
    return []


def _block(
    target: Target, evidence: Evidence, where: str, rule: Position | None, contract: Contract
) -> str:
    """What would block a target that the cluster of ``evidence`` answered."""
    host = evidence.cluster.rpartition("|")[2]
    asked = {target.host, evidence.authority.rpartition(":")[0] or evidence.authority} - {""}
    entries = [it for it in contract.service_entries if any(matches(n, host) for n in it.hosts)]
    if any(matches(host, name) or covers(entry, name) for name in asked for entry in entries):
        return f"take {host} out at {where}"
    if rule is not None:
        return f"change the rule at {rule}, which leads to {host}"
    return (
        f"look at {where}: its port takes all that comes to listener {evidence.listener}; "
        "declared as HTTP or TLS it is told apart by name, with addresses by address"
    )


def _close(contract: Contract, workload: Workload) -> str:
    """The edit that closes the mesh for a workload."""
    from pytest_egress.envoy.scope import select_sidecar

    sidecar = select_sidecar(contract, workload)
    policy, of = contract.mesh.outbound_traffic_policy, ""
    if sidecar is not None and sidecar.outbound_traffic_policy is not None:
        policy = sidecar.outbound_traffic_policy
        of = f" of the Sidecar at {sidecar.at('spec', 'outboundTrafficPolicy')}"
    return f"set outboundTrafficPolicy{of} to REGISTRY_ONLY (it is {policy.mode})"
