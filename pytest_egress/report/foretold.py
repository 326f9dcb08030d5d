"""What would be told of a call, without making it: decided over the compiled contract.

The words are those of a real outcome (`pytest_egress.report.explain`); each choice of the proxy is
added with its reason, and every resource that had a part in it with its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pytest_egress.contract.allocation import allocate
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Workload
from pytest_egress.decide import Call, Decider, Decision
from pytest_egress.decide.dialling import dialled_address
from pytest_egress.envoy.program import compile_contract
from pytest_egress.evidence import Evidence, Hop
from pytest_egress.probe import Attempt, Target
from pytest_egress.report.declared import declared_by
from pytest_egress.report.explain import story
from pytest_egress.report.parts import Part, parts
from pytest_egress.verdict import Judgement, Verdict, refusal_of

if TYPE_CHECKING:
    from pytest_egress.envoy.gateway.program import GatewayProgram

__all__ = ["Foresight", "Foretold"]

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
            ("dialled", f"{self.address}:{self.target.port} ({self.why_address})"),
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


class Foresight:
    """A contract as one workload sees it, to be asked many times.

    Args:
        contract: what is declared.
        workload: who asks.

    Raises:
        ContractError: istiod itself fails on the contract.
    """

    def __init__(self, contract: Contract, workload: Workload | None = None) -> None:
        self.workload = workload or Workload()
        self.contract = allocate(contract) if self.workload.dns_capture else contract
        self.program = compile_contract(self.contract, self.workload)
        self._decider = Decider(self.program)
        self._gateways: dict[int, Decider] = {}

    def decide(self, target: Target, address: str = "") -> tuple[Decision, ...]:
        """What each proxy on the way does, the sidecar first.

        Raises:
            ProbeError: a regular expression has something that only Envoy knows.
        """
        address = address or dialled_address(self.contract, self.program, target.host)[0]
        call = Call.to(target, address)
        first = self._decider.decide(call)
        second = self._at_gateway(call, first)
        return (first,) if second is None else (first, second[1])

    def foretell(self, target: Target, address: str = "") -> Foretold:
        """What would be told of a call.

        Args:
            target: what is called.
            address: what its name resolves to; found as `dialled_address` does where empty.

        Raises:
            ProbeError: a regular expression has something that only Envoy knows.
        """
        why = "as given"
        if not address:
            address, why = dialled_address(self.contract, self.program, target.host)
        call = Call.to(target, address)
        decision = self._decider.decide(call)
        decisions = [("sidecar", decision)]
        evidence = _evidence(call, decision)
        declared = declared_by(self.program, evidence)
        hops: list[tuple[Hop, Position | None]] = []
        second = self._at_gateway(call, decision)
        gateway = second[0] if second is not None else None
        last = evidence
        if second is not None:
            compiled, behind = second
            proxy = f"{compiled.workload.name}.{compiled.workload.namespace}"
            decisions.append((proxy, behind))
            last = replace(_evidence(call, behind), proxy=proxy)
            declared = declared_by(compiled.program, last)
            closed = "" if behind.listener else behind.steps[-1].why
            hops = [
                (Hop("sidecar", evidence), _rule(decision)),
                (Hop(proxy, None if closed else last, closed), _rule(behind)),
            ]
        judgement = _judge(last, decisions[-1][1], undeclared=evidence.undeclared)
        if hops and not hops[-1][0].evidence:
            judgement = Judgement(
                Verdict.BLOCKED, f"gateway {hops[-1][0].proxy}: {hops[-1][0].refusal}"
            )
        stage = _STAGES.get(target.scheme, "http")
        told = story(target, judgement, stage, last, declared, self.contract, self.workload, hops)
        return Foretold(
            target,
            self.workload,
            address,
            why,
            tuple(decisions),
            judgement,
            declared,
            tuple(parts(self.contract, self.workload, self.program, decisions, gateway)),
            tuple(it for it in told if it[0] in {"declared", "nearest", "edit"}),
        )

    # -- gateways -------------------------------------------------------------------------------

    @cached_property
    def _compiled(self) -> tuple[GatewayProgram, ...]:
        if not self.contract.speaks_of_services:
            return ()
        from pytest_egress.contract.kubernetes.registry import gateway_workloads
        from pytest_egress.envoy.gateway.program import compile_gateway

        return tuple(compile_gateway(self.contract, it) for it in gateway_workloads(self.contract))

    def _at_gateway(self, call: Call, decision: Decision) -> tuple[GatewayProgram, Decision] | None:
        """What the gateway does that the sidecar leads to; None where it leads to none."""
        if decision.verdict != "allowed":
            return None
        cluster = decision.all_clusters[0]
        _, port, _, host = cluster.split("|")
        for index, compiled in enumerate(self._compiled):
            if any(it.host == host for it in compiled.workload.services):
                number = compiled.workload.target_port(int(port))
                if index not in self._gateways:
                    self._gateways[index] = Decider(compiled.program)
                there = replace(self._beyond(call, cluster), port=number)
                return compiled, _decided_there(self._gateways[index], there, compiled.closed)
        return None

    def _beyond(self, call: Call, cluster: str) -> Call:
        """The call as it leaves the sidecar: inside the TLS that a DestinationRule adds."""
        found = next(it for it in self.program.clusters if it["name"] == cluster)
        # What is matched by the endpoint (transport_socket_matches) is for pods with a sidecar.
        tls = found.get("transport_socket", {}).get("typed_config", {})
        if "common_tls_context" not in tls or call.protocol == "tls":
            return call
        inner: Literal["http", "tcp"] = "http" if call.protocol == "http" else "tcp"
        return replace(call, protocol="tls", sni=tls.get("sni", ""), inner=inner)


def _decided_there(decider: Decider, call: Call, closed: Any) -> Decision:
    try:
        return decider.decide(call)
    except LookupError:
        from pytest_egress.decide import Step

        why = closed.get(call.port, f"nothing listens on port {call.port}")
        return Decision("blocked", steps=(Step("listener", "", why),))


def _rule(decision: Decision) -> Position | None:
    return decision.rule.position if decision.rule is not None else None


def _evidence(call: Call, decision: Decision) -> Evidence:
    """The record that a proxy would make of a call that meets this."""
    http = bool(decision.virtual_host or decision.route_config)
    cluster = decision.cluster or next(iter(decision.all_clusters), "")
    missing = cluster if decision.verdict == "no_cluster" else ""
    flags = {"no_route": {"NR"}, "no_cluster": {"NC"}}.get(decision.verdict, set())
    answer = decision.verdict if decision.verdict in {"redirect", "direct_response"} else ""
    code = decision.direct_response
    if answer == "redirect":
        code = 301
    elif http and decision.verdict in {"no_route", "no_cluster"}:
        code = 404 if decision.verdict == "no_route" else 503
    elif http and decision.route == "block_all":
        code = 502
    return Evidence(
        "http" if http else "connection",
        "",
        f"{call.address}:{call.port}",
        decision.listener,
        filter_chain=decision.filter_chain,
        route_config=decision.route_config,
        route=decision.route,
        rule=str(decision.rule) if decision.rule is not None else "",
        answer=answer,
        cluster="" if missing else cluster,
        missing_cluster=missing,
        response_code=code,
        response_flags=frozenset(flags),
        requested_server_name=call.sni,
        authority=call.host if http else "",
        method=call.method if http else "",
        path=call.path if http else "",
    )


def _judge(evidence: Evidence, decision: Decision, *, undeclared: bool) -> Judgement:
    """The verdict if the upstream answers."""
    if decision.verdict == "error":
        why = decision.steps[-1].why
        return Judgement(
            Verdict.INCONCLUSIVE, f"listener {decision.listener} cannot take it: {why}"
        )
    refused = refusal_of(Attempt("", evidence.kind, completed=False), evidence)
    at = f"gateway {evidence.proxy}: " if evidence.proxy else ""
    if refused:
        return Judgement(Verdict.BLOCKED, at + refused)
    if evidence.undeclared or undeclared:
        return Judgement(
            Verdict.UNDECLARED, f"it goes through {evidence.cluster}: nothing declares it"
        )
    if decision.no_endpoints:
        why = f"{at}{evidence.cluster} lets it through, but it has no endpoints"
        return Judgement(Verdict.UNREACHABLE, why)
    several = decision.all_clusters if not decision.cluster else ()
    where = " or ".join(several) or evidence.cluster
    return Judgement(Verdict.REACHABLE, f"{at}{where} takes it; the upstream has to answer")
