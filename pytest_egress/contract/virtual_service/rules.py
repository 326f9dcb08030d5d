"""Rules for a VirtualService: istiod's ``ValidateVirtualService``; the CRD's are in the shape."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.resources import Metadata
from pytest_egress.contract.schema import WRONG
from pytest_egress.contract.selector import check_export_to
from pytest_egress.contract.syntax import host_flaw, is_ip
from pytest_egress.contract.virtual_service.destination import check_destinations
from pytest_egress.contract.virtual_service.hosts import generated_sni_flaw, overlap
from pytest_egress.contract.virtual_service.http import check_http_route
from pytest_egress.contract.virtual_service.items import items
from pytest_egress.contract.virtual_service.match import (
    check_gateways,
    check_tcp_match,
    check_tls_match,
    is_jwt_claim,
)
from pytest_egress.contract.virtual_service.reach import check_reach
from pytest_egress.contract.virtual_service.shape import TCP_ROUTE, TLS_ROUTE

__all__ = ["check_virtual_service"]

_MESH = "mesh"
# With a field beside these, which has been reported, a missing one is misspelt.
_FIELDS = frozenset({"hosts", "gateways", "http", "tls", "tcp", "exportTo"})
_L4 = {"tls": TLS_ROUTE, "tcp": TCP_ROUTE}
_SEMANTICS = "internal.istio.io/route-semantics"  # Istio's own mark on what it made of Gateway API


def check_virtual_service(
    spec: dict[str, Any], raw: dict[str, Any], metadata: Metadata, report: Report
) -> None:
    """Report what istiod says of this VirtualService (see ``check_service_entry``)."""
    gateway_semantics = metadata.annotations.get(_SEMANTICS) == "gateway"
    delegate = not raw.get("hosts") and raw.keys() <= _FIELDS
    gateways = spec.get("gateways", [])
    if delegate:
        _check_delegate(raw, report)
    check_gateways(gateways, ("spec", "gateways"), report, gateway_semantics=gateway_semantics)
    in_mesh = not raw.get("gateways") or _MESH in gateways or WRONG in gateways
    if in_mesh:
        _check_claims(spec, report)
    _check_hosts(spec, report, in_mesh=in_mesh)
    if not any(raw.get(name) for name in ("http", "tls", "tcp")) and raw.keys() <= _FIELDS:
        message = "a VirtualService needs routes: give http, tls or tcp"
        report.error("virtual-service/no-routes", message, ("spec",), key=True)
    for i, route in items(spec, "http"):
        check_http_route(
            route,
            raw["http"][i],
            ("spec", "http", i),
            report,
            delegate=delegate,
            gateway_semantics=gateway_semantics,
        )
    for name in ("tls", "tcp"):
        for i, route in items(spec, name):
            path: Path = ("spec", name, i)
            _check_l4_route(name, route, raw[name][i], path, spec, report)
            check_destinations(route, path, report, gateway_semantics=gateway_semantics)
    if "exportTo" in spec:
        check_export_to(spec["exportTo"], metadata.namespace, "virtual-service", report)
    check_reach(spec, report)


def _check_delegate(raw: dict[str, Any], report: Report) -> None:
    for name in ("gateways", "tls", "tcp"):
        if raw.get(name):
            message = (
                f"a VirtualService without hosts is a delegate, which has no {name}: "
                f"give hosts, or remove {name}"
            )
            report.error("virtual-service/delegate", message, ("spec", name), key=True)


def _check_claims(spec: dict[str, Any], report: Report) -> None:
    for i, route in items(spec, "http"):
        for j, match in items(route, "match"):
            for name in ("headers", "withoutHeaders"):
                for key in match.get(name, ()):
                    if is_jwt_claim(key):
                        message = (
                            f'"{key}" matches a claim of a token, which only gateways read: '
                            "bind the VirtualService to a gateway, not to the mesh"
                        )
                        place = ("spec", "http", i, "match", j, name, key)
                        report.error("virtual-service/claim", message, place, key=True)


def _check_hosts(spec: dict[str, Any], report: Report, *, in_mesh: bool) -> None:
    hosts = spec.get("hosts", [])
    path: Path = ("spec", "hosts")
    sound = WRONG not in hosts
    by_sni = any(
        match.get("sniHosts")
        for _, route in items(spec, "tls")
        for _, match in items(route, "match")
    )
    for i, host in enumerate(hosts):
        if host is WRONG:
            continue
        generated = None if in_mesh or not by_sni else generated_sni_flaw(host)
        flaw = host_flaw(host) if generated is None else generated
        if flaw:
            if not is_ip(host):
                report.error("virtual-service/host", flaw, (*path, i))
                sound = False
        elif in_mesh and host == "*":
            message = 'host "*" is not allowed in the mesh: name hosts, or use "*.example.com"'
            report.error("virtual-service/host-wildcard", message, (*path, i))
            sound = False
    if not sound:
        return
    for j, later in enumerate(hosts):
        earlier = next((host for host in hosts[:j] if overlap(host, later)), None)
        if earlier is not None:
            message = f'"{later}" overlaps with "{earlier}" of the same VirtualService: keep one'
            report.error("virtual-service/host-duplicate", message, (*path, j))


def _check_l4_route(
    name: str,
    route: dict[str, Any],
    raw: dict[str, Any],
    path: Path,
    spec: dict[str, Any],
    report: Report,
) -> None:
    for i, match in items(route, "match"):
        place = (*path, "match", i)
        if name == "tls":
            check_tls_match(match, place, spec, report)
        else:
            check_tcp_match(match, place, report)
    if name == "tls" and raw.get("match") == []:
        message = "a tls route needs a match with sniHosts"
        report.error("virtual-service/tls-match", message, (*path, "match"))
    if not raw.get("route") and raw.keys() <= _L4[name].fields.keys():
        message = f"a {name} route needs a destination: route: [{{destination: {{host: ...}}}}]"
        report.error("virtual-service/no-destination", message, (*path, "route"))
