"""Rules for a ServiceEntry: istiod's ``ValidateServiceEntry`` and the CRD's CEL rules."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.endpoints import check_endpoint
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.resources import Metadata
from pytest_egress.contract.schema import WRONG
from pytest_egress.contract.selector import check_export_to, check_selector
from pytest_egress.contract.syntax import (
    HTTP_PROTOCOLS,
    TCP_PROTOCOLS,
    TLS_PROTOCOLS,
    address_flaw,
    fqdn_flaw,
    host_flaw,
    is_partial_wildcard,
    port_flaw,
    port_name_flaw,
    protocol_flaw,
)

__all__ = ["check_service_entry"]

_SPEC: Path = ("spec",)
_DNS = frozenset({"DNS", "DNS_ROUND_ROBIN"})
_DYNAMIC = frozenset({"http", "http2", "grpc", "tls"})


def check_service_entry(
    spec: dict[str, Any], raw: dict[str, Any], metadata: Metadata, report: Report
) -> None:
    """Report what istiod or the API server says of this ServiceEntry.

    Args:
        spec: without what the schema refused (list items are then ``WRONG``).
        raw: as written: a rule about a field's presence looks here.
        metadata: the object's.
        report: takes the findings.
    """
    known = "resolution" not in raw or "resolution" in spec
    resolution = spec.get("resolution", "NONE") if known else None
    check_selector(spec.get("workloadSelector"), raw.get("workloadSelector"), _KIND, report)
    _check_hosts(spec, raw, resolution, report)
    _check_addresses(spec, resolution, report)
    _check_ports(spec, raw, resolution, metadata, report)
    _check_endpoints(spec, raw, resolution, report)
    if resolution == "DYNAMIC_DNS":
        _check_dynamic(spec, metadata, report)
    _check_many_hosts(spec, raw, resolution, report)
    if "exportTo" in spec:
        check_export_to(spec["exportTo"], metadata.namespace, _KIND, report)


_KIND = "service-entry"


def _check_hosts(
    spec: dict[str, Any], raw: dict[str, Any], resolution: str | None, report: Report
) -> None:
    plain_names = resolution in _DNS and not raw.get("endpoints")
    for i, host in enumerate(spec.get("hosts", ())):
        if host is WRONG:
            continue
        path = ("spec", "hosts", i)
        if host == "*":
            message = (
                'host "*" is not allowed in a ServiceEntry: name hosts, or use "*.example.com"'
            )
            report.error("service-entry/host-wildcard", message, path)
        elif flaw := host_flaw(host):
            report.error("service-entry/host", flaw, path)
        elif plain_names and (flaw := fqdn_flaw(host)):
            if "*" in host:
                flaw = (
                    f'"{host}" has no address of its own to look up with resolution {resolution}: '
                    "use NONE, DYNAMIC_DNS, or give endpoints"
                )
            report.error("service-entry/host-dns", flaw, path)
        elif resolution == "DYNAMIC_DNS":
            if not host.startswith("*"):
                message = f'"{host}" is not a wildcard, which DYNAMIC_DNS needs: use resolution DNS'
                report.error("service-entry/dynamic-dns-host", message, path)
        elif is_partial_wildcard(host):
            message = f'partial wildcard "{host}" is refused by Envoy on TLS ports: use "*.domain"'
            report.warning("service-entry/partial-wildcard", message, path)


def _check_addresses(spec: dict[str, Any], resolution: str | None, report: Report) -> None:
    for i, address in enumerate(spec.get("addresses", ())):
        if address is WRONG:
            continue
        path = ("spec", "addresses", i)
        if flaw := address_flaw(address):
            report.error("service-entry/address", flaw, path)
        elif "/" in address and resolution not in {"NONE", "STATIC", "DYNAMIC_DNS", None}:
            message = f'CIDR block "{address}" needs resolution NONE or STATIC, not {resolution}'
            report.error("service-entry/cidr-resolution", message, path)


def _check_ports(
    spec: dict[str, Any],
    raw: dict[str, Any],
    resolution: str | None,
    metadata: Metadata,
    report: Report,
) -> None:
    names: set[str] = set()
    numbers: set[int] = set()
    opted_out = metadata.labels.get("networking.istio.io/enable-autoallocate-ip", "")
    unaddressed = resolution is not None and not raw.get("addresses")
    unaddressed = unaddressed and (resolution == "NONE" or opted_out.lower() == "false")
    for i, port in enumerate(spec.get("ports", ())):
        if port is WRONG:
            continue
        path = ("spec", "ports", i)
        name, number = port.get("name"), port.get("number")
        target, protocol = port.get("targetPort"), port.get("protocol", "")
        if name is not None:
            if name in names:
                message = f'port name "{name}" is used already: names are unique in a ServiceEntry'
                report.error("service-entry/port-name-duplicate", message, (*path, "name"))
            elif flaw := port_name_flaw(name):
                report.error("service-entry/port-name", flaw, (*path, "name"))
            names.add(name)
        if number is not None:
            if flaw := port_flaw(number):
                report.error("service-entry/port-number", flaw, (*path, "number"))
            elif number in numbers:
                message = f"port {number} is declared already: numbers are unique too"
                report.error("service-entry/port-number-duplicate", message, (*path, "number"))
            numbers.add(number)
        if target is not None and (flaw := port_flaw(target)):
            report.error("service-entry/target-port", flaw, (*path, "targetPort"))
        if flaw := protocol_flaw(protocol):
            report.error("service-entry/protocol", flaw, (*path, "protocol"))
        protocol_known = "protocol" in port or "protocol" not in raw["ports"][i]
        if unaddressed and protocol_known and protocol in {"", "TCP"}:
            message = (
                "a TCP port without addresses is open for every destination: "
                "give addresses, or a resolution other than NONE so that Istio allocates one"
            )
            report.warning("service-entry/tcp-addresses", message, path)


def _check_endpoints(
    spec: dict[str, Any], raw: dict[str, Any], resolution: str | None, report: Report
) -> None:
    present = "endpoints" in spec  # when null or of a wrong type, that has been said
    path: Path = ("spec", "endpoints")
    if present and "workloadSelector" in raw:
        message = "endpoints and workloadSelector exclude each other: keep one of the two"
        report.error("service-entry/selector-and-endpoints", message, path, key=True)
    elif resolution == "NONE" and present:
        message = (
            "endpoints need a resolution: STATIC for IP addresses, DNS for names (unset is NONE)"
        )
        report.error("service-entry/none-endpoints", message, path, key=True)
    if resolution == "NONE" and "workloadSelector" in raw:
        message = "workloadSelector does nothing with resolution NONE: use STATIC"
        report.warning(
            "service-entry/none-selector", message, ("spec", "workloadSelector"), key=True
        )
    endpoints = spec.get("endpoints", ())
    if resolution == "DNS_ROUND_ROBIN" and len(endpoints) > 1:
        message = "DNS_ROUND_ROBIN takes one endpoint at most: use resolution DNS for several"
        report.error("service-entry/round-robin-endpoints", message, (*path, 1))
    if not endpoints:
        return
    ports = spec.get("ports", ())
    sound = "ports" in spec or "ports" not in raw
    sound = sound and not any(
        port is WRONG or "name" not in port or port_name_flaw(port["name"]) for port in ports
    )
    names = {port["name"] for port in ports} if sound else None
    for i, endpoint in enumerate(endpoints):
        if endpoint is not WRONG:
            check_endpoint(
                endpoint,
                raw["endpoints"][i],
                (*path, i),
                report,
                resolution=resolution,
                port_names=names,
            )


def _check_dynamic(spec: dict[str, Any], metadata: Metadata, report: Report) -> None:
    for name, why in (
        ("addresses", "it routes by host name"),
        ("endpoints", "the address is looked up for each host"),
    ):
        if spec.get(name):
            message = f"{name} cannot be given with resolution DYNAMIC_DNS: {why}"
            report.error(f"service-entry/dynamic-dns-{name}", message, ("spec", name), key=True)
    for i, port in enumerate(spec.get("ports", ())):
        if port is WRONG or protocol_flaw(port.get("protocol", "")):
            continue  # which has been said
        if port.get("protocol", "").lower() not in _DYNAMIC:
            message = "DYNAMIC_DNS takes ports of protocol HTTP, HTTP2, GRPC or TLS only"
            if port.get("protocol", "").lower() == "https":
                message += ": HTTPS is TLS here"
            report.error(
                "service-entry/dynamic-dns-protocol", message, ("spec", "ports", i, "protocol")
            )
    waypoint = metadata.labels.get("istio.io/use-waypoint", "")
    internal = spec.get("location") == "MESH_INTERNAL"
    if internal and waypoint and waypoint.lower() != "none":
        message = "DYNAMIC_DNS with MESH_INTERNAL is not supported behind a waypoint"
        report.error("service-entry/dynamic-dns-waypoint", message, ("spec", "location"))


def _check_many_hosts(
    spec: dict[str, Any], raw: dict[str, Any], resolution: str | None, report: Report
) -> None:
    """With several hosts only HTTP and TLS tell which one is meant."""
    if resolution in {"NONE", None} or len(spec.get("hosts", ())) < 2:
        return
    protocols = [
        (i, port.get("protocol", "").lower())
        for i, port in enumerate(spec.get("ports", ()))
        if port is not WRONG and ("protocol" in port or "protocol" not in raw["ports"][i])
    ]
    for i, protocol in protocols:
        if protocol not in HTTP_PROTOCOLS | TLS_PROTOCOLS and not protocol_flaw(protocol):
            message = (
                "several hosts on a port that is neither HTTP nor TLS cannot be told apart: "
                "make one ServiceEntry for each host"
            )
            report.error("service-entry/many-hosts", message, ("spec", "ports", i, "protocol"))
            return
    tcp = any(protocol in TCP_PROTOCOLS for _, protocol in protocols)
    if resolution in _DNS and spec.get("addresses") and tcp:
        message = "several hosts share these addresses on a TCP port: make one entry for each"
        report.warning("service-entry/many-hosts-addresses", message, ("spec", "addresses"))
