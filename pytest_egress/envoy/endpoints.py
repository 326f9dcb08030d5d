"""Endpoints as Envoy wants them: localities with weights, for EDS and for DNS clusters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pytest_egress.envoy.instances import Instance
from pytest_egress.envoy.localities import Locality, locality_json
from pytest_egress.envoy.names import is_ip, labels_match

if TYPE_CHECKING:
    from pytest_egress.envoy.cluster_draft import ClusterContext, ClusterDraft

__all__ = ["dns_localities", "eds_assignment", "socket_address"]

_MAX_WEIGHT = 2**32 - 1


def socket_address(address: str, port: int) -> dict[str, Any]:
    """A ``core.v3.Address``; port 0 makes it the path of a Unix socket."""
    if port == 0:
        return {"pipe": {"path": address.removeprefix("unix://")}}
    socket: dict[str, Any] = {"port_value": port}
    if address:
        socket["address"] = address
    return {"socket_address": socket}


def dns_localities(draft: ClusterDraft, context: ClusterContext) -> list[Locality]:
    """The endpoints of a DNS cluster: the service's instances on its port, by port number."""
    number = draft.port.number
    instances = (
        it for it in context.registry.instances(draft.service) if it.service_port == number
    )
    return _localities(instances, draft)


def eds_assignment(draft: ClusterDraft, context: ClusterContext) -> dict[str, Any]:
    """The ``ClusterLoadAssignment`` of a cluster that istiod gives type EDS (STATIC).

    Instances are picked by port *name*; host names are left out, because EDS cannot resolve.
    """
    port = draft.port
    picked = (
        it
        for it in context.registry.instances(draft.service)
        if it.port_name == port.name and (not it.address or it.port == 0 or is_ip(it.address))
    )
    localities = _localities(picked, draft)
    if not localities:
        return {"cluster_name": draft.name}
    if draft.rule or draft.service.traffic_distribution or context.mesh.prefers_localities:
        from pytest_egress.envoy.traffic_policy.locality import prioritized_endpoints

        localities = prioritized_endpoints(localities, draft, context)
    return {"cluster_name": draft.name, "endpoints": [it.json for it in localities]}


def _localities(instances: Iterable[Instance], draft: ClusterDraft) -> list[Locality]:
    """Localities sorted by name; a locality weighs as much as its members.

    A subset has the instances that carry all its labels.
    """
    mutual_tls: bool | None = None
    if draft.rule is not None:
        from pytest_egress.envoy.traffic_policy.effective import tls_mode

        mode = tls_mode(draft.rule, draft.subset, draft.port.number)
        mutual_tls = None if mode is None else mode == "ISTIO_MUTUAL"
        subset = draft.rule.subset(draft.subset)
        if subset is not None and subset.labels:
            wanted = subset.labels
            instances = (it for it in instances if labels_match(wanted, it.labels))
    by_locality: dict[str, list[Instance]] = {}
    for instance in instances:
        by_locality.setdefault(instance.locality, []).append(instance)
    return [
        Locality(
            {
                "locality": locality_json(locality),
                "lb_endpoints": [_lb_endpoint(it, mutual_tls=mutual_tls) for it in members],
                "load_balancing_weight": min(sum(it.weight for it in members), _MAX_WEIGHT),
            },
            members,
        )
        for locality, members in sorted(by_locality.items())
    ]


def _lb_endpoint(instance: Instance, *, mutual_tls: bool | None) -> dict[str, Any]:
    """One endpoint; ``mutual_tls`` is what a DestinationRule says of Istio's own TLS."""
    endpoint: dict[str, Any] = {
        "endpoint": {"address": socket_address(instance.address, instance.port)},
        "load_balancing_weight": instance.weight,
    }
    if instance.ready:
        endpoint["health_status"] = "HEALTHY"
    mode = instance.tls_mode
    if mode == "istio" if mutual_tls is None else mutual_tls and mode not in {"", "disabled"}:
        match = {"envoy.transport_socket_match": {"tlsMode": mode}}
        endpoint["metadata"] = {"filter_metadata": match}
    return endpoint
