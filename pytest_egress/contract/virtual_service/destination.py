"""Where a route of a VirtualService leads: destinations and their weights."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.syntax import host_flaw, is_dns_label, port_flaw
from pytest_egress.contract.virtual_service.headers import check_headers
from pytest_egress.contract.virtual_service.items import items

__all__ = ["check_destination", "check_destinations"]

_INT32 = 1 << 32  # istiod adds weights up in 32 bits


def check_destinations(
    route: dict[str, Any], path: Path, report: Report, *, gateway_semantics: bool
) -> None:
    """``route[]`` of an http, tls or tcp route.

    ``gateway_semantics``: what Istio made of the Gateway API may name no Istio host.
    """
    total = count = 0
    sound = True
    for i, destination in items(route, "route"):
        place = (*path, "route", i)
        if "destination" in destination and not gateway_semantics:
            check_destination(destination["destination"], (*place, "destination"), report)
        if "headers" in destination:
            check_headers(destination["headers"], (*place, "headers"), report)
        weight = destination.get("weight", 0)
        if weight < 0:
            message = f"weight {weight} is negative"
            report.error("virtual-service/weight", message, (*place, "weight"))
            sound = False
        total += weight
        count += 1
    if sound and count > 1 and total % _INT32 == 0:
        message = "several destinations need weights: they add up to 0, so none would be taken"
        report.error("virtual-service/weights", message, (*path, "route"))


def check_destination(destination: dict[str, Any], path: Path, report: Report) -> None:
    """``destination`` of a route or a mirror."""
    host = destination.get("host")
    if host == "*":
        message = 'destination "*" is no host: name one'
        report.error("virtual-service/destination", message, (*path, "host"))
    elif host is not None and (flaw := host_flaw(host)):
        report.error("virtual-service/destination", flaw, (*path, "host"))
    subset = destination.get("subset", "")
    if subset and not is_dns_label(subset):
        message = f'"{subset}" is not the name of a subset: letters, digits and inner hyphens'
        report.error("virtual-service/subset", message, (*path, "subset"))
    port = destination.get("port")
    if port is None:
        return
    if "number" not in port:
        message = "the port has no number: port: {number: 443}"
        report.error("virtual-service/port", message, (*path, "port", "number"))
    elif flaw := port_flaw(port["number"]):
        report.error("virtual-service/port", flaw, (*path, "port", "number"))
