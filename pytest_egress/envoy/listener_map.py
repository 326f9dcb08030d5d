"""The map of outbound listeners: which service gets which bind and port, in order of arrival."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_egress.contract.resources import EgressListener, MeshConfig, ServiceEntry, Workload
from pytest_egress.envoy.chains import Chain, HttpRoutes, tcp_chain
from pytest_egress.envoy.conflicts import Outcome, resolve_conflict
from pytest_egress.envoy.instances import Registry
from pytest_egress.envoy.names import (
    HTTP_PROXY_ROUTES,
    UNIX_PREFIX,
    WILDCARD_ADDRESS,
    is_ip,
    join_host_port,
)
from pytest_egress.envoy.protocols import HTTP, SNIFFED, TCP, Protocol, parse_protocol
from pytest_egress.envoy.scope import EgressScope, Scope
from pytest_egress.envoy.services import Service, ServicePort

if TYPE_CHECKING:
    from pytest_egress.envoy.virtual_service.select import HostIndex

__all__ = ["ListenerEntry", "listener_entries"]

_OF_THE_AGENT = frozenset({15021, 15090})  # its status and Prometheus ports


@dataclass(slots=True, eq=False)
class ListenerEntry:
    """A listener in the making.

    Attributes:
        bind: an IP, or ``unix://`` and a path.
        port: the first service's port, or the Sidecar's.
        bind_to_port: a socket of its own instead of redirected connections.
        protocol: of the listener as a whole; ``Unsupported`` means that it detects.
        locked: no more services may come in.
        chains: in order of arrival.
        origins: the entries that put a chain or a route on it, by identity.
    """

    bind: str
    port: ServicePort
    bind_to_port: bool
    protocol: Protocol
    locked: bool = False
    chains: list[Chain] = field(default_factory=list)
    origins: dict[int, ServiceEntry] = field(default_factory=dict)
    _matches: set[Hashable] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Istio's name: ``0.0.0.0_443``."""
        return f"{self.bind}_{self.port.number}"

    def start(self, chains: list[Chain], origin: ServiceEntry) -> None:
        """The chains of the service that the listener is made for, whatever they match."""
        self.chains += chains
        self._matches.update(chain.conflict_key for chain in chains)
        self.origins[id(origin)] = origin

    def add(self, chains: list[Chain], origin: ServiceEntry) -> None:
        """Append the chains whose match is new; of two alike the first, the oldest, wins."""
        for chain in chains:
            key = chain.conflict_key
            if key not in self._matches:
                self._matches.add(key)
                self.chains.append(chain)
                self.origins[id(origin)] = origin


@dataclass(frozen=True, slots=True)
class _Binding:
    """Where an egress listener puts its services: ``address`` empty means wherever they are."""

    address: str
    to_port: bool


class _Routing:
    """What chains depend on besides the service: the VirtualServices of its egress listener."""

    def __init__(self, scope: Scope, egress: EgressScope, workload: Workload) -> None:
        self._scope = scope
        self._workload = workload
        self._index: HostIndex | None = None
        if egress.virtual_services:
            from pytest_egress.envoy.virtual_service.select import HostIndex

            self._index = HostIndex(egress.virtual_services)

    def chains(
        self, service: Service, port: ServicePort, bind: str, cidrs: tuple[str, ...]
    ) -> list[Chain]:
        """The TCP or TLS chains of one service port."""
        matching = self._index.matching(service.host) if self._index is not None else ()
        if not matching:
            return [tcp_chain(service, port, bind, cidrs, self._scope.rules.get(service.host))]
        from pytest_egress.envoy.virtual_service.chains import routed_chains

        return routed_chains(service, port, bind, cidrs, matching, self._scope, self._workload)


def listener_entries(
    scope: Scope, registry: Registry, workload: Workload, mesh: MeshConfig
) -> list[ListenerEntry]:
    """All per-port listeners of a workload, in order of arrival; the explicit HTTP proxy last."""
    reserved = _OF_THE_AGENT | {mesh.proxy_listen_port, mesh.proxy_inbound_listen_port}
    entries: dict[tuple[str, int], ListenerEntry] = {}
    for egress in scope.egress:
        binding = _binding(egress.listener)
        routing = _Routing(scope, egress, workload)
        if egress.listener.port is not None:
            for service, port in _on_sidecar_port(egress, binding, reserved):
                _add(entries, service, port, binding, routing)
            continue
        # What a Sidecar's own ports have taken is closed to the listener without port.
        for entry in entries.values():
            entry.locked = True
        for service in egress.services:
            for port in service.ports:
                if _is_reserved(binding, port, reserved):
                    continue
                for bound in _bindings_of(service, port, binding, registry):
                    _add(entries, service, port, bound, routing)
    return [*entries.values(), *_explicit_proxy(mesh)]


