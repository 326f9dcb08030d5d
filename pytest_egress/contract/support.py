"""What a valid contract may ask for that the embedded proxy cannot enforce."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Problem, Severity
from pytest_egress.contract.report import Path
from pytest_egress.contract.resources import Resource, ServiceEntry, Sidecar, WorkloadEntry

if TYPE_CHECKING:
    from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["unsupported"]

_NEEDS = "the embedded Envoy cannot enforce it, only a cluster can (--egress-backend=kind, cluster)"
_SEMANTICS = "internal.istio.io/route-semantics"
_UNIX = "unix://"
_SOCKET = "a Unix socket of the pod's own file system"


def unsupported(contract: Contract) -> list[Problem]:
    """What the embedded and the container backend cannot enforce of this contract.

    Errors name a field that would be enforced wrongly, warnings one that may be incomplete:
    a ``workloadSelector`` also selects pods, which are known in a cluster only.
    """
    return [
        *(p for entry in contract.service_entries for p in _service_entry(entry, contract)),
        *(p for workload in contract.workload_entries for p in _workload(workload)),
        *(p for sidecar in contract.sidecars for p in _sidecar(sidecar)),
        *(p for service in contract.virtual_services for p in _virtual_service(service)),
        *_destination_rules(contract),
        *_gateways(contract),
    ]


def _destination_rules(contract: Contract) -> Iterator[Problem]:
    if contract.destination_rules:
        from pytest_egress.contract.destination_rule.limits import needs_a_cluster

        for rule in contract.destination_rules:
            for path, reason in needs_a_cluster(rule, contract):
                yield _problem(rule, path, reason)


def _virtual_service(service: VirtualService) -> Iterator[Problem]:
    if service.metadata.annotations.get(_SEMANTICS) in {"gateway", "ingress"}:
        reason = "Istio's own mark on what it makes of the Gateway API and of Ingress objects"
        yield _problem(service, ("metadata", "annotations", _SEMANTICS), reason)


def _service_entry(entry: ServiceEntry, contract: Contract) -> Iterator[Problem]:
    for i, endpoint in enumerate(entry.endpoints):
        if endpoint.address.startswith(_UNIX):
            path: Path = ("spec", "endpoints", i, "address")
            yield _problem(entry, path, f'endpoint "{endpoint.address}" is {_SOCKET}')
        elif endpoint.network and not endpoint.address:
            path = ("spec", "endpoints", i, "network")
            reason = f'network "{endpoint.network}" is reached through its gateway, in a mesh only'
            yield _problem(entry, path, reason)
    selector = entry.workload_selector
    if selector is None:
        return
    selected = any(
        workload.metadata.namespace == entry.metadata.namespace
        and selector.items() <= {**workload.metadata.labels, **workload.endpoint.labels}.items()
        for workload in contract.workload_entries
    )
    if not selected:
        reason = "workloadSelector selects no WorkloadEntry of the contract, and pods are not known"
        yield _problem(entry, ("spec", "workloadSelector"), reason, "warning")


def _workload(workload: WorkloadEntry) -> Iterator[Problem]:
    address = workload.endpoint.address
    if address.startswith(_UNIX):
        yield _problem(workload, ("spec", "address"), f'address "{address}" is {_SOCKET}')
    elif workload.endpoint.network and not address:
        reason = (
            f'network "{workload.endpoint.network}" is reached through its gateway, in a mesh only'
        )
        yield _problem(workload, ("spec", "network"), reason)


def _sidecar(sidecar: Sidecar) -> Iterator[Problem]:
    for i, listener in enumerate(sidecar.egress):
        if listener.bind.startswith(_UNIX):
            path: Path = ("spec", "egress", i, "bind")
            yield _problem(sidecar, path, f'bind "{listener.bind}" is {_SOCKET}')


def _gateways(contract: Contract) -> Iterator[Problem]:
    if not contract.gateways:
        return
    from pytest_egress.contract.gateway.support import unsupported_servers

    for gateway, path, reason in unsupported_servers(contract):
        yield _problem(gateway, path, reason)


def _problem(resource: Resource, path: Path, reason: str, severity: Severity = "error") -> Problem:
    field = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path).lstrip(".")
    return Problem(
        severity, f"{field}: {reason}: {_NEEDS}", resource.at(*path), "unsupported-field"
    )
