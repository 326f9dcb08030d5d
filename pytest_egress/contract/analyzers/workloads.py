"""IST0101, IST0110, IST0111, IST0118 and IST0162: selectors and the Services in front of pods.

Pods and Services are rarely in a contract's files: nothing is missing unless some of its kind is
there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_egress.contract.analyzers.finding import Finding, at, of_kind
from pytest_egress.contract.resources import Resource, Sidecar
from pytest_egress.contract.syntax import PROTOCOLS

if TYPE_CHECKING:
    from pytest_egress.contract.gateway.resource import Gateway
    from pytest_egress.contract.kubernetes.resource import (
        KubernetesPod,
        KubernetesPort,
        KubernetesService,
    )

__all__ = ["analyze"]

_AMBIENT = "ambient.istio.io/redirection"
_MANAGED = "gateway.istio.io/managed"
_MANAGERS = frozenset(
    {"istio.io-gateway-controller", "istio.io-mesh-controller", "istio.io-eastwest-controller"}
)
_APP_PROTOCOLS = frozenset({"kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"})
# SMTP, DNS, MySQL, MongoDB: their protocol is never detected.
_WELL_KNOWN = frozenset({25, 53, 3306, 27017})


def analyze(resources: Sequence[Resource], refused: Collection[str]) -> Iterator[Finding]:
    """The findings about Sidecars, Gateways and Services."""
    pods: list[KubernetesPod] = of_kind(resources, "KubernetesPod")
    services: list[KubernetesService] = of_kind(resources, "KubernetesService")
    sidecars = [it for it in resources if isinstance(it, Sidecar)]
    yield from _selecting_none(sidecars, pods)
    yield from _rivals(sidecars, pods)
    if pods and not refused:
        gateways: list[Gateway] = of_kind(resources, "Gateway")
        for gateway in gateways:
            yield from _gateway(gateway, pods, services)
    for service in services:
        yield from _port_names(service)


def _selecting_none(
    sidecars: Sequence[Sidecar], pods: Sequence[KubernetesPod]
) -> Iterator[Finding]:
    for sidecar in sidecars:
        own = [it for it in pods if it.metadata.namespace == sidecar.metadata.namespace]
        selector = sidecar.workload_selector
        if own and selector and not any(_selects(selector, it) for it in own):
            message = (
                f"selector ({_written(selector)}) is not found: no pod of "
                f"{sidecar.metadata.namespace} has these labels"
            )
            yield at(sidecar, "IST0101", message, ("spec", "workloadSelector"), "error")


def _rivals(sidecars: Sequence[Sidecar], pods: Sequence[KubernetesPod]) -> Iterator[Finding]:
    for pod in pods:
        found = [
            it
            for it in sidecars
            if it.workload_selector
            and it.metadata.namespace == pod.metadata.namespace
            and _selects(it.workload_selector, pod)
        ]
        if len(found) > 1 and pod.metadata.annotations.get(_AMBIENT) != "enabled":
            what = f"the pods of {pod.metadata.namespace}/{pod.metadata.name}"
            yield from _clash("IST0110", found, f"select {what}", ("spec", "workloadSelector"))
    whole: dict[str, list[Sidecar]] = defaultdict(list)
    for sidecar in sidecars:
        if not sidecar.workload_selector:
            whole[sidecar.metadata.namespace].append(sidecar)
    for namespace, found in whole.items():
        if len(found) > 1:
            what = f"have no workloadSelector and are for all of {namespace}"
            yield from _clash("IST0111", found, what, ("metadata", "name"))


def _clash(
    code: str, sidecars: Sequence[Sidecar], what: str, path: tuple[str | int, ...]
) -> Iterator[Finding]:
    for sidecar in sidecars:
        other = next(it for it in sidecars if it is not sidecar)
        message = (
            f"this Sidecar and {other.metadata.name} ({other.at('metadata', 'name')}) both "
            f"{what}: Istio takes the older one. Keep one"
        )
        yield at(sidecar, code, message, path, "error")


def _gateway(
    gateway: Gateway, pods: Sequence[KubernetesPod], services: Sequence[KubernetesService]
) -> Iterator[Finding]:
    selected = [it for it in pods if _selects(gateway.selector, it)]
    if not selected:
        message = f"selector ({_written(gateway.selector)}) is not found: no pod has these labels"
        yield at(gateway, "IST0101", message, ("spec", "selector"), "error")
        return
    ahead = [
        service
        for pod in selected
        for service in services
        if service.metadata.namespace == pod.metadata.namespace and _selects(service.selector, pod)
    ]
    open_ports = {
        number
        for service in ahead
        for port in service.ports
        if port.transport == "TCP"
        for number in (port.number, port.target_port)
    }
    for i, server in enumerate(gateway.servers if services else ()):
        if server.port.number not in open_ports:
            message = (
                f"no Service in front of the pods that ({_written(gateway.selector)}) selects has "
                f"the port {server.port.number}"
            )
            place = gateway.at("spec", "servers", i, "port", "number")
            # The code that Istio gave it at first is still what people know it by.
            yield Finding("IST0162", "warning", message, place, ("IST0104",))


def _port_names(service: KubernetesService) -> Iterator[Finding]:
    labels = service.metadata.labels
    if (
        "istio" in labels
        or labels.get("release") == "istio"
        or labels.get(_MANAGED, "") in _MANAGERS
    ):
        return
    for i, port in enumerate(service.ports):
        if not _says_protocol(port):
            message = (
                f'port {port.number} has the name "{port.name}", which says no protocol: Istio '
                "detects it. Name it PROTOCOL-..., such as https-api, or set appProtocol"
            )
            yield at(service, "IST0118", message, ("spec", "ports", i), "note")


def _says_protocol(port: KubernetesPort) -> bool:
    if port.transport == "UDP" or port.app_protocol in _APP_PROTOCOLS:
        return True
    name = (port.name if port.app_protocol is None else port.app_protocol).lower()
    known = name.startswith("grpc-web") or name.partition("-")[0] in PROTOCOLS
    return known or port.number in _WELL_KNOWN


def _selects(selector: Mapping[str, str], pod: KubernetesPod) -> bool:
    return selector.items() <= pod.metadata.labels.items()


def _written(selector: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in selector.items()) or "none"
