"""Rules for the inbound half of a Sidecar, which is validated and then not kept."""

from __future__ import annotations

import re
from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.schema import WRONG
from pytest_egress.contract.syntax import (
    HTTP_PROTOCOLS,
    TLS_PROTOCOLS,
    is_ip,
    port_flaw,
    port_name_flaw,
    protocol_flaw,
    unix_path_flaw,
)

__all__ = ["check_connection_pool", "check_ingress", "go_duration"]

_UNIX = "unix://"
_LOCAL = frozenset({"", "127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104 - names, not binds
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_CERTIFICATE_TLS = frozenset({"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"})
_NOT_SUPPORTED = ("credentialName", "credentialNames", "tlsCertificates", "subjectAltNames")


def go_duration(text: str) -> int | None:
    """A duration as Go writes it (``1m30s``, ``250ms``) in nanoseconds; None when it is none."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0
    if not rest or _PART.sub("", rest):
        return None
    total = 0.0
    for number, unit in _PART.findall(rest):
        unit = "us" if unit.endswith("s") and unit[0] in "\u00b5\u03bc" else unit  # noqa: PLW2901
        total += float(number) * _NANOSECONDS[unit]
    return sign * round(total) if total < (1 << 63) else None


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
    given = [n for n in ("credentialName", "credentialNames", "tlsCertificates") if n in raw]
    if len(given) > 1:
        message = f"only one of {' and '.join(given)} can be given"
        report.error("sidecar/tls-certificates", message, (*place, given[-1]), key=True)
    if port.get("protocol", "").lower() not in TLS_PROTOCOLS:
        message = "tls settings need a port of protocol HTTPS or TLS"
        report.error("sidecar/tls-protocol", message, place, key=True)
    mode = tls.get("mode", "PASSTHROUGH")
    if mode in {"ISTIO_MUTUAL", "AUTO_PASSTHROUGH"}:
        message = f"mode {mode} is not allowed in the tls of a Sidecar's ingress"
        report.error("sidecar/tls-mode", message, (*place, "mode"))
        return
    _check_certificates(tls, mode, place, report)
    _warn_tls(tls, mode, place, report)


def _check_certificates(tls: dict[str, Any], mode: str, place: Path, report: Report) -> None:
    if tls.get("credentialName") or tls.get("credentialNames") or tls.get("tlsCertificates"):
        return  # refused above
    if mode in _CERTIFICATE_TLS:
        needed = ["serverCertificate", "privateKey"]
        if mode != "SIMPLE":
            needed.append("caCertificates")
        missing = [name for name in needed if not tls.get(name)]
        if missing:
            message = f"tls mode {mode} needs {', '.join(missing)}"
            report.error("sidecar/tls-certificates", message, (*place, "mode"))
    if tls.get("caCrl") and mode == "SIMPLE":
        message = "a revocation list (caCrl) is not supported with mode SIMPLE"
        report.error("sidecar/tls-certificates", message, (*place, "caCrl"))


def _warn_tls(tls: dict[str, Any], mode: str, place: Path, report: Report) -> None:
    suites = tls.get("cipherSuites", [])
    if tls.get("minProtocolVersion") in {"TLSV1_0", "TLSV1_1"} and not suites:
        message = "TLS below 1.2 needs cipherSuites that allow it"
        report.warning("sidecar/tls-version", message, (*place, "minProtocolVersion"))
    known = [isinstance(suite, str) and _is_cipher(suite) for suite in suites]
    bad = [i for i, suite in enumerate(suites) if not known[i] or suite in suites[:i]]
    if bad:
        message = f'cipher suite "{suites[bad[0]]}" is unknown or given twice: it is ignored'
        report.warning("sidecar/tls-cipher", message, (*place, "cipherSuites", bad[0]))
    own = ("caCrl", "serverCertificate", "privateKey", "caCertificates")
    if mode == "PASSTHROUGH" and any(tls.get(name) for name in own):
        message = "mode PASSTHROUGH uses no certificates: they are ignored"
        report.warning("sidecar/tls-passthrough", message, place, key=True)


_CIPHERS = frozenset(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "DES-CBC3-SHA",
    )
)


def _is_cipher(suite: str) -> bool:
    """As istiod: operators (``-``, ``+``, ``!``) pass unread."""
    return suite in {"", "ALL"} or not suite[0].isalnum() or suite in _CIPHERS


def check_connection_pool(
    pool: dict[str, Any], raw: dict[str, Any], path: Path, report: Report
) -> None:
    """``connectionPool`` and ``inboundConnectionPool``."""
    if "http" not in raw and "tcp" not in raw:
        message = "a connection pool needs http or tcp settings"
        report.error("sidecar/pool-empty", message, path, key=True)
    http, tcp = pool.get("http", {}), pool.get("tcp", {})
    for group, values, numbers in (
        (
            "http",
            http,
            (
                "http1MaxPendingRequests",
                "http2MaxRequests",
                "maxRequestsPerConnection",
                "maxRetries",
                "maxConcurrentStreams",
            ),
        ),
        ("tcp", tcp, ("maxConnections",)),
    ):
        for name in numbers:
            if values.get(name, 0) < 0:
                message = f"{name} must not be negative"
                report.error("sidecar/pool-negative", message, (*path, group, name))
    if http.get("h2UpgradePolicy") == "UPGRADE" and http.get("useClientProtocol"):
        message = "useClientProtocol and h2UpgradePolicy UPGRADE exclude each other"
        report.error("sidecar/pool-protocol", message, (*path, "http", "useClientProtocol"))
    keepalive = http.get("http2KeepAlive")
    if keepalive is not None:
        for name in ("interval", "timeout"):
            if name not in raw["http"]["http2KeepAlive"]:
                message = f"http2KeepAlive needs {name}"
                place = (*path, "http", "http2KeepAlive", name)
                report.error("sidecar/pool-keepalive", message, place)
    durations: list[tuple[Path, dict[str, Any]]] = [
        (("http", "idleTimeout"), http),
        (("http", "http2KeepAlive", "interval"), http.get("http2KeepAlive", {})),
        (("http", "http2KeepAlive", "timeout"), http.get("http2KeepAlive", {})),
        (("tcp", "connectTimeout"), tcp),
        (("tcp", "idleTimeout"), tcp),
        (("tcp", "maxConnectionDuration"), tcp),
        (("tcp", "tcpKeepalive", "interval"), tcp.get("tcpKeepalive", {})),
        (("tcp", "tcpKeepalive", "time"), tcp.get("tcpKeepalive", {})),
    ]
    for where, holder in durations:
        if where[-1] in holder:
            _check_duration(holder[where[-1]], (*path, *where), report)


def _check_duration(text: str, path: Path, report: Report) -> None:
    value = go_duration(text)
    if path[-2:] == ("tcp", "idleTimeout") and value is not None and abs(value) < 10**6:
        return  # 0s switches the timeout off
    if value is None:
        message = f'"{text}" is not a duration: write it as 30s, 1m or 250ms'
    elif value < 10**6 or value % 10**6:
        message = f'"{text}" must be at least 1ms and whole milliseconds'
    else:
        return
    report.error("sidecar/pool-duration", message, path)
