"""A contract as one workload sees it: what a call meets at each proxy, and the verdict of that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pytest_egress.contract.allocation import allocate
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Workload
from pytest_egress.contract.syntax import TLS_PROTOCOLS
from pytest_egress.decide import Call, Decider, Decision
from pytest_egress.decide.dialling import Dialling
from pytest_egress.envoy.program import Program, compile_contract
from pytest_egress.evidence import Evidence, Hop
from pytest_egress.probe import Attempt
from pytest_egress.report.declared import declared_by
from pytest_egress.verdict import Judgement, Verdict, refusal_of

if TYPE_CHECKING:
    from pytest_egress.envoy.gateway.program import GatewayProgram

__all__ = ["Foresight", "Met"]


@dataclass(frozen=True, slots=True)
class Met:
    """What a call meets on its way.

    Attributes:
        decisions: of each proxy by its name, the sidecar's first.
        evidence: the record that the last proxy would make.
        judgement: the verdict if the upstream answers, and its reason.
        declared_by: as `Outcome.declared_by`.
        hops: the proxies with their rules, where there are several.
        gateway: the second proxy; None where there is none.
        decider: of the last proxy, with its program.
    """

    decisions: tuple[tuple[str, Decision], ...]
    evidence: Evidence
    judgement: Judgement
    declared_by: tuple[Position, ...]
    decider: Decider
    hops: tuple[tuple[Hop, Position | None], ...] = ()
    gateway: GatewayProgram | None = None

    @property
    def last(self) -> Decision:
        """The decision of the last proxy."""
        return self.decisions[-1][1]


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

    def equals(self, other: Foresight) -> bool:
        """Whether no call can tell the two apart: every proxy has the same configuration.

        Names are compared too, for what they resolve to.
        """
        return (
            _configuration(self.program) == _configuration(other.program)
            and [_configuration(it.program) for it in self._compiled]
            == [_configuration(it.program) for it in other._compiled]
            and [(it.hosts, it.addresses) for it in self.contract.service_entries]
            == [(it.hosts, it.addresses) for it in other.contract.service_entries]
        )

    def dialled(self, host: str) -> tuple[str, str]:
        """The address that an application dials for a host, and why it is that one."""
        return self._dialling.address(host)

    def meet(self, call: Call) -> Met:
        """What a call meets.

        Raises:
            ProbeError: a regular expression has something that only Envoy knows.
        """
        decision = self._decider.decide(call)
        evidence = _evidence(call, decision)
        second = self._at_gateway(call, decision)
        if second is None:
            judgement = _judge(evidence, decision, undeclared=evidence.undeclared)
            return Met(
                (("sidecar", decision),),
                evidence,
                _garbled(call, decision, self._decider) or judgement,
                declared_by(self.program, evidence),
                self._decider,
            )
        compiled, there, behind = second
        proxy = f"{compiled.workload.name}.{compiled.workload.namespace}"
        last = replace(_evidence(call, behind), proxy=proxy)
        closed = "" if behind.listener else behind.steps[-1].why
        judgement = _judge(last, behind, undeclared=evidence.undeclared)
        if closed:
            judgement = Judgement(Verdict.BLOCKED, f"gateway {proxy}: {closed}")
        else:
            beyond = self._beyond(call, evidence.cluster)
            judgement = _garbled(beyond, behind, there, proxy) or judgement
        return Met(
            (("sidecar", decision), (proxy, behind)),
            last,
            judgement,
            declared_by(compiled.program, last),
            there,
            (
                (Hop("sidecar", evidence), _rule(decision)),
                (Hop(proxy, None if closed else last, closed), _rule(behind)),
            ),
            compiled,
        )

    @cached_property
    def _dialling(self) -> Dialling:
        return Dialling(self.contract, self.program)

    @cached_property
    def _compiled(self) -> tuple[GatewayProgram, ...]:
        if not self.contract.speaks_of_services:
            return ()
        from pytest_egress.contract.kubernetes.registry import gateway_workloads
        from pytest_egress.envoy.gateway.program import compile_gateway

        return tuple(compile_gateway(self.contract, it) for it in gateway_workloads(self.contract))

    def _at_gateway(
        self, call: Call, decision: Decision
    ) -> tuple[GatewayProgram, Decider, Decision] | None:
        """What the gateway does that the sidecar leads to; None where it leads to none."""
        if decision.verdict != "allowed":
            return None
        cluster = decision.all_clusters[0]
        parts = cluster.split("|")
        if len(parts) != 4:
            return None
        _, port, _, host = parts
        for index, compiled in enumerate(self._compiled):
            if any(it.host == host for it in compiled.workload.services):
                number = compiled.workload.target_port(int(port))
                if index not in self._gateways:
                    self._gateways[index] = Decider(compiled.program)
                decider = self._gateways[index]
                beyond = replace(self._beyond(call, cluster), port=number)
                return compiled, decider, _decided_there(decider, beyond, compiled.closed)
        return None

    def _beyond(self, call: Call, cluster: str) -> Call:
        """The call as it leaves the sidecar: inside the TLS that a DestinationRule adds."""
        found = self._decider.cluster(cluster) or {}
        # What is matched by the endpoint (transport_socket_matches) is for pods with a sidecar.
        tls = found.get("transport_socket", {}).get("typed_config", {})
        if "common_tls_context" not in tls or call.protocol == "tls":
            return call
        inner: Literal["http", "tcp"] = "http" if call.protocol == "http" else "tcp"
        return replace(call, protocol="tls", sni=tls.get("sni", ""), inner=inner)


def _configuration(program: Program) -> tuple[Any, ...]:
    named = {it["name"]: it for it in program.listeners}
    return named, program.routes, program.clusters, program.endpoints, dict(program.names)


def _decided_there(decider: Decider, call: Call, closed: Any) -> Decision:
    try:
        return decider.decide(call)
    except LookupError:
        from pytest_egress.decide import Step

        why = f"nothing listens on port {call.port}"
        why += f": {closed[call.port]}" if call.port in closed else ""
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
        call.destination,
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


def _garbled(call: Call, decision: Decision, decider: Decider, proxy: str = "") -> Judgement | None:
    """The verdict where what leaves the last proxy is not what the port is declared for.

    None where it may be, or where the call does not come that far.
    """
    parts = decision.cluster.split("|")
    if decision.verdict != "allowed" or len(parts) != 4 or not parts[1].isdigit():
        return None
    port, host = int(parts[1]), parts[3]
    cluster = decider.cluster(decision.cluster) or {}
    adds_tls = "common_tls_context" in cluster.get("transport_socket", {}).get("typed_config", {})
    plain = bool(decision.virtual_host)
    if plain == adds_tls or (not plain and call.protocol != "tls"):
        return None
    at = f"gateway {proxy}: " if proxy else ""
    through = f"{at}{decision.cluster} lets it through, but "
    if not plain:
        why = f"{through}the application's TLS goes inside the TLS that the proxy adds"
        return Judgement(Verdict.UNREACHABLE, why, f"call port {port} of {host} in plain text")
    entries = decider.program.origins.get(f"outbound|{port}||{host}", ())
    protocols = {
        it.protocol.lower() for entry in entries[:1] for it in entry.ports if it.number == port
    }
    if not protocols & TLS_PROTOCOLS:
        return None
    why = f"{through}plain HTTP comes to port {port} of {host}, which is declared as one of TLS"
    edit = f"let a DestinationRule for {host} originate TLS on port {port} (mode: SIMPLE)"
    return Judgement(Verdict.UNREACHABLE, why, edit)
