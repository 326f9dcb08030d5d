"""What to change where a VirtualService decided: the rule that answers, leads nowhere or fails."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.evidence import Evidence
from pytest_egress.probe import Target
from pytest_egress.report.nearest import Nearest, matches

if TYPE_CHECKING:
    from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["caused_by_rule", "refused_by_rule"]


def refused_by_rule(
    contract: Contract, target: Target, evidence: Evidence | None, rule: Position | None
) -> Nearest | None:
    """The rule that refused a target, or the VirtualService without one for it."""
    if evidence is None:
        return None
    if rule is None:
        return _no_rule(contract, evidence)
    declares = f"VirtualService {evidence.rule}"
    if evidence.answered_by_rule:
        kind = "directResponse" if evidence.answer == "direct_response" else evidence.answer
        host = evidence.authority.partition(":")[0] or target.host
        edit = f"put a route to {host} in place of the {kind} at {rule}, or narrow its match"
        return Nearest(rule, f"{declares}: a {kind}", edit)
    if evidence.leads_nowhere:
        where = evidence.missing_cluster or "a cluster that the proxy does not have"
        return Nearest(rule, f"{declares} to {where}", _exists(contract, evidence, rule))
    if evidence.response_code_details == "cors_response":
        return Nearest(rule, f"{declares}: its corsPolicy", f"narrow the corsPolicy at {rule}")
    return None


def caused_by_rule(evidence: Evidence, rule: Position) -> str:
    """The edit where a rule made a call fail; empty where it did not."""
    if "FI" in evidence.response_flags:
        return f"take the fault out at {rule}"
    if "UT" in evidence.response_flags:
        return f"lengthen the timeout at {rule}, or look at the upstream"
    return ""


def _no_rule(contract: Contract, evidence: Evidence) -> Nearest | None:
    """The VirtualService of a host for which no rule matched."""
    if evidence.kind != "http" or "NR" not in evidence.response_flags:
        return None
    host = evidence.authority.partition(":")[0]
    service = _speaking_for(contract.virtual_services, host)
    if service is None:
        return None
    at = service.at("spec", "http")
    metadata = service.metadata
    return Nearest(
        at,
        f"VirtualService {metadata.namespace}/{metadata.name}, none of whose rules matches "
        f"{evidence.method} {evidence.path}",
        f"add a rule without match at the end of http at {at}",
    )


def _speaking_for(services: Iterable[VirtualService], host: str) -> VirtualService | None:
    """The VirtualService with HTTP rules whose hosts match best."""
    fitting = [
        (pattern == host, len(pattern), service)
        for service in services
        if service.http
        for pattern in service.hosts
        if matches(pattern, host)
    ]
    return max(fitting, key=lambda it: it[:2])[2] if fitting else None


def _exists(contract: Contract, evidence: Evidence, rule: Position) -> str:
    """How the missing cluster of a rule comes to exist; istiod's own proxy may not name it."""
    if not evidence.missing_cluster:
        return f"declare what the rule at {rule} leads to"
    _, port, subset, host = evidence.missing_cluster.partition(" or ")[0].split("|")
    entries = [
        entry
        for entry in contract.service_entries
        if any(name.lower() == host.lower() for name in entry.hosts)
    ]
    if not entries and subset and _is_service(contract, host, int(port)):
        return f"declare the subset {subset} in a DestinationRule for {host}"
    if not entries:
        known = sorted({name for entry in contract.service_entries for name in entry.hosts})
        close = difflib.get_close_matches(host, known, n=1, cutoff=0.6)
        instead = f", or lead to {close[0]} at {rule}" if close else ""
        return f"declare {host}: a ServiceEntry with that host and port {port}{instead}"
    numbers = sorted({it.number for entry in entries for it in entry.ports})
    if int(port) not in numbers:
        listed = ", ".join(map(str, numbers)) or "none"
        return f"name a port of {host} in the destination at {rule} (it has {listed})"
    if subset:
        return f"declare the subset {subset} in a DestinationRule for {host}"
    at = entries[0].at("spec", "exportTo")
    return f"export {host} to the workload's namespace at {at}"


def _is_service(contract: Contract, host: str, port: int) -> bool:
    """Whether a host is a Service of the contract, or a gateway's that it speaks of."""
    if not contract.speaks_of_services:
        return False
    from pytest_egress.contract.kubernetes.registry import cluster_services

    return any(
        it.service.host == host and port in {its.number for its in it.service.ports}
        for it in cluster_services(contract)
    )
