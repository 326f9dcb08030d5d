"""The Services in front of a contract's egress gateways, as objects for a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.kubernetes.resource import KubernetesPort, KubernetesService

__all__ = ["exported_to", "led_services", "service_object"]

Json = dict[str, Any]

_EXPORT_TO = "networking.istio.io/exportTo"
_HEADLESS = "None"


def led_services(contract: Contract) -> list[KubernetesService]:
    """The Services in front of the contract's egress gateways, given or inferred, each once."""
    if not contract.speaks_of_services:
        return []
    from pytest_egress.contract.kubernetes.registry import gateway_workloads

    found = {
        (it.metadata.namespace, it.metadata.name): it
        for gateway in gateway_workloads(contract)
        for it in gateway.services
    }
    return list(found.values())


def exported_to(service: KubernetesService) -> list[str]:
    """The namespaces that a Service says it is exported to; none: it does not say."""
    said = service.metadata.annotations.get(_EXPORT_TO, "").split(",")
    return [it.strip() for it in said if it.strip()]


def service_object(
    service: KubernetesService,
    namespace: str,
    export_to: Iterable[str],
    selector: Mapping[str, str],
) -> Json:
    """The Service as it is applied: what would have it reached from outside is left out.

    Args:
        service: given or inferred.
        namespace: in the cluster.
        export_to: the namespaces in the cluster that see it.
        selector: of the pods in the cluster.
    """
    spec: Json = {"selector": dict(selector), "ports": [_port(it) for it in service.ports]}
    if service.cluster_ip == _HEADLESS:
        spec["clusterIP"] = _HEADLESS
    metadata = {
        "name": service.metadata.name,
        "namespace": namespace,
        "labels": dict(service.metadata.labels),
        "annotations": {_EXPORT_TO: ",".join(export_to)},
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _port(port: KubernetesPort) -> Json:
    found: Json = {"port": port.number, "protocol": port.transport}
    if port.name:
        found["name"] = port.name
    if port.target_port:
        found["targetPort"] = port.target_port
    if port.app_protocol is not None:
        found["appProtocol"] = port.app_protocol
    return found
