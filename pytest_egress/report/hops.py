"""The words for a probe that took two proxies: what each did, and what to change at a gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.evidence import Evidence, Hop
from pytest_egress.probe import Target
from pytest_egress.report.nearest import Nearest

if TYPE_CHECKING:
    from pytest_egress.contract.gateway.resource import Server
    from pytest_egress.contract.kubernetes.registry import GatewayWorkload

__all__ = ["decided", "hop_lines", "refused_by_gateway"]


def decided(evidence: Evidence) -> str:
    """Listener, filter chain, route and cluster of one record."""
    parts = [f"listener {evidence.listener}"]
    if evidence.filter_chain:
        parts.append(f"filter chain {evidence.filter_chain}")
    if evidence.route_config:
        parts.append(f"route {evidence.route or '-'} of {evidence.route_config}")
    parts.append(f"cluster {evidence.cluster or '-'}")
    return ", ".join(parts)


def hop_lines(hops: Iterable[tuple[Hop, Position | None]]) -> Iterator[tuple[str, str]]:
    """What each proxy did, with the place of the VirtualService's rule that it followed."""
    for number, (hop, rule) in enumerate(hops):
        label, name = ("sidecar", "") if not number else ("gateway", f"{hop.proxy}: ")
        if hop.evidence is None:
            yield label, name + (hop.refusal or "it has no record of this connection")
            continue
        yield label, name + decided(hop.evidence)
        if hop.evidence.rule:
            where = f" at {rule}" if rule is not None else ""
            yield "  rule", f"VirtualService {hop.evidence.rule}{where}"


def refused_by_gateway(contract: Contract, target: Target, hops: tuple[Hop, ...]) -> Nearest | None:
    """What is missing at the gateway that refused a target; None where none did."""
    if not hops:
        return None
    from pytest_egress.contract.kubernetes.registry import gateway_workloads

    last = hops[-1]
    gateway = next(
        (it for it in gateway_workloads(contract) if f"{it.name}.{it.namespace}" == last.proxy),
        None,
    )
    if gateway is None:
        return None
    if not gateway.gateways:
        return _unselected(contract, gateway)
    if last.evidence is None:
        return Nearest(
            gateway.gateways[0].at("spec", "servers"),
            _servers(gateway),
            f"give a Gateway a server for {target.host} on the port that the sidecar leads to, and "
            "bind a VirtualService to it",
        )
    return _unmatched(gateway, target, last.evidence)


def _unselected(contract: Contract, gateway: GatewayWorkload) -> Nearest:
    labels = ", ".join(f"{key}: {value}" for key, value in sorted(gateway.labels.items()))
    if not contract.gateways:
        return Nearest(
            None,
            "no Gateway in the contract",
            f"declare a Gateway with selector {{{labels}}} and a server for the host",
        )
    other = contract.gateways[0]
    return Nearest(
        other.at("spec", "selector"),
        f"Gateway {other.metadata.namespace}/{other.metadata.name}, for other pods",
        f"let it select what the pods of {gateway.name}.{gateway.namespace} have ({labels}), or "
        "add their Service with its own selector to the contract",
    )


def _unmatched(gateway: GatewayWorkload, target: Target, evidence: Evidence) -> Nearest | None:
    """A server is there; what came to it is not what it, or a rule behind it, is for."""
    own = evidence.leads_nowhere or evidence.answered_by_rule or bool(evidence.cluster)
    if own and not evidence.handshake_failed:
        return None  # the rule that it followed is to blame
    number = int(evidence.listener.rpartition("_")[2])
    servers = [
        (owner, index, server)
        for owner in gateway.gateways
        for index, server in enumerate(owner.servers)
        if gateway.target_port(server.port.number) == number
    ]
    if not servers:
        return None
    owner, index, server = servers[0]
    name = f"{owner.metadata.namespace}/{owner.metadata.name}"
    host = evidence.authority.partition(":")[0] or evidence.requested_server_name or target.host
    place = owner.at("spec", "servers", index)
    declares = f"Gateway {name}: {_server(server)}"
    terminates = server.tls is not None and server.tls.mode not in {
        "PASSTHROUGH",
        "AUTO_PASSTHROUGH",
    }
    if evidence.got_tls_for_http:
        edit = (
            f"let the server at {place} be HTTPS with tls: {{mode: ISTIO_MUTUAL}}, or take the TLS "
            f"out of the DestinationRule for {gateway.services[0].host}"
        )
        return Nearest(place, declares, edit)
    if evidence.handshake_failed or (
        terminates and evidence.kind != "http" and not evidence.requested_server_name
    ):
        mode = server.tls.mode if server.tls is not None else "SIMPLE"
        edit = (
            f"let a DestinationRule for {gateway.services[0].host} speak the TLS that the server "
            f"at {place} asks for (mode {mode}, sni {host})"
        )
        return Nearest(place, declares, edit)
    kind = "an http" if evidence.kind == "http" else "a tls"
    edit = (
        f"let the server at {place} have {host}, and a VirtualService bound to {name} {kind} "
        "rule for it (a match that names gateways must name this one)"
    )
    return Nearest(place, declares, edit)


def _servers(gateway: GatewayWorkload) -> str:
    return "; ".join(
        f"Gateway {owner.metadata.namespace}/{owner.metadata.name}: "
        + ", ".join(map(_server, owner.servers))
        for owner in gateway.gateways
    )


def _server(server: Server) -> str:
    mode = f" {server.tls.mode}" if server.tls is not None else ""
    return f"{server.port.number}/{server.port.protocol}{mode} for {', '.join(server.hosts)}"
