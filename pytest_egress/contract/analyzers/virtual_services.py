"""IST0101, IST0109, IST0112, IST0132: what VirtualServices refer to, and hosts that two have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_egress.contract.analyzers.finding import Finding, at, of_kind
from pytest_egress.contract.analyzers.services import Services, full_host, scopes
from pytest_egress.contract.kubernetes.inferred import MESH, full_name
from pytest_egress.contract.report import Path
from pytest_egress.contract.resources import Resource

if TYPE_CHECKING:
    from pytest_egress.contract.destination_rule.resource import DestinationRule
    from pytest_egress.contract.gateway.resource import Gateway
    from pytest_egress.contract.virtual_service.resource import Destination, VirtualService

__all__ = ["analyze"]

_Subsets = set[tuple[str, str]]


def analyze(
    resources: Sequence[Resource], services: Services, refused: Collection[str]
) -> Iterator[Finding]:
    """The findings about VirtualServices."""
    virtual: list[VirtualService] = of_kind(resources, "VirtualService")
    subsets = None if "DestinationRule" in refused else _subsets(resources)
    gateways: dict[str, Gateway] = {
        f"{it.metadata.namespace}/{it.metadata.name}": it for it in of_kind(resources, "Gateway")
    }
    for service in virtual:
        yield from _destinations(service, services, subsets)
        yield from _gateways(service, gateways, missing="Gateway" not in refused)
    yield from _conflicts(virtual)


def _subsets(resources: Sequence[Resource]) -> _Subsets:
    rules: list[DestinationRule] = of_kind(resources, "DestinationRule")
    return {
        (full_name(rule.host, rule.metadata.namespace), subset.name)
        for rule in rules
        for subset in rule.subsets
    }


def _leading(service: VirtualService) -> Iterator[tuple[Destination, Path, str]]:
    """Every destination with its path, and ``mirror `` for those that only get copies."""
    for kind, routes in (("http", service.http), ("tls", service.tls), ("tcp", service.tcp)):
        for i, rule in enumerate(routes):
            for j, target in enumerate(rule.route):  # type: ignore[attr-defined]
                yield target.destination, ("spec", kind, i, "route", j, "destination"), ""
    for i, route in enumerate(service.http):
        if route.mirror is not None:
            yield route.mirror, ("spec", "http", i, "mirror"), "mirror "
        for j, mirror in enumerate(route.mirrors):
            yield mirror.destination, ("spec", "http", i, "mirrors", j, "destination"), "mirror "


def _destinations(
    service: VirtualService, services: Services, subsets: _Subsets | None
) -> Iterator[Finding]:
    namespace = service.metadata.namespace
    for destination, path, mirror in _leading(service):
        ports = services.ports(destination.host, namespace, service.export_to)
        if ports is None:
            if services.may_lack(destination.host, namespace):
                message = (
                    f'{mirror}host "{destination.host}" is not found: no ServiceEntry or Service '
                    f"that {namespace} sees has it"
                )
                yield at(service, "IST0101", message, (*path, "host"), "error")
        elif destination.port and destination.port not in ports:
            known = ", ".join(map(str, sorted(ports))) or "none"
            message = (
                f'{mirror}host:port "{destination.host}:{destination.port}" is not found: the '
                f"host has the ports {known}"
            )
            yield at(service, "IST0101", message, (*path, "port", "number"), "error")
        elif not destination.port and len(ports) > 1:
            known = ", ".join(map(str, sorted(ports)))
            message = (
                f'{mirror}host "{destination.host}" has the ports {known}: without a port a call '
                "goes to the one that it came in for"
            )
            yield at(service, "IST0112", message, (*path, "host"), "note")
        if destination.subset and subsets is not None:
            name = full_name(destination.host, namespace)
            if (name, destination.subset) not in subsets:
                message = (
                    f'{mirror}host+subset "{destination.host}+{destination.subset}" is not found '
                    "in any DestinationRule"
                )
                yield at(service, "IST0101", message, (*path, "subset"), "error")


def _gateways(
    service: VirtualService, gateways: dict[str, Gateway], *, missing: bool
) -> Iterator[Finding]:
    namespace = service.metadata.namespace
    for i, name in enumerate(service.gateways):
        if name == MESH:
            continue
        gateway = gateways.get(name if "/" in name else f"{namespace}/{name}")
        path: Path = ("spec", "gateways", i)
        if gateway is None:
            if missing and gateways:
                message = f'gateway "{name}" is not found'
                yield at(service, "IST0101", message, path, "error")
        elif service.hosts and not _shares_host(service, gateway):
            message = (
                f'no server of Gateway "{name}" has a host of this VirtualService '
                f"({', '.join(service.hosts)}) for {namespace}: nothing is bound to it"
            )
            yield at(service, "IST0132", message, path)


def _shares_host(service: VirtualService, gateway: Gateway) -> bool:
    for server in gateway.servers:
        for written in server.hosts:
            source, slash, host = written.rpartition("/")
            source = gateway.metadata.namespace if source == "." else source
            if slash and source not in {"*", service.metadata.namespace}:
                continue
            if any(_overlap(host, name) for name in service.hosts):
                return True
    return False


def _overlap(one: str, other: str) -> bool:
    """Whether two hosts, wildcards or not, have a name in common."""
    if one.startswith("*") and other.startswith("*"):
        return one[1:].endswith(other[1:]) or other[1:].endswith(one[1:])
    if one.startswith("*"):
        return other.endswith(one[1:])
    return one.endswith(other[1:]) if other.startswith("*") else one == other


def _conflicts(virtual: Sequence[VirtualService]) -> Iterator[Finding]:
    found: dict[tuple[str, str], list[tuple[VirtualService, int]]] = defaultdict(list)
    for service in virtual:
        if service.gateways and MESH not in service.gateways:
            continue
        namespace = service.metadata.namespace
        for scope in scopes(service.export_to, namespace):
            for i, host in enumerate(service.hosts):
                found[scope, full_host(host, namespace)].append((service, i))
    public = {host: uses for (scope, host), uses in found.items() if scope == "*"}
    wildcards = [host for host in public if host.startswith("*")]
    told: set[int] = set()
    for (scope, host), own in found.items():
        rivals = list(own)
        if scope != "*":
            near = public if host.startswith("*") else [*wildcards, host]
            rivals += (
                use for other in near if other in public and _overlap(other, host)
                for use in public[other]
            )  # fmt: skip
        if len({id(service) for service, _ in rivals}) < 2:
            continue
        for service, i in rivals:
            if id(service) in told:
                continue
            told.add(id(service))
            rival, j = next(it for it in rivals if it[0] is not service)
            message = (
                f'"{service.hosts[i]}" has a VirtualService at {rival.at("spec", "hosts", j)} too: '
                "sidecars do not merge the two. Make one of them"
            )
            yield at(service, "IST0109", message, ("spec", "hosts", i), "error")
