"""Warnings about Gateways that no gateway takes, and about gateways that are only spoken of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.gateway.fatal import fatal_hosts
from pytest_egress.contract.gateway.resource import Gateway
from pytest_egress.contract.kubernetes.inferred import selects
from pytest_egress.contract.kubernetes.registry import cluster_services, gateway_workloads
from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import Resource, Sidecar
from pytest_egress.contract.suggest import nearest

__all__ = ["lint_gateways"]

# The labels of the pods that Istio's charts install.
_INSTALLED = tuple(
    {"app": f"istio-{name}", "istio": name} for name in ("egressgateway", "ingressgateway")
)


def lint_gateways(resources: Sequence[Resource], refused: frozenset[str]) -> Iterator[Problem]:
    """Gateways that select no pods which the contract knows; Services that had to be guessed.

    Args:
        resources: of the contract.
        refused: kinds of which an object could not be read: what is missing may be there.
    """
    gateways = tuple(it for it in resources if isinstance(it, Gateway))
    for gateway in gateways:
        for message, place in fatal_hosts(gateway):
            yield Problem("warning", message, place, "lint/istiod-fails")
    if refused:
        return
    contract = _contract(resources, gateways)
    yield from _inferred(contract)
    known = [*_INSTALLED, *_labels_of_pods(contract)]
    for gateway in gateways:
        if any(selects(gateway, labels) for labels in known):
            continue
        wanted = ", ".join(f"{key}: {value}" for key, value in gateway.selector.items())
        message = (
            f"selector ({wanted}) selects no pods that the contract knows: nothing listens for "
            f"this Gateway here.{_mend(gateway, known)}"
        )
        position = gateway.at("spec", "selector")
        yield Problem("warning", message, position, "lint/gateway-selector")


def _inferred(contract: Contract) -> Iterator[Problem]:
    """The gateways' Services that the contract does not hold, and what they are taken for."""
    for it in cluster_services(contract):
        if it.inferred is None:
            continue
        service = it.service
        labels = ", ".join(f"{key}: {value}" for key, value in sorted(service.selector.items()))
        ports = ", ".join(f"{port.number} ({port.name})" for port in service.ports) or "none"
        namespace, name = service.metadata.namespace, service.metadata.name
        message = (
            f"{service.host} is in no file: it is taken for the Service of a gateway whose pods "
            f"have {{{labels}}}, with the ports {ports}. Add it to the contract to say so "
            f"(kubectl get service {name} --namespace {namespace} --output yaml)"
        )
        yield Problem("warning", message, it.inferred, "lint/gateway-service-inferred")


def _contract(resources: Sequence[Resource], gateways: tuple[Gateway, ...]) -> Contract:

    def of(kind: str) -> tuple[Resource, ...]:
        return tuple(it for it in resources if type(it).__name__ == kind)

    return Contract(
        service_entries=of("ServiceEntry"),  # type: ignore[arg-type]
        sidecars=tuple(it for it in resources if isinstance(it, Sidecar)),
        virtual_services=of("VirtualService"),  # type: ignore[arg-type]
        gateways=gateways,
        kubernetes_services=of("KubernetesService"),  # type: ignore[arg-type]
        kubernetes_pods=of("KubernetesPod"),  # type: ignore[arg-type]
    )


def _labels_of_pods(contract: Contract) -> Iterator[Mapping[str, str]]:
    """Those of the pods in the contract, and of the gateways that its routes lead to."""
    for pod in contract.kubernetes_pods:
        yield pod.metadata.labels
    for workload in gateway_workloads(contract):
        yield workload.labels


def _mend(gateway: Gateway, known: Sequence[Mapping[str, str]]) -> str:
    for key, value in gateway.selector.items():
        near = nearest(value, [labels[key] for labels in known if key in labels], cutoff=0.75)
        if near is not None and near != value:
            return f" Did you mean {key}: {near}?"
    return ""
