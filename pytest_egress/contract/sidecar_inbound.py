"""Rules for the inbound half of a Sidecar, which is validated and then not kept."""

from __future__ import annotations

import re
from typing import Any

from pytest_egress.contract.connection_pool import check_connection_pool
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.schema import WRONG
from pytest_egress.contract.server_tls import check_server_tls
from pytest_egress.contract.syntax import (
    HTTP_PROTOCOLS,
    TLS_PROTOCOLS,
    is_ip,
    port_flaw,
    port_name_flaw,
    protocol_flaw,
    unix_path_flaw,
)

__all__ = ["check_ingress"]

_UNIX = "unix://"
_LOCAL = frozenset({"", "127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104 - names, not binds
_NOT_SUPPORTED = ("credentialName", "credentialNames", "tlsCertificates", "subjectAltNames")


def check_ingress(spec: dict[str, Any], raw: dict[str, Any], report: Report) -> None:
    """``spec.ingress[]``."""
    ports: set[int] = set()
    for i, listener in enumerate(spec.get("ingress", ())):
        if listener is WRONG or "port" not in listener:
            continue
        path: Path = ("spec", "ingress", i)
        port = listener["port"]
        number = port.get("number", 0)
        if "number" in port or "number" not in raw["ingress"][i]["port"]:
            if flaw := port_flaw(number):
                report.error("sidecar/port-number", flaw, (*path, "port", "number"))
            elif number in ports:
                message = f"port {number} has a listener already: ports are unique"
                report.error("sidecar/port-duplicate", message, (*path, "port", "number"))
            ports.add(number)
        _check_listener(listener, path, report)
        if "tls" in listener:
            _check_tls(listener["tls"], raw["ingress"][i]["tls"], port, path, report)
        if "connectionPool" in listener:
            pool = listener["connectionPool"]
            given = raw["ingress"][i]["connectionPool"]
            check_connection_pool(pool, given, (*path, "connectionPool"), report)
            if "http" in pool and port.get("protocol", "").lower() not in HTTP_PROTOCOLS:
                message = "the port is not HTTP: only the TCP settings of this pool apply"
                place = (*path, "connectionPool", "http")
                report.warning("sidecar/pool-http", message, place, key=True)


def _check_listener(listener: dict[str, Any], path: Path, report: Report) -> None:
    port, bind = listener["port"], listener.get("bind", "")
    if port.get("targetPort", 0) > 0:
        message = "targetPort has no effect in a Sidecar: remove it"
        report.error("sidecar/target-port", message, (*path, "port", "targetPort"))
    name = port.get("name", "")
    if name and (flaw := port_name_flaw(name)):
        report.error("sidecar/port-name", flaw, (*path, "port", "name"))
    if flaw := protocol_flaw(port.get("protocol", "")):
        report.error("sidecar/protocol", flaw, (*path, "port", "protocol"))
    if bind and not is_ip(bind):
        report.error("sidecar/bind", f'bind "{bind}" is not an IP address', (*path, "bind"))
    endpoint = listener.get("defaultEndpoint", "")
    if endpoint and not _is_local_endpoint(endpoint):
        message = (
            f'defaultEndpoint "{endpoint}" must be 127.0.0.1:port, 0.0.0.0:port, [::1]:port, '
            "[::]:port, :port or unix:///path"
        )
        report.error("sidecar/default-endpoint", message, (*path, "defaultEndpoint"))


def _is_local_endpoint(endpoint: str) -> bool:
    if endpoint.startswith(_UNIX):
        return unix_path_flaw(endpoint) is None
    bracketed = re.fullmatch(r"\[([^\[\]]*)\]:(.*)", endpoint)
    found = bracketed or re.fullmatch(r"([^:\[\]]*):(.*)", endpoint)
    if found is None or found[1] not in _LOCAL:
        return False
    number = found[2]
    return re.fullmatch(r"[-+]?[0-9]+", number) is not None and port_flaw(int(number)) is None


def _check_tls(
    tls: dict[str, Any], raw: dict[str, Any], port: dict[str, Any], path: Path, report: Report
) -> None:
    place: Path = (*path, "tls")
    for name in _NOT_SUPPORTED:
        if raw.get(name):
            message = f"{name} is not supported in the tls of a Sidecar's ingress"
            report.error("sidecar/tls-field", message, (*place, name), key=True)
    if tls.get("httpsRedirect"):
        message = "httpsRedirect is not supported in the tls of a Sidecar's ingress"
        report.error("sidecar/tls-field", message, (*place, "httpsRedirect"), key=True)
    if port.get("protocol", "").lower() not in TLS_PROTOCOLS:
        message = "tls settings need a port of protocol HTTPS or TLS"
        report.error("sidecar/tls-protocol", message, place, key=True)
    if tls.get("mode") in {"ISTIO_MUTUAL", "AUTO_PASSTHROUGH"}:
        message = f"mode {tls['mode']} is not allowed in the tls of a Sidecar's ingress"
        report.error("sidecar/tls-mode", message, (*place, "mode"))
    check_server_tls(tls, place, report)
