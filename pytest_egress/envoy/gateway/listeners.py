"""The listeners of a gateway: one per port and address, with chains for its servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_egress.contract.virtual_service.resource import L4Match, TlsMatch
from pytest_egress.envoy.endpoints import socket_address
from pytest_egress.envoy.gateway.context import GatewayContext
from pytest_egress.envoy.gateway.merge import GatewayServer, MergedGateway, ServerPort
from pytest_egress.envoy.gateway.tls import transport_socket
from pytest_egress.envoy.http_manager import gateway_manager, rds
from pytest_egress.envoy.listeners import TLS_INSPECTOR
from pytest_egress.envoy.names import WILDCARD_ADDRESS, subset_of
from pytest_egress.envoy.protocols import HTTP, parse_protocol
from pytest_egress.envoy.virtual_service.merge import MergedVirtualService
from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["GatewayChain", "GatewayListener", "gateway_listeners"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class GatewayChain:
    """A filter chain of one server.

    Attributes:
        server: the server.
        filters: its network filters.
        server_names: of the TLS handshake; empty, or with ``*``, matches any.
        transport_socket: where TLS is terminated.
        rule: the rule of a VirtualService that made it; None for HTTP.
        route_name: the route configuration of HTTP.
    """

    server: GatewayServer
    filters: tuple[Json, ...]
    server_names: tuple[str, ...] = ()
    transport_socket: Json | None = None
    rule: Rule | None = None
    route_name: str = ""

    def to_json(self) -> Json:
        """Envoy's ``FilterChain``."""
        built: Json = {"filters": list(self.filters), "transport_socket_connect_timeout": "15s"}
        if self.server_names and "*" not in self.server_names:
            built["filter_chain_match"] = {"server_names": sorted(self.server_names)}
        if self.transport_socket is not None:
            built["transport_socket"] = self.transport_socket
        return built


@dataclass(slots=True)
class GatewayListener:
    """One listener in the making; without chains it never comes to be."""

    bind: str
    port: int
    servers: list[GatewayServer] = field(default_factory=list)
    chains: list[GatewayChain] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Istio's name: ``0.0.0.0_8443``."""
        return f"{self.bind}_{self.port}"

    def to_json(self) -> Json:
        """Envoy's ``Listener``."""
        built: Json = {
            "name": self.name,
            "address": socket_address(self.bind, self.port),
            "filter_chains": [chain.to_json() for chain in self.chains],
            "traffic_direction": "OUTBOUND",
            "max_connections_to_accept_per_socket_event": 1,
        }
        # What is terminated is told apart by ALPN as well.
        if any(chain.server_names or chain.transport_socket for chain in self.chains):
            built["listener_filters"] = [TLS_INSPECTOR]
        return built


def gateway_listeners(merged: MergedGateway, context: GatewayContext) -> list[GatewayListener]:
    """All listeners, those included that have no chain: istiod leaves them out."""
    found: dict[str, GatewayListener] = {}
    taken: dict[int, dict[str, str]] = {}
    for at, there in merged.ports.items():
        listener = GatewayListener(at.bind or WILDCARD_ADDRESS, at.number)
        listener = found.setdefault(listener.name, listener)
        listener.servers += there.servers
        known = taken.setdefault(at.number, {})
        listener.chains += _chains(at, there.servers, there.route_name, listener, context, known)
    return list(found.values())


def _chains(
    at: ServerPort,
    servers: Sequence[GatewayServer],
    route_name: str,
    listener: GatewayListener,
    context: GatewayContext,
    taken: dict[str, str],
) -> Iterator[GatewayChain]:
    """The chains of a port's servers; plain-text HTTP shares one, whatever the servers are."""
    prefix = f"outbound_{listener.name};"
    if parse_protocol(at.protocol) in HTTP:
        protocol = parse_protocol(at.protocol)
        manager = gateway_manager(prefix, rds(route_name), context.mesh, protocol=protocol)
        yield GatewayChain(servers[0], (manager,), route_name=route_name)
        return
    for server in servers:
        if server.terminates_https:
            name = server.route_name(at.number)
            manager = gateway_manager(server.server.name or prefix, rds(name), context.mesh)
            yield GatewayChain(
                server,
                (manager,),
                server.server_names,
                transport_socket(server),
                route_name=name,
            )
        elif server.passes_through:
            yield from _passthrough(server, context, taken)
        else:
            chain = _forwarding(server, context)
            if chain is not None:
                yield chain


def _forwarding(server: GatewayServer, context: GatewayContext) -> GatewayChain | None:
    """Bytes, decrypted or as they come, go where the first ``tcp`` rule that matches leads."""
    for merged in context.bound(server.gateway_name):
        if not _shares_host(server, merged):
            continue
        for index, tcp in enumerate(merged.service.tcp):
            matches = not tcp.match or any(_concerns(it, server) for it in tcp.match)
            if matches and tcp.route:
                return GatewayChain(
                    server,
                    context.filters(merged, tcp.route, server.protocol, server.server.port.number),
                    server.server_names,
                    transport_socket(server),
                    Rule(merged.declared, "tcp", index),
                )
    return None


def _passthrough(
    server: GatewayServer, context: GatewayContext, taken: dict[str, str]
) -> Iterator[GatewayChain]:
    """A chain per match of a ``tls`` rule; one that names a taken server name is skipped."""
    for merged in context.bound(server.gateway_name):
        if not _shares_host(server, merged):
            continue
        for index, tls in enumerate(merged.service.tls):
            if not tls.route:
                continue
            for match in tls.match:
                bind = server.server.bind
                if not _concerns(match, server) or any(
                    taken.get(name) == bind for name in match.sni_hosts
                ):
                    continue
                taken.update(dict.fromkeys(match.sni_hosts, bind))
                yield GatewayChain(
                    server,
                    context.filters(merged, tls.route, server.protocol, server.server.port.number),
                    match.sni_hosts,
                    rule=Rule(merged.declared, "tls", index),
                )


def _concerns(match: TlsMatch | L4Match, server: GatewayServer) -> bool:
    """Ports are those that servers name; what a match says of the source is not looked at."""
    return match.port in {0, server.server.port.number} and (
        not match.gateways or server.gateway_name in match.gateways
    )


def _shares_host(server: GatewayServer, merged: MergedVirtualService) -> bool:
    """Whether a VirtualService has a host of the server's, whichever of the two is wider."""
    for host in server.hosts:
        source, slash, name = host.rpartition("/")
        if slash and source != merged.service.metadata.namespace:
            continue
        if any(subset_of(name, it) or subset_of(it, name) for it in merged.service.hosts):
            return True
    return False
