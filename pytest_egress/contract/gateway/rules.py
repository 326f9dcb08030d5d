"""Rules for a Gateway: istiod's ``ValidateGateway`` and the CRD's CEL rules."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.resources import Metadata
from pytest_egress.contract.schema import WRONG
from pytest_egress.contract.server_tls import check_server_tls
from pytest_egress.contract.syntax import (
    HTTP_PROTOCOLS,
    PROTOCOLS,
    TLS_PROTOCOLS,
    host_flaw,
    is_dns_label,
    is_ip,
    is_partial_wildcard,
    port_flaw,
    protocol_flaw,
    unix_path_flaw,
)

__all__ = ["check_gateway"]

_UNIX = "unix://"
_PASSTHROUGH = frozenset({"PASSTHROUGH", "AUTO_PASSTHROUGH"})


def check_gateway(
    spec: dict[str, Any], raw: dict[str, Any], metadata: Metadata, report: Report
) -> None:
    """Report what istiod or the API server says of this Gateway (see ``check_service_entry``)."""
    if metadata.name and not is_dns_label(metadata.name):
        message = f'"{metadata.name}" is not a Gateway\'s name: no dots, at most 63 characters'
        report.error("gateway/name", message, ("metadata", "name"))
    if not raw.get("servers"):
        message = "a Gateway needs at least one server: servers: [{port: ..., hosts: [...]}]"
        report.error("gateway/servers-required", message, ("spec", "servers"))
        return
    names: set[str] = set()
    for i, server in enumerate(spec.get("servers", ())):
        if server is WRONG:
            continue
        path: Path = ("spec", "servers", i)
        _check_hosts(server, path, report)
        given = raw["servers"][i]
        if "port" in server:
            _check_port(server, given, path, report)
            name = server["port"].get("name")
            if name and name in names:
                message = f'port name "{name}" is taken by another server: give each its own'
                report.error("gateway/port-name-duplicate", message, (*path, "port", "name"))
            names.add(name)
        _check_bind(server, path, report)
        if "tls" in server:
            check_server_tls(server["tls"], (*path, "tls"), report)
        if "port" in server and "protocol" in server["port"]:
            _check_tls_fits(server, given, path, report)


def _check_hosts(server: dict[str, Any], path: Path, report: Report) -> None:
    if "hosts" not in server:
        return
    if not server["hosts"]:
        message = 'a server needs at least one host, such as "*" or "api.example.com"'
        report.error("gateway/hosts-required", message, (*path, "hosts"))
    for i, host in enumerate(server["hosts"]):
        if host is not WRONG and (flaw := _host_flaw(host)):
            report.error("gateway/host", flaw, (*path, "hosts", i))


def _host_flaw(host: str) -> str | None:
    namespace, slash, name = host.partition("/")
    if slash:
        if not namespace or not name:
            return f'"{host}" needs a namespace and a host, such as "./api.example.com"'
        if namespace not in {"*", "."} and not is_dns_label(namespace):
            return f'"{namespace}" is not a namespace: expected "*", "." or a name'
    else:
        name = host
    if name != "*" and "." not in name:
        return f'"{name}" is a short name: give the full name'
    if (flaw := host_flaw(name)) and not is_ip(name):
        return flaw
    if is_partial_wildcard(name):
        return f'partial wildcard "{name}" is not allowed: use "*.domain"'
    return None


def _check_port(server: dict[str, Any], raw: dict[str, Any], path: Path, report: Report) -> None:
    port, place = server["port"], (*path, "port")
    if "protocol" in port:
        protocol = port["protocol"]
        if not protocol:
            message = "the protocol is empty: expected HTTP, HTTPS, GRPC, HTTP2, TLS, TCP"
            report.error("gateway/protocol", message, (*place, "protocol"))
        elif flaw := protocol_flaw(protocol):
            report.error("gateway/protocol", flaw, (*place, "protocol"))
    if "number" in port:
        number = port["number"]
        on_socket = server.get("bind", "").startswith(_UNIX) and number == 0
        if not on_socket and (flaw := port_flaw(number)):
            report.error("gateway/port-number", flaw, (*place, "number"))
    if port.get("targetPort", 0) > 0:
        message = "targetPort has no effect in a Gateway: remove it"
        report.error("gateway/target-port", message, (*place, "targetPort"))
    if raw["port"].get("name") == "":
        message = "the port's name is empty: give it one, such as https"
        report.error("gateway/port-name", message, (*place, "name"))


def _check_bind(server: dict[str, Any], path: Path, report: Report) -> None:
    bind = server.get("bind", "")
    if bind.startswith(_UNIX):
        if flaw := unix_path_flaw(bind):
            report.error("gateway/bind", flaw, (*path, "bind"))
        if server.get("port", {}).get("number", 0) != 0:
            message = "with a Unix socket the port number must be 0"
            report.error("gateway/bind", message, (*path, "port", "number"))
    elif bind and not is_ip(bind):
        report.error("gateway/bind", f'bind "{bind}" is not an IP address', (*path, "bind"))


def _check_tls_fits(
    server: dict[str, Any], raw: dict[str, Any], path: Path, report: Report
) -> None:
    """TLS settings belong to HTTPS and TLS ports; plain HTTP may have a redirect to HTTPS."""
    protocol, tls = server["port"]["protocol"].lower(), server.get("tls")
    place = (*path, "tls")
    if tls is not None and tls.get("httpsRedirect") and protocol not in HTTP_PROTOCOLS:
        message = "httpsRedirect is for servers of plain HTTP: it does nothing here"
        report.warning("gateway/https-redirect", message, (*place, "httpsRedirect"), key=True)
    if protocol not in PROTOCOLS:
        return  # reported already
    if protocol in TLS_PROTOCOLS:
        if "tls" not in raw:
            message = f"a server of protocol {server['port']['protocol']} needs tls settings"
            report.error("gateway/tls-required", message, (*path, "port", "protocol"))
        return
    if tls is None:
        return
    if protocol in HTTP_PROTOCOLS:
        certificates = ("caCertificates", "privateKey", "serverCertificate")
        plain = tls.get("mode", "PASSTHROUGH") in _PASSTHROUGH
        if plain and not any(tls.get(name) for name in certificates):
            return
        message = "a server of plain HTTP has no TLS of its own: only httpsRedirect is allowed"
    else:
        message = "tls settings need a port of protocol HTTPS or TLS"
    report.error("gateway/tls-protocol", message, place, key=True)
