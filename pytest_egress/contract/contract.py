"""The contract: the resources that declare what a pod may reach, and the mesh they live in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import MeshConfig, ServiceEntry, Sidecar, WorkloadEntry

if TYPE_CHECKING:
    # Read only where a contract has such objects: their many types take time to import.
    from pytest_egress.contract.destination_rule.resource import DestinationRule
    from pytest_egress.contract.gateway.resource import Gateway
    from pytest_egress.contract.kubernetes.resource import KubernetesPod, KubernetesService
    from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["Contract"]

_NONE: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Contract:
    """Resources in file order, plus the mesh's own settings.

    Attributes:
        warnings: findings of validation and lint that do not stop a run.
        files: the files that were read, in order.
        other_kinds: how many documents of each other kind were left alone.
    """

    service_entries: tuple[ServiceEntry, ...] = ()
    workload_entries: tuple[WorkloadEntry, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()
    virtual_services: tuple[VirtualService, ...] = ()
    destination_rules: tuple[DestinationRule, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    kubernetes_services: tuple[KubernetesService, ...] = ()
    kubernetes_pods: tuple[KubernetesPod, ...] = ()
    mesh: MeshConfig = field(default_factory=MeshConfig)
    warnings: tuple[Problem, ...] = ()
    files: tuple[str, ...] = ()
    other_kinds: Mapping[str, int] = field(default_factory=lambda: _NONE)

    @property
    def speaks_of_services(self) -> bool:
        """Whether Kubernetes Services may be part of it, held or only spoken of."""
        return bool(
            self.kubernetes_services
            or self.virtual_services
            or any(
                it.outbound_traffic_policy is not None
                and it.outbound_traffic_policy.egress_proxy is not None
                for it in self.sidecars
            )
        )
