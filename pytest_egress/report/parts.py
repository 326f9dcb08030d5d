"""The resources and settings that had a part in a decision, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Workload
from pytest_egress.decide import Decision
from pytest_egress.envoy.program import Program
from pytest_egress.envoy.scope import select_sidecar

if TYPE_CHECKING:
    from pytest_egress.envoy.gateway.program import GatewayProgram

__all__ = ["Part", "parts"]

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A resource, or a setting of the mesh, that had a part in a decision.

    Attributes:
        name: kind and name: ``ServiceEntry shop/weather``.
        does: what it does, as a part of a sentence.
        position: where; None for a setting that stands in no file.
    """

    name: str
    does: str
    position: Position | None = None


def parts(
    contract: Contract,
    workload: Workload,
    program: Program,
    decisions: Iterable[tuple[str, Decision]],
    gateway: GatewayProgram | None = None,
    *,
    undeclared: bool = False,
) -> Iterator[Part]:
    """What had a part in the decisions of the proxies on a way.

    Args:
        contract: what is declared.
        workload: who asks.
        program: the sidecar's.
        decisions: by the proxies' names, the sidecar's first.
        gateway: the second proxy; None where there is none.
        undeclared: whether the sidecar passes on what nothing declares.
    """
    for number, (_, decision) in enumerate(decisions):
        behind = number and gateway is not None
        yield from _parts_of(gateway.program if behind and gateway else program, decision)
        if not number:
            yield from _settings(contract, workload, decision, undeclared=undeclared)
    for it in gateway.workload.gateways if gateway is not None else ():
        yield Part(_named("Gateway", it), "configures the gateway", it.at("spec", "servers"))


def _settings(
    contract: Contract, workload: Workload, decision: Decision, *, undeclared: bool
) -> Iterator[Part]:
    """The Sidecar, and the policy for what nothing declares."""
    sidecar = select_sidecar(contract, workload)
    if sidecar is not None:
        does = "decides what this workload sees"
        yield Part(_named("Sidecar", sidecar), does, sidecar.at("metadata", "name"))
    if not undeclared and decision.verdict != "blocked":
        return
    own = sidecar.outbound_traffic_policy if sidecar is not None else None
    if sidecar is not None and own is not None:
        position = sidecar.at("spec", "outboundTrafficPolicy")
        yield Part("outboundTrafficPolicy of the Sidecar", f"is {own.mode}", position)
    else:
        mode = contract.mesh.outbound_traffic_policy.mode
        yield Part("outboundTrafficPolicy of the mesh", f"is {mode}")


def _parts_of(program: Program, decision: Decision) -> Iterator[Part]:
    rule = decision.rule
    while rule is not None:
        name = _named("VirtualService", rule.service)
        yield Part(name, f"routes it ({rule.kind}[{rule.index}])", rule.position)
        rule = rule.root
    for cluster in decision.all_clusters:
        parts = cluster.split("|")
        if len(parts) != 4:
            continue
        host = parts[3].lower()
        for entry in program.origins.get(f"outbound|{parts[1]}||{parts[3]}", ()):
            hosts = [it.lower() for it in entry.hosts]
            path = ("spec", "hosts", hosts.index(host)) if host in hosts else ("spec", "hosts")
            kind = "Service" if entry.registry == "Kubernetes" else "ServiceEntry"
            yield Part(_named(kind, entry), f"declares {cluster}", entry.at(*path))
        shaped = program.shaped.get(cluster)
        for source in shaped.sources if shaped is not None else ():
            name = _named("DestinationRule", source)
            yield Part(name, f"shapes {cluster}", source.at("spec", "host"))
    if decision.verdict in {"blocked", "passthrough"}:
        for entry in program.listener_origins.get(decision.listener, ())[:_SHOWN]:
            does = f"is why listener {decision.listener} is there"
            yield Part(_named("ServiceEntry", entry), does, entry.at("spec", "hosts", 0))


def _named(kind: str, resource: Any) -> str:
    return f"{kind} {resource.metadata.namespace}/{resource.metadata.name}"
