"""What a workload sees: exportTo, its Sidecar's egress listeners, the outbound policy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import (
    EgressListener,
    MeshConfig,
    OutboundTrafficPolicy,
    Sidecar,
    Workload,
)
from pytest_egress.envoy.exports import is_visible, visible_services
from pytest_egress.envoy.imports import Imports
from pytest_egress.envoy.names import labels_match
from pytest_egress.envoy.protocols import parse_protocol
from pytest_egress.envoy.services import Service, ServicePort

if TYPE_CHECKING:
    # Types alone: a contract without such resources does not import them.
    from pytest_egress.contract.virtual_service.resource import Retries
    from pytest_egress.envoy.destination_rules import MergedRule
    from pytest_egress.envoy.virtual_service.merge import MergedVirtualService

__all__ = ["EgressScope", "Scope", "build_gateway_scope", "build_scope", "select_sidecar"]

_EVERYTHING = EgressListener(hosts=("*/*",))
_NO_RULES: Mapping[str, MergedRule] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EgressScope:
    """One egress listener of the Sidecar and what it imports, in istiod's order."""

    listener: EgressListener
    services: tuple[Service, ...]
    virtual_services: tuple[MergedVirtualService, ...] = ()

    @property
    def http_proxy(self) -> bool:
        """Whether the listener is a generic HTTP proxy port: services of all ports are routed."""
        port = self.listener.port
        return port is not None and parse_protocol(port.protocol) == "HTTP_PROXY"


@dataclass(frozen=True, slots=True)
class Scope:
    """All that one workload may know of the contract.

    Attributes:
        egress: the egress listeners, in order; one with ``*/*`` where no Sidecar says otherwise.
        by_host: one service per host, with merged ports: what clusters are made for.
        policy: what happens to undeclared traffic.
        retries: of a route that has no policy of its own; None for istiod's default.
        rules: the DestinationRule of each host in ``services`` that has one.
    """

    egress: tuple[EgressScope, ...]
    by_host: Mapping[str, Service]
    policy: OutboundTrafficPolicy
    retries: Retries | None = None
    rules: Mapping[str, MergedRule] = field(default_factory=lambda: _NO_RULES)

    @property
    def services(self) -> tuple[Service, ...]:
        """``by_host`` in order."""
        return tuple(self.by_host.values())

    def egress_for_route(self, port: int, bind: str) -> EgressScope | None:
        """The egress listener that a route configuration belongs to.

        The first with that port (for port 0, a Unix socket, with that bind), else the one
        without port.
        """
        for egress in self.egress:
            listener = egress.listener
            if listener.port is None:
                return egress
            if listener.port.number == port and (port or listener.bind == bind):
                return egress
        return None


def build_scope(contract: Contract, workload: Workload, services: Sequence[Service]) -> Scope:
    """The scope of ``workload``; ``services`` are all of the contract, oldest first."""
    sidecar = select_sidecar(contract, workload)
    listeners = (sidecar.egress if sidecar else ()) or (_EVERYTHING,)
    namespace, mesh = workload.namespace, contract.mesh
    imports = [Imports.parse(listener.hosts, namespace) for listener in listeners]
    imported = [
        _imported(listener, of_listener, services, namespace, mesh)
        for listener, of_listener in zip(listeners, imports, strict=True)
    ]
    if contract.virtual_services:
        from pytest_egress.envoy.virtual_service.select import (
            import_virtual_services,
            visible_virtual_services,
        )

        visible = visible_virtual_services(contract, namespace)
        virtual_services = [import_virtual_services(visible, it) for it in imports]
    else:
        virtual_services = [()] * len(listeners)
    egress = tuple(map(EgressScope, listeners, imported, virtual_services))
    by_host = _by_host(_reachable(egress, services, namespace, mesh))
    rules = _rules(contract, workload, by_host)
    policy = _policy(sidecar, mesh)
    return Scope(egress, by_host, policy, mesh.default_http_retry_policy, rules)


def build_gateway_scope(
    contract: Contract, workload: Workload, services: Sequence[Service]
) -> Scope:
    """The scope of a gateway: all that is exported to its namespace. Sidecars are not for it."""
    mesh = contract.mesh
    visible = tuple(visible_services(services, workload.namespace, mesh))
    by_host = _by_host(visible)
    rules = _rules(contract, workload, by_host)
    egress = (EgressScope(_EVERYTHING, visible),)
    return Scope(egress, by_host, _policy(None, mesh), mesh.default_http_retry_policy, rules)


def _rules(
    contract: Contract, workload: Workload, by_host: Mapping[str, Service]
) -> Mapping[str, MergedRule]:
    if not contract.destination_rules:
        return _NO_RULES
    from pytest_egress.envoy.destination_rules import select_rules

    return select_rules(contract, workload, by_host.values())


def select_sidecar(contract: Contract, workload: Workload) -> Sidecar | None:
    """The Sidecar that applies to a workload; Sidecars are never merged.

    Its own namespace first: one whose selector matches, then one without selector, the oldest
    each; else the root namespace's oldest one without selector.
    """

    def oldest(sidecars: Iterable[Sidecar]) -> Sidecar | None:
        return min(
            sidecars,
            key=lambda it: (it.metadata.creation_timestamp, it.metadata.name),
            default=None,
        )

    own = [it for it in contract.sidecars if it.metadata.namespace == workload.namespace]
    root = [it for it in contract.sidecars if it.metadata.namespace == contract.mesh.root_namespace]
    return (
        oldest(
            it
            for it in own
            if it.workload_selector is not None
            and labels_match(it.workload_selector, workload.labels)
        )
        or oldest(it for it in own if it.workload_selector is None)
        or oldest(it for it in root if it.workload_selector is None)
    )


