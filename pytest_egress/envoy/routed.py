"""Services and hosts that share one list of routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_egress.envoy.services import Service, ServicePort

if TYPE_CHECKING:
    from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["RoutedHosts", "RoutedService"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RoutedService:
    """A service as the routes of one port know it: by host, with the ports that count there."""

    host: str
    service: Service
    ports: tuple[ServicePort, ...]


@dataclass(frozen=True, slots=True)
class RoutedHosts:
    """What shares one list of routes (istiod's ``VirtualHostWrapper``).

    Attributes:
        port: the service port, which names the virtual hosts.
        services: each gets a virtual host with all its domains.
        routes: in order.
        rules: which rule made each route.
        hosts: of a VirtualService, where no service has them: each gets a virtual host too.
    """

    port: int
    services: tuple[RoutedService, ...]
    routes: tuple[Json, ...]
    rules: tuple[Rule | None, ...] = ()
    hosts: tuple[str, ...] = ()
