"""Gateways and their workloads in one line, for tests of single rules."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.gateway.resource import Gateway, Server, ServerPort, ServerTls
from pytest_egress.contract.kubernetes.registry import GatewayWorkload
from pytest_egress.contract.kubernetes.resource import (
    KubernetesPod,
    KubernetesPort,
    KubernetesService,
)
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Metadata

__all__ = ["gateway", "server", "workload"]


def server(port: str, hosts: str = "*", *, tls: str = "", bind: str = "", **more: Any) -> Server:
    """``"443/HTTPS"`` for hosts divided by blanks; ``tls`` is a mode, ``more`` its fields."""
    number, _, protocol = port.partition("/")
    settings = ServerTls(mode=tls, **more) if tls else None  # type: ignore[arg-type]
    name = f"p{number}"
    return Server(
        ServerPort(int(number), protocol, name), tuple(hosts.split()), bind=bind, tls=settings
    )


def gateway(*servers: Server, name: str = "gw", namespace: str = "default") -> Gateway:
    """A Gateway for every workload."""
    return Gateway(Metadata(name, namespace), locate=lambda _: Position("<test>"), servers=servers)


def workload(*gateways: Gateway, targets: dict[int, int] | None = None) -> GatewayWorkload:
    """A gateway's pod behind a Service with these target ports."""
    metadata = Metadata("edge", "istio-system")
    ports = tuple(
        KubernetesPort(number, target_port=target) for number, target in (targets or {}).items()
    )
    return GatewayWorkload(
        "edge",
        "istio-system",
        {},
        (KubernetesService(metadata, locate=lambda _: Position("<test>"), ports=ports),),
        (KubernetesPod(metadata, locate=lambda _: Position("<test>")),),
        gateways,
    )
