"""What a workload sees: exportTo, its Sidecar's egress listeners, the outbound policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from pytest_egress.envoy.imports import Imports
from pytest_egress.envoy.names import labels_match
from pytest_egress.envoy.protocols import parse_protocol
from pytest_egress.envoy.services import Service, ServicePort

if TYPE_CHECKING:
    from pytest_egress.envoy.destination_rules import MergedRule

__all__ = ["EgressScope", "Scope", "build_scope", "select_sidecar", "visible_services"]

_EVERYTHING = EgressListener(hosts=("*/*",))
_NO_RULES: Mapping[str, MergedRule] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EgressScope:
    """One egress listener of the Sidecar and the services it imports, in istiod's order."""

    listener: EgressListener
    services: tuple[Service, ...]

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
        services: one service per host, with merged ports: what clusters are made for.
        policy: what happens to undeclared traffic.
        rules: the DestinationRule of each host in ``services`` that has one.
    """

    egress: tuple[EgressScope, ...]
    services: tuple[Service, ...]
    policy: OutboundTrafficPolicy
    rules: Mapping[str, MergedRule] = field(default_factory=lambda: _NO_RULES)

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
    egress = tuple(
        EgressScope(listener, _imported(listener, services, workload.namespace, contract.mesh))
        for listener in listeners
    )
    visible = _one_per_host(egress)
    rules = _NO_RULES
    if contract.destination_rules:
        from pytest_egress.envoy.destination_rules import select_rules

        rules = select_rules(contract, workload, visible)
    return Scope(egress, visible, _policy(sidecar, contract.mesh), rules)


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


def visible_services(
    services: Iterable[Service], namespace: str, mesh: MeshConfig
) -> list[Service]:
    """The services that exportTo shows to a namespace.

    Those exported to it by name or privately come before the public ones, so a private entry is
    met before an older public one. ``*`` wins over everything, then ``~`` hides from everyone.
    """
    targeted: list[Service] = []
    public: list[Service] = []
    for service in services:
        export_to = _export_to(service, mesh)
        if "*" in export_to:
            public.append(service)
        elif "~" not in export_to and _exported(service, export_to, namespace):
            targeted.append(service)
    return targeted + public


def _export_to(service: Service, mesh: MeshConfig) -> tuple[str, ...]:
    return service.entry.export_to or mesh.default_service_export_to or ("*",)


def _exported(service: Service, export_to: tuple[str, ...], namespace: str) -> bool:
    return namespace in export_to or ("." in export_to and service.namespace == namespace)


def _policy(sidecar: Sidecar | None, mesh: MeshConfig) -> OutboundTrafficPolicy:
    if sidecar is not None and sidecar.outbound_traffic_policy is not None:
        return sidecar.outbound_traffic_policy
    # Only a Sidecar can name an egress proxy.
    return replace(mesh.outbound_traffic_policy, egress_proxy=None)


def _imported(
    listener: EgressListener, services: Sequence[Service], namespace: str, mesh: MeshConfig
) -> tuple[Service, ...]:
    imports = Imports.parse(listener.hosts, namespace)
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
    visible = []
    for service in found.values():
        export_to = _export_to(service, mesh)
        if "*" in export_to or _exported(service, export_to, namespace):
            visible.append(service)
    return visible


def _with_listener_port(service: Service, listener: EgressListener) -> Service | None:
    """The service cut down to the listener's port; None where it has no such port."""
    port = listener.port
    if port is None or port.number == 0 or parse_protocol(port.protocol) == "HTTP_PROXY":
        return service
    for candidate in service.ports:
        if candidate.number == port.number:
            if len(service.ports) == 1:
                return service
            return replace(service, ports=(candidate,))
    return None


def _one_per_host(egress: Iterable[EgressScope]) -> tuple[Service, ...]:
    """One service per host over all egress listeners: the first, with ports merged in.

    Ports of later ones are added only if both agree in namespace, resolution, labels, selector
    and exportTo (istiod's ``appendSidecarServices``).
    """
    added: dict[str, Service] = {}
    for scope in egress:
        for service in scope.services:
            existing = added.setdefault(service.host, service)
            if service.of_kubernetes and not existing.of_kubernetes:
                added[service.host] = service
                continue
            if existing is service or existing.ports == service.ports:
                continue
            if _mergeable(existing, service):
                added[service.host] = replace(existing, ports=_merged_ports(existing, service))
    return tuple(added.values())


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
