"""Rules for an endpoint: of a ServiceEntry, or a WorkloadEntry of its own."""

from __future__ import annotations

import re
from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.syntax import (
    fqdn_flaw,
    is_ip,
    label_flaw,
    port_flaw,
    port_name_flaw,
    unix_path_flaw,
)

__all__ = ["check_endpoint", "check_workload_entry"]

_UNIX = "unix://"
_CRD_PORT_NAME = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")


def check_workload_entry(spec: dict[str, Any], raw: dict[str, Any], report: Report) -> None:
    """WorkloadEntry.spec (istiod's ``ValidateWorkloadEntry`` and the CRD's rules)."""
    _check_crd(spec, raw, ("spec",), report)
    _check_static(spec, raw, ("spec",), report, port_names=None)


def check_endpoint(
    endpoint: dict[str, Any],
    raw: dict[str, Any],
    path: Path,
    report: Report,
    *,
    resolution: str | None,
    port_names: set[str] | None,
) -> None:
    """One item of ServiceEntry.spec.endpoints.

    Args:
        endpoint: the item without what the schema refused.
        raw: the item as written.
        path: of the item.
        report: takes the findings.
        resolution: of the ServiceEntry; None when it is not known.
        port_names: of the ServiceEntry; None when they are not known.
    """
    _check_crd(endpoint, raw, path, report)
    if resolution == "STATIC":
        _check_static(endpoint, raw, path, report, port_names=port_names, only_ip=True)
    elif resolution in {"DNS", "DNS_ROUND_ROBIN"}:
        address = endpoint.get("address", "")
        known = "address" in endpoint or "address" not in raw
        said = ("address" not in raw and "network" not in raw) or _bad_socket(address)
        if known and not said and not is_ip(address) and fqdn_flaw(address) is not None:
            message = f'endpoint address "{address}" is neither a DNS name nor an IP address'
            report.error("endpoint/address", message, (*path, "address"))
        _check_ports_and_labels(endpoint, path, report, port_names)


def _check_crd(endpoint: dict[str, Any], raw: dict[str, Any], path: Path, report: Report) -> None:
    """The CRD's CEL rules, which hold whatever the resolution is."""
    if "address" not in raw and "network" not in raw:
        message = "an endpoint needs an address (or a network, behind whose gateway it is)"
        report.error("endpoint/address-required", message, (*path, "address"))
    address = endpoint.get("address", "")
    if address.startswith(_UNIX):
        if _bad_socket(address):
            message = f'"{address}" is not a socket: write unix:///absolute/path or unix://@name'
            report.error("endpoint/unix-path", message, (*path, "address"))
        if "ports" in raw:
            message = "an endpoint on a Unix socket has no ports: remove them"
            report.error("endpoint/unix-ports", message, (*path, "ports"), key=True)
    for name, number in endpoint.get("ports", {}).items():
        place = (*path, "ports", name)
        if len(name) >= 63 or _CRD_PORT_NAME.fullmatch(name) is None:
            message = port_name_flaw(name) or f'"{name}" is too long: at most 62 characters'
            report.error("endpoint/port-name", message, place, key=True)
        if flaw := port_flaw(number):
            report.error("endpoint/port-number", flaw, place)


def _bad_socket(address: str) -> bool:
    """As the CRD has it, which forbids a slash at the end of an abstract name too."""
    flawed = unix_path_flaw(address) is not None or address.endswith("/")
    return address.startswith(_UNIX) and flawed


def _check_static(
    endpoint: dict[str, Any],
    raw: dict[str, Any],
    path: Path,
    report: Report,
    *,
    port_names: set[str] | None,
    only_ip: bool = False,
) -> None:
    address = endpoint.get("address", "")
    place = (*path, "address")
    if "address" in raw and "address" not in endpoint:
        return  # of a wrong type, which has been said
    if address == "":
        if "network" in raw and "network" not in endpoint:
            return
        if endpoint.get("network", "") == "":
            if "address" in raw or "network" in raw:
                message = "the endpoint's address is empty: give an address"
                report.error("endpoint/address-required", message, place)
            return
        message = "the endpoint has a network but no address: it is reached by a gateway only"
        report.warning("endpoint/address-unset", message, path)
    elif address.startswith(_UNIX):
        if port_names is not None and len(port_names) != 1:
            message = "an endpoint on a Unix socket needs a ServiceEntry with exactly one port"
            report.error("endpoint/unix-one-port", message, place)
    elif not is_ip(address):
        if only_ip:
            message = _not_an_ip(address)
            report.error("endpoint/address", message, place)
        elif fqdn_flaw(address) is not None:
            message = f'"{address}" is neither a DNS name nor an IP address'
            report.error("endpoint/address", message, place)
    _check_ports_and_labels(endpoint, path, report, port_names)


def _not_an_ip(address: str) -> str:
    start = f'endpoint address "{address}" is not an IP address: '
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and is_ip(host):
        return start + "give the port under the endpoint's ports"
    if "/" in address:
        return start + "an endpoint is one machine, a CIDR block belongs to addresses"
    if fqdn_flaw(address) is None:
        return start + "with a DNS name use resolution DNS"
    return start + "resolution STATIC needs one"


def _check_ports_and_labels(
    endpoint: dict[str, Any], path: Path, report: Report, port_names: set[str] | None
) -> None:
    for name in endpoint.get("ports", {}):
        if port_names is not None and name not in port_names and port_name_flaw(name) is None:
            known = ", ".join(sorted(port_names)) or "none"
            message = f'"{name}" is not the name of a port of the ServiceEntry ({known})'
            report.error("endpoint/port-unknown", message, (*path, "ports", name), key=True)
    for key, value in endpoint.get("labels", {}).items():
        if flaw := label_flaw(key, value):
            report.error("endpoint/label", flaw, (*path, "labels", key), key=True)
