"""Gateway services that a contract speaks of without holding them: what they must be like.

Istio's own installation makes the Service of an egress gateway, so a contract's files rarely have
it. It is read out of the resources that use it, as the installation's charts would have made it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.kubernetes.resource import (
    KubernetesPort,
    KubernetesService,
    service_host,
)
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Metadata

if TYPE_CHECKING:
    from pytest_egress.contract.gateway.resource import Gateway
    from pytest_egress.contract.virtual_service.resource import (
        Destination,
        HttpRoute,
        HttpRouteDestination,
        RouteDestination,
        TcpRoute,
        TlsRoute,
        VirtualService,
    )

__all__ = ["binds", "bound_gateways", "destinations", "full_name", "infer", "selects", "spoken_of"]

MESH = "mesh"
_HOST = re.compile(r"([a-z0-9][-a-z0-9]*)\.([a-z0-9][-a-z0-9]*)\.svc\.cluster\.local")
# What Istio's charts install gateways as; their pods' labels are known.
_INSTALLED = frozenset({"istio-egressgateway", "istio-ingressgateway"})
# The charts' names of ports, from which istiod reads the protocol.
_CHART_PORTS = {80: "http2", 443: "https", 15443: "tls"}
_PORT_NAMES = {
    "HTTP": "http",
    "HTTP2": "http2",
    "GRPC": "grpc",
    "GRPC-WEB": "grpc-web",
    "HTTPS": "https",
    "TLS": "tls",
    "TCP": "tcp",
    "MONGO": "mongo",
    "MYSQL": "mysql",
    "REDIS": "redis",
}


def full_name(host: str, namespace: str) -> str:
    """A host as istiod reads it: one without dots is a Service of the resource's namespace."""
    if host == "*" or "." in host or ":" in host or not host:
        return host
    return service_host(host, namespace)


def binds(gateway: str, namespace: str) -> str:
    """``namespace/name`` of a Gateway as a VirtualService of ``namespace`` names it; or ``mesh``.

    ``name.namespace.svc.cluster.local`` is an old way to name one.
    """
    if gateway == MESH:
        return gateway
    source, slash, name = gateway.partition("/")
    if slash:
        return f"{namespace if source == '.' else source}/{name}"
    labels = gateway.split(".")
    return f"{labels[1] if len(labels) > 1 else namespace}/{labels[0]}"


def bound_gateways(service: VirtualService) -> set[str]:
    """The Gateways (``namespace/name``) that a VirtualService is bound to, ``mesh`` apart."""
    namespace = service.metadata.namespace
    return {binds(it, namespace) for it in service.gateways} - {MESH}


def destinations(
    service: VirtualService,
) -> Iterator[tuple[Destination, str, Callable[[], Position]]]:
    """Each destination of a VirtualService, with the kind of its route and how to locate it."""
    listed: Sequence[tuple[str, Sequence[HttpRoute | TlsRoute | TcpRoute]]] = (
        ("http", service.http),
        ("tls", service.tls),
        ("tcp", service.tcp),
    )
    for kind, routes in listed:
        for i, rule in enumerate(routes):
            targets: Sequence[HttpRouteDestination | RouteDestination] = rule.route
            for j, target in enumerate(targets):
                path = ("spec", kind, i, "route", j, "destination", "host")
                yield target.destination, kind, partial(service.at, *path)


def selects(gateway: Gateway, labels: Mapping[str, str]) -> bool:
    """Whether a Gateway is meant for pods with these labels; without a selector it is for all."""
    return gateway.selector.items() <= labels.items()


