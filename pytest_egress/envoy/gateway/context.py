"""What the configuration of one gateway is made from, besides its merged servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.contract.virtual_service.resource import Destination, RouteDestination
from pytest_egress.envoy.exports import is_visible
from pytest_egress.envoy.protocols import Protocol
from pytest_egress.envoy.scope import Scope
from pytest_egress.envoy.services import Service, ServicePort
from pytest_egress.envoy.virtual_service.chains import route_filters
from pytest_egress.envoy.virtual_service.hosts import destination_hash
from pytest_egress.envoy.virtual_service.http_routes import RouteContext
from pytest_egress.envoy.virtual_service.merge import MergedVirtualService
from pytest_egress.envoy.virtual_service.select import visible_virtual_services

__all__ = ["GatewayContext"]


class GatewayContext:
    """The gateway's workload, what it sees, and the VirtualServices that are bound to it."""

    def __init__(
        self, contract: Contract, workload: Workload, services: Sequence[Service], scope: Scope
    ) -> None:
        """``services`` are all of the contract, ``scope`` is what the gateway sees of them."""
        self.workload = workload
        self.scope = scope
        self.mesh = contract.mesh
        self._contract = contract
        self._bound: dict[str, list[MergedVirtualService]] = {}
        self._known: dict[tuple[str, str], Service] = {}
        for service in services:
            self._known.setdefault((service.namespace, service.host), service)

    def bound(self, gateway: str) -> list[MergedVirtualService]:
        """The VirtualServices that are bound to a Gateway, in istiod's order."""
        found = self._bound.get(gateway)
        if found is None:
            found = self._bound[gateway] = visible_virtual_services(
                self._contract, self.workload.namespace, gateway
            )
        return found

    def routing(
        self, merged: MergedVirtualService, gateway: str, port: int, *, tls: bool
    ) -> RouteContext:
        """What the routes of a VirtualService depend on at a server of ``gateway``.

        A service of the VirtualService's own namespace counts before what the gateway sees.
        """
        namespace = merged.service.metadata.namespace

        def ports_of(host: str) -> tuple[ServicePort, ...] | None:
            own = self._known.get((namespace, host))
            if own is not None and is_visible(own, self.workload.namespace, self.mesh):
                return own.ports
            service = self.scope.by_host.get(host)
            return service.ports if service is not None else None

        def hash_of(destination: Destination) -> dict[str, Any] | None:
            return destination_hash(self.scope, destination)

        return RouteContext(
            port,
            self.workload.namespace,
            self.workload.labels,
            ports_of,
            hash_of,
            self.scope.retries,
            frozenset({gateway}),
            tls,
        )

    def filters(
        self,
        merged: MergedVirtualService,
        route: Sequence[RouteDestination],
        protocol: Protocol,
        port: int,
    ) -> tuple[dict[str, Any], ...]:
        """The network filters that lead to a rule's destinations from a server's port."""
        return route_filters(merged, route, ServicePort(port, "", protocol), self.scope)
