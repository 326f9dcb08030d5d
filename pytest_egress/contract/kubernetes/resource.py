"""The typed Service and pod of Kubernetes, reduced to what istiod reads of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pytest_egress.contract.resources import Resource

__all__ = ["KubernetesPod", "KubernetesPort", "KubernetesService", "service_host"]

_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
_NO_PORTS: Mapping[str, int] = MappingProxyType({})


def service_host(name: str, namespace: str) -> str:
    """The host that istiod knows a Service by."""
    return f"{name}.{namespace}.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class KubernetesPort:
    """``Service.spec.ports[]``; ``target_port`` is a number, a pod's port name, or 0."""

    number: int
    name: str = ""
    transport: str = "TCP"
    app_protocol: str | None = None
    target_port: int | str = 0


@dataclass(frozen=True, slots=True)
class KubernetesService(Resource):
    """``v1`` Service; ``cluster_ip`` is empty when not assigned yet and ``None`` when headless."""

    cluster_ip: str = ""
    ports: tuple[KubernetesPort, ...] = ()
    selector: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)

    @property
    def host(self) -> str:
        """The host that istiod knows it by."""
        return service_host(self.metadata.name, self.metadata.namespace)


@dataclass(frozen=True, slots=True)
class KubernetesPod(Resource):
    """A Pod, or the pods of a Deployment, DaemonSet or StatefulSet.

    ``metadata.labels`` and ``metadata.annotations`` are the pod's; ``address`` is empty when it
    has none yet; ``ports`` are the container ports by name.
    """

    service_account: str = ""
    address: str = ""
    ports: Mapping[str, int] = field(default_factory=lambda: _NO_PORTS)
