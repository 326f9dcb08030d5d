"""Why nothing listens on a port of a gateway that its Service leads to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_egress.contract.kubernetes.registry import GatewayWorkload
from pytest_egress.envoy.gateway.listeners import GatewayListener
from pytest_egress.envoy.gateway.merge import GatewayServer, MergedGateway

__all__ = ["closed_ports"]


def closed_ports(
    gateway: GatewayWorkload, merged: MergedGateway, listeners: Iterable[GatewayListener]
) -> dict[int, str]:
    """The ports of the pods that no listener is on, each with the reason."""
    by_port: dict[int, list[GatewayListener]] = {}
    for listener in listeners:
        by_port.setdefault(listener.port, []).append(listener)
    found: dict[int, str] = {}
    for service in gateway.services:
        for port in service.ports:
            number = gateway.target_port(port.number)
            there = by_port.get(number, [])
            if not any(listener.chains for listener in there):
                servers = [server for listener in there for server in listener.servers]
                found[number] = _reason(gateway, merged, port.number, servers)
    return found


def _reason(
    gateway: GatewayWorkload, merged: MergedGateway, port: int, servers: Sequence[GatewayServer]
) -> str:
    if not gateway.gateways:
        labels = ", ".join(f"{key}={value}" for key, value in sorted(gateway.labels.items()))
        return f"no Gateway selects its pods ({labels})"
    if servers:
        server = servers[0]
        kind = "tls" if server.passes_through else "tcp"
        return (
            f"no VirtualService bound to {server.gateway_name} has a {kind} rule for a host of the "
            f"server at {_place(server)}, which therefore listens on nothing"
        )
    for server, reason in merged.skipped:
        if gateway.target_port(server.server.port.number) == gateway.target_port(port):
            return f"the server at {_place(server)} is skipped: {reason}"
    names = ", ".join(
        f"{it.metadata.namespace}/{it.metadata.name} at {it.at('spec', 'servers')}"
        for it in gateway.gateways
    )
    return f"no Gateway for it has a server on port {port} (there is {names})"


def _place(server: GatewayServer) -> str:
    return str(server.gateway.at("spec", "servers", server.index))
