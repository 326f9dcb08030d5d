"""The Services and pods that istiod's Kubernetes registry would hold for a contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.kubernetes.inferred import infer, selects, spoken_of
from pytest_egress.contract.kubernetes.resource import (
    KubernetesPod,
    KubernetesPort,
    KubernetesService,
)
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Metadata

if TYPE_CHECKING:
    from pytest_egress.contract.gateway.resource import Gateway

__all__ = [
    "ClusterService",
    "GatewayWorkload",
    "cluster_services",
    "container_port",
    "enforced_gateways",
    "gateway_workloads",
]


@dataclass(frozen=True, slots=True)
class ClusterService:
    """A Service with the pods behind it.

    Attributes:
        service: as the contract has it, or as it was inferred; with a cluster IP.
        pods: those that its selector selects; made up for a gateway whose pods are not given.
        inferred: where the contract speaks of it, when it does not hold it.
    """

    service: KubernetesService
    pods: tuple[KubernetesPod, ...]
    inferred: Position | None = None


@dataclass(frozen=True, slots=True)
class GatewayWorkload:
    """Pods that run a gateway: all that have the same namespace and labels.

    Attributes:
        name: of the first Service in front of them, for messages.
        services: the Services in front of them.
        pods: the pods.
        gateways: the Gateways that select them, oldest first.
    """

    name: str
    namespace: str
    labels: Mapping[str, str]
    services: tuple[KubernetesService, ...]
    pods: tuple[KubernetesPod, ...]
    gateways: tuple[Gateway, ...]

    def target_port(self, number: int) -> int:
        """The port that a Gateway's server listens on (istiod's ``resolvePorts``).

        Servers name ports of the Service; where it has no such port, the pod's own is meant.
        """
        for service in self.services:
            for port in service.ports:
                if port.number == number:
                    return container_port(port, self.pods[0])
        return number

    def pod_ports(self, pod: KubernetesPod) -> list[int]:
        """The ports of a pod that the Services lead to."""
        ports = (port for service in self.services for port in service.ports)
        return sorted({container_port(port, pod) for port in ports if port.transport == "TCP"})


def container_port(port: KubernetesPort, pod: KubernetesPod) -> int:
    """The port of a pod that a Service's port leads to."""
    target = port.target_port
    if isinstance(target, str):
        target = int(target) if target.isdigit() else pod.ports.get(target, 0)
    return target or port.number


def cluster_services(contract: Contract) -> tuple[ClusterService, ...]:
    """The Services of the contract, and the gateway services that it speaks of."""
    given = [(service, None) for service in contract.kubernetes_services]
    inferred = list(infer(contract)) if contract.virtual_services or contract.sidecars else []
    services = _with_addresses([*given, *inferred])
    pods = list(contract.kubernetes_pods)
    led_to = _led_to(contract)
    for service, place in services:
        if not _selected(service, pods) and (
            place is not None or _is_gateway(contract, service, led_to)
        ):
            pods.append(_made_up(service))
    pods = _with_pod_addresses(pods)
    return tuple(
        ClusterService(service, _selected(service, pods), place) for service, place in services
    )


def gateway_workloads(contract: Contract) -> tuple[GatewayWorkload, ...]:
    """The gateways that the contract's Gateways configure, or that its routes lead to."""
    services = cluster_services(contract)
    led_to = _led_to(contract)
    groups: dict[tuple[str, frozenset[tuple[str, str]]], list[KubernetesPod]] = {}
    for it in services:
        if it.inferred is None and not _is_gateway(contract, it.service, led_to):
            continue
        for pod in it.pods:
            key = (pod.metadata.namespace, frozenset(pod.metadata.labels.items()))
            group = groups.setdefault(key, [])
            if pod not in group:
                group.append(pod)
    return tuple(
        GatewayWorkload(
            behind[0].metadata.name,
            pods[0].metadata.namespace,
            pods[0].metadata.labels,
            behind,
            tuple(pods),
            tuple(
                sorted(
                    (it for it in contract.gateways if selects(it, pods[0].metadata.labels)),
                    key=_age,
                )
            ),
        )
        for pods in groups.values()
        for behind in [tuple(it.service for it in services if pods[0] in it.pods)]
    )


def enforced_gateways(contract: Contract) -> tuple[Gateway, ...]:
    """The Gateways that a gateway of ours runs; others are for pods that nothing leads to."""
    if not contract.gateways:
        return ()
    found = {id(it): it for gateway in gateway_workloads(contract) for it in gateway.gateways}
    return tuple(it for it in contract.gateways if id(it) in found)


def _is_gateway(contract: Contract, service: KubernetesService, led_to: frozenset[str]) -> bool:
    """Whether some Gateway is meant for the pods behind a Service."""
    if not service.selector:
        return False
    pods = _selected(service, contract.kubernetes_pods)
    labels = [pod.metadata.labels for pod in pods] or [service.selector]
    return service.host in led_to or any(
        it.selector and selects(it, one) for it in contract.gateways for one in labels
    )


def _led_to(contract: Contract) -> frozenset[str]:
    """The hosts that routes lead to, where a Gateway without selector is for all pods."""
    everyone = any(not it.selector for it in contract.gateways)
    return spoken_of(contract) if everyone else frozenset()


def _selected(
    service: KubernetesService, pods: Sequence[KubernetesPod]
) -> tuple[KubernetesPod, ...]:
    return tuple(
        pod
        for pod in pods
        if service.selector
        and pod.metadata.namespace == service.metadata.namespace
        and service.selector.items() <= pod.metadata.labels.items()
    )


def _made_up(service: KubernetesService) -> KubernetesPod:
    """The pod that Istio's charts would put behind a gateway's Service."""
    name = service.metadata.name
    return KubernetesPod(
        Metadata(name, service.metadata.namespace, service.selector, creation_timestamp=0),
        locate=service.locate,
        service_account=f"{name}-service-account",
    )


def _with_addresses(
    services: Sequence[tuple[KubernetesService, Position | None]],
) -> list[tuple[KubernetesService, Position | None]]:
    """Services as the API server stores them: each has an address (10.96.0.0/12)."""
    taken = {service.cluster_ip for service, _ in services}
    free = (f"10.96.{i // 254}.{i % 254 + 1}" for i in range(9, 254 * 254))
    return [
        (
            service
            if service.cluster_ip
            else dataclasses.replace(
                service, cluster_ip=next(ip for ip in free if ip not in taken)
            ),
            place,
        )
        for service, place in services
    ]


def _with_pod_addresses(pods: Sequence[KubernetesPod]) -> list[KubernetesPod]:
    """Pods as they run: each has an address (10.244.0.0/16)."""
    taken = {pod.address for pod in pods}
    free = (f"10.244.{i // 254}.{i % 254 + 1}" for i in range(9, 254 * 254))
    return [
        pod
        if pod.address
        else dataclasses.replace(pod, address=next(ip for ip in free if ip not in taken))
        for pod in pods
    ]


def _age(gateway: Gateway) -> tuple[float, str]:
    metadata = gateway.metadata
    return metadata.creation_timestamp, f"{metadata.name}.{metadata.namespace}"