def _policy(sidecar: Sidecar | None, mesh: MeshConfig) -> OutboundTrafficPolicy:
    if sidecar is not None and sidecar.outbound_traffic_policy is not None:
        return sidecar.outbound_traffic_policy
    # Only a Sidecar can name an egress proxy.
    return replace(mesh.outbound_traffic_policy, egress_proxy=None)


def _imported(
    listener: EgressListener,
    imports: Imports,
    services: Sequence[Service],
    namespace: str,
    mesh: MeshConfig,
) -> tuple[Service, ...]:
    if imports.all_exact:
        candidates = _exact_candidates(imports, services, namespace, mesh)
    else:
        candidates = visible_services(services, namespace, mesh)
    picked: list[Service] = []
    chosen: dict[str, Service] = {}  # host -> a service of the namespace that owns it here
    for candidate in candidates:
        if not imports.match(candidate):
            continue
        service = _with_listener_port(candidate, listener)
        if service is None:
            continue
        picked.append(service)
        owner = chosen.get(service.host)
        if owner is None or service.namespace == namespace or _displaces(service, owner, namespace):
            chosen[service.host] = service
    return tuple(it for it in picked if chosen[it.host].namespace == it.namespace)


def _displaces(service: Service, owner: Service, namespace: str) -> bool:
    """Whether a Kubernetes Service takes a host from a ServiceEntry of another namespace."""
    return service.of_kubernetes and not owner.of_kubernetes and owner.namespace != namespace


def _exact_candidates(
    imports: Imports, services: Sequence[Service], namespace: str, mesh: MeshConfig
) -> list[Service]:
    """The oldest service of each imported namespace and host.

    Where every import is exact, istiod looks services up by namespace and host and finds one:
    of an entry with several addresses, the others are lost.
    """
    found: dict[tuple[str, str], Service] = {}
    for service in services:
        if imports.names_exactly(service):
            found.setdefault((service.namespace, service.host), service)
    return [it for it in found.values() if is_visible(it, namespace, mesh)]


def _matches_port(listener: EgressListener) -> bool:
    """Whether a listener takes only services that have its port."""
    port = listener.port
    return port is not None and port.number != 0 and parse_protocol(port.protocol) != "HTTP_PROXY"


def _with_listener_port(service: Service, listener: EgressListener) -> Service | None:
    """The service cut down to the listener's port; None where it has no such port."""
    port = listener.port
    if port is None or not _matches_port(listener):
        return service
    for candidate in service.ports:
        if candidate.number == port.number:
            if len(service.ports) == 1:
                return service
            return replace(service, ports=(candidate,))
    return None


def _reachable(
    egress: Iterable[EgressScope], services: Sequence[Service], namespace: str, mesh: MeshConfig
) -> Iterator[Service]:
    """What each egress listener imports, then what its VirtualServices lead to beyond that."""
    for scope in egress:
        yield from scope.services
        if not scope.virtual_services:
            continue
        from pytest_egress.envoy.virtual_service.select import destination_services

        for service, ports in destination_services(
            scope.virtual_services, services, namespace, mesh
        ):
            found = (
                _with_listener_port(service, scope.listener)
                if _matches_port(scope.listener)
                else _with_ports(service, ports)
            )
            if found is not None:
                yield found


def _with_ports(service: Service, ports: Collection[int]) -> Service | None:
    """The service cut down to the ports that routes lead to (0 is all); None if it has none."""
    if 0 in ports:
        return service
    kept = tuple(port for port in service.ports if port.number in ports)
    if len(kept) == len(service.ports):
        return service
    return replace(service, ports=kept) if kept else None


def _by_host(services: Iterable[Service]) -> dict[str, Service]:
    """One service per host: the first, with ports merged in.

    Ports of later ones are added only if both agree in namespace, resolution, labels, selector
    and exportTo (istiod's ``appendSidecarServices``).
    """
    added: dict[str, Service] = {}
    for service in services:
        existing = added.setdefault(service.host, service)
        if service.of_kubernetes and not existing.of_kubernetes:
            added[service.host] = service
            continue
        if existing is service or existing.ports == service.ports:
            continue
        if _mergeable(existing, service):
            added[service.host] = replace(existing, ports=_merged_ports(existing, service))
    return added


def _merged_ports(existing: Service, service: Service) -> tuple[ServicePort, ...]:
    ports = list(existing.ports)
    numbers = {port.number for port in ports}
    for port in service.ports:
        if port.number not in numbers:
            numbers.add(port.number)
            ports.append(port)
    return tuple(ports)


def _mergeable(one: Service, other: Service) -> bool:
    a, b = one.entry, other.entry

    def equal(x: Mapping[str, str] | None, y: Mapping[str, str] | None) -> bool:
        return dict(x or {}) == dict(y or {})

    return (
        a.registry == b.registry
        and a.metadata.namespace == b.metadata.namespace
        and a.resolution == b.resolution
        and equal(a.metadata.labels, b.metadata.labels)
        and equal(a.workload_selector, b.workload_selector)
        and set(a.export_to) == set(b.export_to)
    )
