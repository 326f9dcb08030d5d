"""Kubernetes Services in the words of ServiceEntries, for one way through the compiler."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.kubernetes.registry import (
    ClusterService,
    cluster_services,
    container_port,
)
from pytest_egress.contract.kubernetes.resource import KubernetesPort
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Endpoint, Port, ServiceEntry
from pytest_egress.envoy.protocols import SNIFFED, Protocol, parse_protocol

__all__ = ["kubernetes_entries", "port_protocol"]

_EXPORT_TO = "networking.istio.io/exportTo"
_HEADLESS = "None"
_APP_PROTOCOLS = {
    "kubernetes.io/h2c": "http2",
    "kubernetes.io/ws": "http",
    "kubernetes.io/wss": "https",
}
# SMTP, DNS, MySQL, MongoDB: servers that would break if their protocol were detected.
_NEVER_SNIFFED = frozenset({25, 53, 3306, 27017})


def kubernetes_entries(contract: Contract) -> Iterator[ServiceEntry]:
    """The Services that istiod's Kubernetes registry would hold for a contract."""
    for it in cluster_services(contract):
        yield _entry(it)


def port_protocol(port: KubernetesPort) -> Protocol:
    """The protocol of a Service's port: that of ``appProtocol``, else of its name's beginning."""
    if port.transport == "UDP":
        return "UDP"
    name = port.name if port.app_protocol is None else port.app_protocol
    name = _APP_PROTOCOLS.get(name, name) if port.app_protocol is not None else name
    if name[:8].lower() == "grpc-web":
        return "GRPC-Web"
    protocol = parse_protocol(name.split("-", 1)[0])
    return "TCP" if protocol == SNIFFED and port.number in _NEVER_SNIFFED else protocol


def _entry(it: ClusterService) -> ServiceEntry:
    service = it.service
    headless = service.cluster_ip == _HEADLESS
    annotated = service.metadata.annotations.get(_EXPORT_TO, "")
    place = service.at("metadata", "name")

    def locate(_path: tuple[str | int, ...]) -> Position:
        return place

    return ServiceEntry(
        service.metadata,
        locate=locate,
        hosts=(service.host,),
        addresses=() if headless else (service.cluster_ip,),
        ports=tuple(
            # Written out, because a name says nothing in a ServiceEntry.
            Port(port.number, port.name, port_protocol(port))
            for port in service.ports
        ),
        location="MESH_INTERNAL",
        resolution="NONE" if headless else "STATIC",
        endpoints=tuple(
            Endpoint(
                pod.address,
                {port.name: container_port(port, pod) for port in service.ports},
                pod.metadata.labels,
                service_account=pod.service_account,
            )
            for pod in it.pods
        ),
        export_to=tuple(name.strip() for name in annotated.split(",")) if annotated else (),
        registry="Kubernetes",
    )
