"""Warnings about Gateways that Istio accepts and that no gateway of the contract takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.gateway.resource import Gateway
from pytest_egress.contract.kubernetes.inferred import selects
from pytest_egress.contract.kubernetes.registry import gateway_workloads
from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import Resource, Sidecar
from pytest_egress.contract.suggest import nearest

__all__ = ["lint_gateways"]

# The labels of the pods that Istio's charts install.
_INSTALLED = tuple(
    {"app": f"istio-{name}", "istio": name} for name in ("egressgateway", "ingressgateway")
)


def lint_gateways(resources: Sequence[Resource], refused: frozenset[str]) -> Iterator[Problem]:
    """Gateways whose selector selects no pods that the contract knows, or Istio's charts install.

    Args:
        resources: of the contract.
        refused: kinds of which an object could not be read: what is missing may be there.
    """
    if refused:
        return
    gateways = tuple(it for it in resources if isinstance(it, Gateway))
    known = [*_INSTALLED, *_labels_of_pods(resources, gateways)]
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


def _labels_of_pods(
    resources: Sequence[Resource], gateways: tuple[Gateway, ...]
) -> Iterator[Mapping[str, str]]:
    """Those of the pods in the contract, and of the gateways that its routes lead to."""

    def of(kind: str) -> tuple[Resource, ...]:
        return tuple(it for it in resources if type(it).__name__ == kind)

    contract = Contract(
        service_entries=of("ServiceEntry"),  # type: ignore[arg-type]
        sidecars=tuple(it for it in resources if isinstance(it, Sidecar)),
        virtual_services=of("VirtualService"),  # type: ignore[arg-type]
        gateways=gateways,
        kubernetes_services=of("KubernetesService"),  # type: ignore[arg-type]
        kubernetes_pods=of("KubernetesPod"),  # type: ignore[arg-type]
    )
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
