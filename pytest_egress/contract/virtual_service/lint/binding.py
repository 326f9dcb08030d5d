"""What a VirtualService is bound to and applied to: gateways, hosts, ports of its protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_egress.contract.kubernetes.inferred import binds, full_name
from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Path
from pytest_egress.contract.suggest import nearest
from pytest_egress.contract.syntax import HTTP_PROTOCOLS, TLS_PROTOCOLS, is_ip
from pytest_egress.contract.virtual_service.lint.declared import (
    HTTP_WITHOUT_HOST,
    MESH,
    Declared,
    is_cluster_host,
)
from pytest_egress.contract.virtual_service.lint.walk import (
    Match,
    callers,
    for_mesh,
    in_mesh,
    mesh_matches,
    routes,
    warning,
)
from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["lint_binding"]

_BARE = frozenset({"tcp", "mongo", "redis", "mysql"})
# A port without protocol is detected: http and tcp routes apply.
_PROTOCOLS = {"http": HTTP_PROTOCOLS | {""}, "tls": TLS_PROTOCOLS, "tcp": _BARE | {""}}
_WANTED = {
    "http": "a sidecar does not look into TLS. Use tls with sniHosts, or declare an HTTP port",
    "tls": "they need a port of protocol HTTPS or TLS",
    "tcp": "they need a port of protocol TCP",
}


def lint_binding(service: VirtualService, declared: Declared) -> Iterator[Problem]:
    """A VirtualService bound to nothing, or for hosts and ports that nobody declares."""
    yield from _gateways(service, declared)
    if not in_mesh(service) or not declared.hosts or "ServiceEntry" in declared.refused:
        return
    for i, host in enumerate(service.hosts):
        name = full_name(host, service.metadata.namespace)
        if not (is_cluster_host(name) or is_ip(name)):
            yield from _host(service, name, ("spec", "hosts", i), declared)
    ports: dict[int, str] = {}
    for host in service.hosts:
        ports.update(declared.applied(host))
    if ports:
        yield from _ports(service, ports, declared)


def _gateways(service: VirtualService, declared: Declared) -> Iterator[Problem]:
    namespace = service.metadata.namespace
    bound = {binds(gateway, namespace) for gateway in service.gateways or (MESH,)}
    external = any(declared.knows(host) for host in service.hosts)
    for i, gateway in enumerate(service.gateways):
        key = binds(gateway, namespace)
        if key == MESH or key in declared.gateways or "Gateway" in declared.refused:
            continue
        near = nearest(key, declared.gateways, cutoff=0.75)
        if near is None and not external:
            continue  # an ingress, whose Gateway may be kept elsewhere
        mend = f': did you mean "{near}"?' if near else ""
        message = f'no Gateway "{key}" in the contract: nothing is bound to it{mend}'
        yield warning(service, "lint/virtual-service-gateway", message, ("spec", "gateways", i))
    if not service.hosts:
        return  # a delegate's matches speak of the gateways of who delegates to it
    for protocol, i, route in routes(service):
        matches: Sequence[Match] = route.match
        for j, match in enumerate(matches):
            for k, gateway in enumerate(match.gateways):
                if binds(gateway, namespace) not in bound:
                    message = (
                        f'the VirtualService is not bound to "{gateway}", so this never matches '
                        "there: add it to spec.gateways"
                    )
                    path = ("spec", protocol, i, "match", j, "gateways", k)
                    yield warning(service, "lint/virtual-service-match-gateway", message, path)


def _host(service: VirtualService, host: str, path: Path, declared: Declared) -> Iterator[Problem]:
    if not declared.knows(host):
        where = f" but on port {HTTP_WITHOUT_HOST}" if service.http else ""
        message = (
            f'no ServiceEntry declares "{host}": its routes have no effect{where}. '
            f"{declared.mend(host)}"
        )
        yield warning(service, "lint/virtual-service-host", message, path)
        return
    wildcard = declared.wildcard(host)
    if host.startswith("*") or declared.spelling(host) or wildcard is None or not service.http:
        return
    ports = [
        number
        for number, protocol in declared.applied(host).items()
        if protocol in _PROTOCOLS["http"] and number != HTTP_WITHOUT_HOST
    ]
    if ports:
        message = (
            f'only the wildcard "{wildcard}" declares "{host}": http routes have no effect on '
            f"port {ports[0]}. Declare the host itself"
        )
        yield warning(service, "lint/virtual-service-host", message, path)


def _ports(service: VirtualService, ports: dict[int, str], declared: Declared) -> Iterator[Problem]:
    known = ", ".join(f"{number} {protocol.upper()}".strip() for number, protocol in ports.items())
    told: set[str] = set()
    for protocol, i, route in routes(service):
        path: Path = ("spec", protocol, i)
        suited = {number for number, name in ports.items() if name in _PROTOCOLS[protocol]}
        listening = {*ports, *declared.listeners}
        if protocol == "http":
            listening.add(HTTP_WITHOUT_HOST)
        matches: Sequence[Match] = route.match
        for j, match in enumerate(matches):
            caller = callers(match)
            if for_mesh(caller) and caller.port and caller.port not in listening:
                message = f"the hosts declare no port {caller.port} ({known}): this never matches"
                yield warning(
                    service, "lint/virtual-service-match-port", message, (*path, "match", j, "port")
                )
        wanted = {caller.port for caller in mesh_matches(route)}
        if wanted - _elsewhere(protocol, ports, declared) and not suited and protocol not in told:
            told.add(protocol)
            message = (
                f"{protocol} routes have no effect on the ports of these hosts ({known}): "
                f"{_WANTED[protocol]}"
            )
            yield warning(service, "lint/virtual-service-protocol", message, path)


def _elsewhere(protocol: str, ports: dict[int, str], declared: Declared) -> set[int]:
    """Ports that a match may name and that are not those of the hosts."""
    other = set(declared.listeners) - ports.keys()
    return other | ({HTTP_WITHOUT_HOST} if protocol == "http" else set())
