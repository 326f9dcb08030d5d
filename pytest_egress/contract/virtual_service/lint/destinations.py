"""Destinations of a VirtualService that nobody declares: host, subset, port."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pytest_egress.contract.kubernetes.inferred import full_name
from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Path
from pytest_egress.contract.suggest import did_you_mean
from pytest_egress.contract.virtual_service.lint.declared import (
    HTTP_WITHOUT_HOST,
    Declared,
    is_cluster_host,
)
from pytest_egress.contract.virtual_service.lint.walk import (
    Route,
    destinations,
    in_mesh,
    mesh_matches,
    warning,
)
from pytest_egress.contract.virtual_service.resource import Destination, VirtualService

__all__ = ["lint_destinations"]

# What Istio's charts install gateways as: their Services are part of the installation.
_INSTALLED = ("istio-egressgateway.", "istio-ingressgateway.")
_FATE = {"http": "answered 503 (no such cluster)", "tls": "reset", "tcp": "reset"}


def lint_destinations(service: VirtualService, declared: Declared) -> Iterator[Problem]:
    """A route to what does not exist is accepted by Istio, and fails with each call."""
    external = any(declared.knows(host) for host in service.hosts)
    for protocol, route, destination, path in destinations(service):
        host = full_name(destination.host, service.metadata.namespace)
        ports = declared.ports(host)
        if ports is None:
            flaw = _host_flaw(host, protocol, declared, external=external)
            if flaw is not None:
                yield warning(service, flaw[0], flaw[1], (*path, "host"))
            continue
        if (
            destination.port
            and destination.port not in ports
            and "ServiceEntry" not in declared.refused
        ):
            known = ", ".join(map(str, sorted(ports))) or "none"
            message = (
                f'"{host}" declares no port {destination.port} ({known}): calls that take this '
                f"route are {_FATE[protocol]}"
            )
            yield warning(service, "lint/destination-port", message, (*path, "port", "number"))
        elif not destination.port and protocol == "http" and in_mesh(service):
            yield from _unsaid_port(service, route, destination, ports, path, declared)
    if "DestinationRule" not in declared.refused:
        yield from _subsets(service, declared)


def _host_flaw(
    host: str, protocol: str, declared: Declared, *, external: bool
) -> tuple[str, str] | None:
    """The rule and the words; None when nothing can be said."""
    if is_cluster_host(host):
        if not external or declared.gateways or host.startswith(_INSTALLED):
            return None  # calls inside the cluster, or the Service of an egress gateway
        return "lint/destination-cluster-service", (
            f'"{host}" is a Service of the cluster, which nothing here declares: without a '
            f"cluster, calls that take this route are {_FATE[protocol]}. If it is external, give "
            "its full name"
        )
    if not declared.hosts or "ServiceEntry" in declared.refused:
        return None
    spelling = declared.spelling(host)
    if spelling is not None:
        return "lint/destination-host", (
            f'"{host}" is declared as "{spelling}": a destination is compared letter by letter, '
            f'so calls that take this route are {_FATE[protocol]}. Write "{spelling}"'
        )
    wildcard = declared.wildcard(host)
    if wildcard is not None:
        return "lint/destination-host", (
            f'only the wildcard "{wildcard}" declares "{host}", and a destination is no wildcard '
            f"match: calls that take this route are {_FATE[protocol]}. Declare the host itself, "
            f'or lead to "{wildcard}"'
        )
    return "lint/destination-host", (
        f'no ServiceEntry declares "{host}": calls that take this route are {_FATE[protocol]}. '
        f"{declared.mend(host)}"
    )


def _unsaid_port(
    service: VirtualService,
    route: Route,
    destination: Destination,
    ports: Collection[int],
    path: Path,
    declared: Declared,
) -> Iterator[Problem]:
    """Without a port an http route keeps that of the call, which the destination may not have."""
    wanted = {caller.port for caller in mesh_matches(route)}
    called = {number for host in service.hosts for number in declared.called(host)}
    called |= wanted & {HTTP_WITHOUT_HOST}
    missing = sorted(number for number in called if number not in ports and wanted & {0, number})
    if missing and ports and "ServiceEntry" not in declared.refused:
        example = min(ports)
        message = (
            f"without a port the route keeps that of the call ({missing[0]}), which "
            f'"{destination.host}" does not declare: such calls are {_FATE["http"]}. '
            f"Add port: {{number: {example}}}"
        )
        yield warning(service, "lint/destination-port", message, path)


def _subsets(service: VirtualService, declared: Declared) -> Iterator[Problem]:
    for protocol, _, destination, path in destinations(service):
        host = full_name(destination.host, service.metadata.namespace)
        if not destination.subset or declared.ports(host) is None:
            continue
        known = declared.subsets(host)
        if destination.subset in known:
            continue
        mend = did_you_mean(destination.subset, known) if known else "add a DestinationRule with it"
        message = (
            f'no DestinationRule for "{host}" has the subset "{destination.subset}": calls that '
            f"take this route are {_FATE[protocol]}. {mend[0].upper()}{mend[1:]}"
        )
        yield warning(service, "lint/destination-subset", message, (*path, "subset"))