def _explicit_proxy(mesh: MeshConfig) -> Iterator[ListenerEntry]:
    """The listener that applications may name as their HTTP proxy (``proxyHttpPort``)."""
    if mesh.proxy_http_port:
        port = ServicePort(mesh.proxy_http_port, "", "HTTP_PROXY")
        chain = Chain(routes=HttpRoutes(HTTP_PROXY_ROUTES, "HTTP_PROXY"))
        yield ListenerEntry("127.0.0.1", port, True, "HTTP_PROXY", chains=[chain])


def _binding(listener: EgressListener) -> _Binding:
    to_port = listener.capture_mode == "NONE" or listener.bind.startswith(UNIX_PREFIX)
    return _Binding(listener.bind or ("127.0.0.1" if to_port else ""), to_port)


def _on_sidecar_port(
    egress: EgressScope, binding: _Binding, reserved: frozenset[int]
) -> Iterator[tuple[Service, ServicePort]]:
    declared = egress.listener.port
    if declared is None:
        return
    # The Sidecar's protocol counts, not the service's.
    port = ServicePort(declared.number, declared.name, parse_protocol(declared.protocol))
    if not _is_reserved(binding, port, reserved):
        for service in egress.services:
            yield service, port


def _is_reserved(binding: _Binding, port: ServicePort, reserved: frozenset[int]) -> bool:
    """Whether the port belongs to the proxy itself.

    Without bind only HTTP ports are looked at, because only they are sure to end up on the
    wildcard address: a TCP port 15001 without address gets through (and Envoy refuses it).
    """
    wildcard = binding.address == WILDCARD_ADDRESS or (
        not binding.address and port.protocol in HTTP
    )
    return wildcard and port.number in reserved


def _bindings_of(
    service: Service, port: ServicePort, binding: _Binding, registry: Registry
) -> Iterator[_Binding]:
    """One binding, or one per endpoint for a TCP service that is known only by its endpoints."""
    by_endpoint = (
        service.resolution == "NONE"
        and not binding.address
        and service.address == WILDCARD_ADDRESS
        and (port.protocol in TCP or port.protocol == SNIFFED)
    )
    if by_endpoint:
        instances = [it for it in registry.instances(service) if it.service_port == port.number]
        # With a selector there may just be no workload yet; a wildcard would take too much.
        if instances or service.entry.workload_selector or service.of_kubernetes:
            for instance in instances:
                if is_ip(instance.address):
                    yield replace(binding, address=instance.address)
            return
    yield binding


def _add(
    entries: dict[tuple[str, int], ListenerEntry],
    service: Service,
    port: ServicePort,
    binding: _Binding,
    routing: _Routing,
) -> None:
    """Give one service port its place (istiod's ``buildSidecarOutboundListener``)."""
    if port.protocol == "UDP":
        return
    bind = binding.address
    cidrs: tuple[str, ...] = ()
    if not bind and port.protocol in HTTP:
        bind = WILDCARD_ADDRESS
    elif not bind:
        bind = service.address
        if "/" in bind:
            bind, cidrs = WILDCARD_ADDRESS, (service.address,)
    key = (bind, port.number)
    existing = entries.get(key)
    if existing is not None and existing.locked:
        return
    outcome = resolve_conflict(existing.protocol if existing else None, port.protocol)
    origin = service.entry
    if outcome is Outcome.DROP:
        return
    if existing is None or outcome is Outcome.NEW:
        protocol = port.protocol
        if _shares_wildcard(port, bind):
            protocol = SNIFFED
        entry = entries[key] = ListenerEntry(bind, port, binding.to_port, protocol)
        entry.start(_chains(service, port, bind, cidrs, routing), origin)
    elif outcome is Outcome.SHARE:
        existing.origins[id(origin)] = origin
    else:
        existing.add(_chains(service, port, bind, cidrs, routing), origin)
        if outcome is Outcome.SNIFF:
            existing.protocol = SNIFFED


def _shares_wildcard(port: ServicePort, bind: str) -> bool:
    """Whether an HTTP port leaves room for other protocols: on the wildcard, HTTP_PROXY apart."""
    return port.protocol in HTTP and port.protocol != "HTTP_PROXY" and bind == WILDCARD_ADDRESS


def _chains(
    service: Service, port: ServicePort, bind: str, cidrs: tuple[str, ...], routing: _Routing
) -> list[Chain]:
    if port.protocol in TCP:
        return routing.chains(service, port, bind, cidrs)
    sniffed = port.protocol == SNIFFED
    if port.number == 0:
        name = bind  # a Unix socket
    elif sniffed and bind != WILDCARD_ADDRESS:
        name = join_host_port(service.host, port.number)
    else:
        name = str(port.number)
    http = Chain(
        plaintext_http=sniffed or _shares_wildcard(port, bind),
        routes=HttpRoutes(name, port.protocol, service),
    )
    return [*routing.chains(service, port, bind, cidrs), http] if sniffed else [http]
