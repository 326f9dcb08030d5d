"""The servers of all Gateways of one workload, merged by port as istiod merges them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_egress.contract.gateway.resource import Gateway, Server
from pytest_egress.contract.kubernetes.registry import GatewayWorkload
from pytest_egress.envoy.protocols import HTTP, Protocol, parse_protocol

__all__ = ["GatewayServer", "MergedGateway", "PortServers", "ServerPort", "merge_gateways"]

_PASSTHROUGH = ("PASSTHROUGH", "AUTO_PASSTHROUGH")


@dataclass(frozen=True, slots=True, eq=False)
class GatewayServer:
    """A server of a Gateway.

    Attributes:
        server: as the Gateway has it.
        gateway: the Gateway that holds it.
        index: its place in the Gateway.
        hosts: ``namespace/host``, or ``host`` for VirtualServices of every namespace.
    """

    server: Server
    gateway: Gateway
    index: int
    hosts: tuple[str, ...]

    @property
    def protocol(self) -> Protocol:
        """The protocol of its port."""
        return parse_protocol(self.server.port.protocol)

    @property
    def gateway_name(self) -> str:
        """``namespace/name`` of its Gateway, as VirtualServices name it."""
        metadata = self.gateway.metadata
        return f"{metadata.namespace}/{metadata.name}"

    @property
    def passes_through(self) -> bool:
        """Whether TLS goes through it as it comes."""
        return self.server.tls is not None and self.server.tls.mode in _PASSTHROUGH

    @property
    def terminates_https(self) -> bool:
        """Whether it is an HTTPS server that decrypts."""
        return self.server.tls is not None and self.protocol == "HTTPS" and not self.passes_through

    @property
    def speaks_http(self) -> bool:
        """Whether requests are routed, in plain text or decrypted."""
        return self.protocol in HTTP or (self.protocol == "HTTPS" and not self.passes_through)

    @property
    def tls_only(self) -> bool:
        """Whether TLS is all it takes (an HTTP server has TLS settings for its redirect)."""
        return self.server.tls is not None and self.protocol not in HTTP

    @property
    def server_names(self) -> tuple[str, ...]:
        """What is matched in the handshake; empty without TLS."""
        if self.server.tls is None:
            return ()
        return tuple(sorted({host.rpartition("/")[2] for host in self.hosts}))

    def route_name(self, port: int) -> str:
        """The name of its route configuration; empty where bytes are forwarded as they come."""
        bind = f".{self.server.bind}" if self.server.bind else ""
        if self.protocol in HTTP:
            return f"http.{port}{bind}"
        if self.protocol == "HTTPS" and not self.passes_through:
            metadata, named = self.gateway.metadata, self.server.port
            return f"https.{named.number}.{named.name}.{metadata.name}.{metadata.namespace}{bind}"
        return ""


@dataclass(frozen=True, slots=True)
class ServerPort:
    """What servers share that share filter chains; ``protocol`` as written."""

    number: int
    protocol: str
    bind: str


@dataclass(slots=True)
class PortServers:
    """The servers of one port; ``route_name`` is that of plain-text HTTP."""

    servers: list[GatewayServer]
    route_name: str = ""


@dataclass(slots=True)
class MergedGateway:
    """All that one workload's Gateways ask for.

    Attributes:
        ports: the servers by port, in order of arrival.
        by_route: the servers whose hosts a route configuration has, by its name.
        skipped: servers that lost against an earlier one, with the reason.
        auto_passthrough: a server passes TLS on to whatever cluster its server name spells.
    """

    ports: dict[ServerPort, PortServers] = field(default_factory=dict)
    by_route: dict[str, list[GatewayServer]] = field(default_factory=dict)
    skipped: list[tuple[GatewayServer, str]] = field(default_factory=list)
    auto_passthrough: bool = False


def merge_gateways(workload: GatewayWorkload) -> MergedGateway:
    """Merge the servers of ``workload.gateways``, oldest first (istiod's ``mergeGateways``).

    Plain-text HTTP servers of one port share it, as do servers with TLS, told apart by their
    hosts. Of anything else, and of two servers with TLS and a host in common, the first wins.
    """
    merger = _Merger()
    for gateway in workload.gateways:
        for index, server in enumerate(gateway.servers):
            hosts = tuple(_sanitized(server.hosts, gateway.metadata.namespace))
            merger.add(
                GatewayServer(server, gateway, index, hosts),
                workload.target_port(server.port.number),
            )
    return merger.merged


class _Merger:
    """Takes one server after the other."""

    def __init__(self) -> None:
        self.merged = MergedGateway()
        self._plain: dict[int, ServerPort] = {}
        self._taken: set[int] = set()
        self._tls_binds: dict[int, set[str]] = {}
        self._tls_hosts: dict[int, dict[str, str]] = {}

    def add(self, server: GatewayServer, number: int) -> None:
        """Give ``server`` its place at ``number``, the port that is really listened on."""
        if server.server.tls is not None:
            known = self._tls_hosts.setdefault(number, {})
            twice = [it for it in server.hosts if known.get(it) == server.server.bind]
            if twice:
                self._skip(server, f"{', '.join(twice)} has a server with TLS on {number} already")
                return
            known.update(dict.fromkeys(server.hosts, server.server.bind))
            if server.server.tls.mode == "AUTO_PASSTHROUGH":
                self.merged.auto_passthrough = True
        port = ServerPort(number, server.server.port.protocol, server.server.bind)
        if number not in self._taken:
            self._taken.add(number)
            self._open(server, port)
        elif number in self._plain:
            self._beside_plain(server, port, self._plain[number])
        elif not server.tls_only:
            self._open(server, port)
        else:
            self._beside_tls(server, port)

    def _open(self, server: GatewayServer, port: ServerPort) -> None:
        """The first server of its kind on a port."""
        route_name = server.route_name(port.number)
        if not server.tls_only:
            self._plain[port.number] = port
        if server.speaks_http:
            self.merged.by_route[route_name] = [server]
        self.merged.ports[port] = PortServers([server], route_name)

    def _beside_plain(self, server: GatewayServer, port: ServerPort, current: ServerPort) -> None:
        """A port that has a server without TLS."""
        route_name = server.route_name(port.number)
        if current.bind == port.bind:
            if not (_mergeable(server.protocol, parse_protocol(current.protocol)) and route_name):
                self._skip(server, f"{current.protocol} is on {port.number} already")
                return
            self.merged.ports[current].servers.append(server)
            self.merged.by_route.setdefault(route_name, []).append(server)
        elif port in self.merged.ports:
            there = self.merged.ports[port]
            there.route_name = route_name
            there.servers.append(server)
            self.merged.by_route.setdefault(route_name, []).append(server)
        else:
            self._open(server, port)

    def _beside_tls(self, server: GatewayServer, port: ServerPort) -> None:
        """A server with TLS on a port that has others."""
        if server.speaks_http:
            route_name = server.route_name(port.number)
            if route_name in self.merged.by_route:
                self._skip(server, f'port name "{server.server.port.name}" is taken')
                return
            self.merged.by_route[route_name] = [server]
        if port in self.merged.ports:
            self.merged.ports[port].servers.append(server)
        else:
            self.merged.ports[port] = PortServers([server])

    def _skip(self, server: GatewayServer, reason: str) -> None:
        self.merged.skipped.append((server, reason))


def _mergeable(one: Protocol, other: Protocol) -> bool:
    return (one in HTTP or one == other) and other in HTTP


def _sanitized(hosts: tuple[str, ...], namespace: str) -> Iterator[str]:
    """Hosts with ``.`` for the Gateway's own namespace and ``*`` for any replaced."""
    if any(host == "*/*" for host in hosts):
        # Any host of any namespace: the others say nothing more.
        yield "*"
        return
    for host in hosts:
        source, slash, name = host.rpartition("/")
        if not slash or source == "*":
            yield name
        else:
            yield f"{namespace if source == '.' else source}/{name}"
