"""Where a contract declares what a record's cluster leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_egress.contract.position import Position
from pytest_egress.evidence import BLACK_HOLE, PASSTHROUGH, Evidence
from pytest_egress.report.explain import declarations
from pytest_egress.report.nearest import matches

if TYPE_CHECKING:
    from pytest_egress.envoy import Program

__all__ = ["declared_by", "declaring", "rule_position"]


def declared_by(program: Program, evidence: Evidence) -> tuple[Position, ...]:
    """The hosts that declare the cluster of a record; a VirtualService's rule comes last.

    Args:
        program: of the proxy that made the record.
        evidence: the record.
    """
    declared: tuple[Position, ...] = ()
    if evidence.cluster not in {"", BLACK_HOLE, PASSTHROUGH}:
        # A subset is declared where its host is.
        direction, _, rest = evidence.cluster.partition("|")
        port, _, subset_and_host = rest.partition("|")
        host = subset_and_host.rpartition("|")[2]
        whole = f"{direction}|{port}||{host}" if host else evidence.cluster
        declared = declarations(program.origins.get(whole, ()), evidence.cluster)
    rule = rule_position(program, evidence)
    return declared if rule is None else (*declared, rule)


def declaring(program: Program, name: str) -> tuple[Position, ...]:
    """The hosts that declare a name for whoever a program is for."""
    places = (
        place
        for cluster, entries in program.origins.items()
        if matches(cluster.rpartition("|")[2], name)
        for place in declarations(entries, cluster)
    )
    return tuple(dict.fromkeys(places))


def rule_position(program: Program, evidence: Evidence) -> Position | None:
    """Where the rule of a VirtualService stands that a proxy followed."""
    rule = program.rule(evidence.rule) if evidence.rule else None
    return None if rule is None else rule.position