def infer(contract: Contract) -> Iterator[tuple[KubernetesService, Position]]:
    """The gateway services that routes or an ``egressProxy`` lead to and that nothing declares.

    Each with the position that speaks of it first.
    """
    declared = {it.host for it in contract.kubernetes_services}
    declared |= {host.lower() for entry in contract.service_entries for host in entry.hosts}
    # The pods of a Gateway that a Service of the contract is in front of are known: what its routes
    # lead to beside that Service is none of theirs.
    unserved = [
        gateway
        for gateway in contract.gateways
        if not any(selects(gateway, it.selector) for it in contract.kubernetes_services)
    ]
    spoken = _Spoken(contract)
    for host, locate in spoken.first.items():
        found = _HOST.fullmatch(host)
        if found is None or host in declared:
            continue
        name, namespace = found[1], found[2]
        wanted = spoken.gateways(host)
        gateways = [
            it for it in unserved if f"{it.metadata.namespace}/{it.metadata.name}" in wanted
        ]
        labels = {"app": name, "istio": name.removeprefix("istio-")}
        usual = any(it.selector and selects(it, labels) for it in unserved)
        if not (usual or gateways or name in _INSTALLED):
            continue  # some other service of the cluster
        if not usual and name not in _INSTALLED:
            for gateway in gateways:
                labels |= gateway.selector
        place = locate()
        yield (
            KubernetesService(
                Metadata(name, namespace, creation_timestamp=0),
                locate=partial(_anywhere, place),
                ports=tuple(_ports(contract, spoken.ports.get(host, {}), labels)),
                selector=labels,
            ),
            place,
        )


def _anywhere(place: Position, _path: tuple[str | int, ...]) -> Position:
    return place


def spoken_of(contract: Contract) -> frozenset[str]:
    """The hosts that routes, or an ``egressProxy``, lead to."""
    return frozenset(_Spoken(contract).first)


class _Spoken:
    """What a contract's routes and proxies say of each host, read once.

    Attributes:
        first: how to locate where a host is named first.
        leading: the VirtualServices that lead to a host.
        ports: the ports of a host that are named, each with the kind of the first route.
        bound: the Gateways (``namespace/name``) that VirtualServices for a host are bound to.
    """

    def __init__(self, contract: Contract) -> None:
        self.first: dict[str, Callable[[], Position]] = {}
        self.leading: dict[str, list[VirtualService]] = {}
        self.ports: dict[str, dict[int, str]] = {}
        self.bound: dict[str, set[str]] = {}
        for service in contract.virtual_services:
            gateways = bound_gateways(service)
            for name in service.hosts:
                self.bound.setdefault(name, set()).update(gateways)
            for target, kind, locate in destinations(service):
                host = full_name(target.host, service.metadata.namespace)
                leading = self.leading.setdefault(host, [])
                if not leading or leading[-1] is not service:
                    leading.append(service)
                self._name(host, target.port, kind, locate)
        for sidecar in contract.sidecars:
            policy = sidecar.outbound_traffic_policy
            proxy = policy.egress_proxy if policy is not None else None
            if proxy is not None:
                path = ("spec", "outboundTrafficPolicy", "egressProxy", "host")
                self._name(proxy.host, proxy.port, "tcp", partial(sidecar.at, *path))

    def _name(self, host: str, port: int, kind: str, locate: Callable[[], Position]) -> None:
        self.first.setdefault(host, locate)
        if port:
            self.ports.setdefault(host, {}).setdefault(port, kind)

    def gateways(self, host: str) -> set[str]:
        """The Gateways that traffic to ``host`` is meant to enter.

        They are bound by the VirtualService that leads to ``host`` or, where that one is for the
        mesh alone, by another one for the same hosts.
        """
        leading = self.leading.get(host, ())
        wanted = {it for service in leading for it in bound_gateways(service)}
        names = {name for service in leading for name in service.hosts}
        return wanted.union(*(self.bound[name] for name in names))


def _ports(
    contract: Contract, named: Mapping[int, str], labels: Mapping[str, str]
) -> Iterator[KubernetesPort]:
    """The ports that routes name and those that the servers of its Gateways have."""
    names: dict[int, str] = {}
    for gateway in contract.gateways:
        for server in gateway.servers if selects(gateway, labels) else ():
            protocol = server.port.protocol.upper()
            names.setdefault(server.port.number, _PORT_NAMES.get(protocol, "tcp"))
    for number, kind in named.items():
        names.setdefault(number, kind)
    for number, name in sorted(names.items()):
        yield KubernetesPort(
            number, _CHART_PORTS.get(number, f"{name}-{number}"), target_port=number
        )
