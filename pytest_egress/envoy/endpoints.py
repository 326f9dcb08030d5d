"""Endpoints as Envoy wants them: localities with weights, for EDS and for DNS clusters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_egress.envoy.instances import Instance, Registry
from pytest_egress.envoy.names import is_ip
from pytest_egress.envoy.services import Service, ServicePort

__all__ = ["eds_assignment", "locality_endpoints", "socket_address"]

_MAX_WEIGHT = 2**32 - 1
_MUTUAL_TLS = {"filter_metadata": {"envoy.transport_socket_match": {"tlsMode": "istio"}}}


def socket_address(address: str, port: int) -> dict[str, Any]:
    """A ``core.v3.Address``; port 0 makes it the path of a Unix socket."""
    if port == 0:
        return {"pipe": {"path": address.removeprefix("unix://")}}
    socket: dict[str, Any] = {"port_value": port}
    if address:
        socket["address"] = address
    return {"socket_address": socket}


def eds_assignment(
    name: str, service: Service, port: ServicePort, registry: Registry
) -> dict[str, Any]:
    """The ``ClusterLoadAssignment`` of a cluster that istiod gives type EDS (STATIC).

    Instances are picked by port *name*; host names are left out, because EDS cannot resolve.
    """
    picked = (
        instance
        for instance in registry.instances(service)
        if instance.port_name == port.name
        and (not instance.address or instance.port == 0 or is_ip(instance.address))
    )
    localities = locality_endpoints(picked)
    return {"cluster_name": name, "endpoints": localities} if localities else {"cluster_name": name}


def locality_endpoints(instances: Iterable[Instance]) -> list[dict[str, Any]]:
    """``LocalityLbEndpoints`` sorted by locality; a locality weighs as much as its members."""
    by_locality: dict[str, list[Instance]] = {}
    for instance in instances:
        by_locality.setdefault(instance.locality, []).append(instance)
    return [
        {
            "locality": _locality(locality),
            "lb_endpoints": [_lb_endpoint(instance) for instance in members],
            "load_balancing_weight": min(sum(it.weight for it in members), _MAX_WEIGHT),
        }
        for locality, members in sorted(by_locality.items())
    ]


def _lb_endpoint(instance: Instance) -> dict[str, Any]:
    endpoint: dict[str, Any] = {
        "endpoint": {"address": socket_address(instance.address, instance.port)},
        "load_balancing_weight": instance.weight,
    }
    if instance.ready:
        endpoint["health_status"] = "HEALTHY"
    if instance.tls_mode == "istio":
        endpoint["metadata"] = _MUTUAL_TLS
    return endpoint


def _locality(text: str) -> dict[str, str]:
    parts = zip(("region", "zone", "sub_zone"), text.split("/"), strict=False)
    return {key: part for key, part in parts if part}
