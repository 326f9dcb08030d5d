"""What a route of a VirtualService matches by: request, server name, addresses, caller."""

from __future__ import annotations

import re
from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.schema import WRONG
from pytest_egress.contract.syntax import (
    address_flaw,
    fqdn_flaw,
    host_flaw,
    is_dns_label,
    is_ip,
    label_flaw,
    port_flaw,
)
from pytest_egress.contract.virtual_service.hosts import generated_sni_flaw, is_subset
from pytest_egress.contract.virtual_service.items import items
from pytest_egress.contract.virtual_service.regex import regex_flaw

__all__ = [
    "check_gateways",
    "check_http_match",
    "check_string_match",
    "check_tcp_match",
    "check_tls_match",
    "is_header_name",
    "is_jwt_claim",
]

_MESH = "mesh"
_CLAIM = "@request.auth.claims"
_PSEUDO_HEADERS = frozenset({":method", ":scheme", ":authority", ":path", ":status"})
_HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~A-Za-z0-9]+")


def is_header_name(name: str) -> bool:
    """Whether RFC 7230 has it as the name of a header."""
    return _HEADER_NAME.fullmatch(name) is not None


def is_jwt_claim(name: str) -> bool:
    """Whether a header's name is istiod's notation for a claim of a token."""
    if not name.lower().startswith(_CLAIM):
        return False
    rest = name[len(_CLAIM) :]
    dotted = rest.startswith(".") and len(rest) > 1
    return dotted or (rest.startswith("[") and rest.endswith("]") and len(rest) > 2)


def check_http_match(match: dict[str, Any], path: Path, report: Report) -> None:
    """``http[].match[]``."""
    for name in ("headers", "withoutHeaders"):
        for key, value in match.get(name, {}).items():
            place = (*path, name, key)
            known = key in _PSEUDO_HEADERS or is_jwt_claim(key) or is_header_name(key)
            if not known:
                message = f'"{key}" is not the name of a header'
                report.error("virtual-service/header-name", message, place, key=True)
            if name == "headers" or value.get("regex") != "*":  # "*" there: the header is present
                check_string_match(value, place, report)
    for key, value in match.get("queryParams", {}).items():
        check_string_match(value, (*path, "queryParams", key), report)
    for name in ("uri", "scheme", "method", "authority"):
        if name in match:
            check_string_match(match[name], (*path, name), report, empty_prefix=name == "uri")
    _check_source(match, path, report)
    namespace = match.get("sourceNamespace", "")
    if namespace and not is_dns_label(namespace):
        message = f'"{namespace}" is not a namespace: letters, digits and inner hyphens'
        report.error("virtual-service/source-namespace", message, (*path, "sourceNamespace"))
    # istiod drops the warnings about gateways of http and tcp matches
    check_gateways(match.get("gateways", []), (*path, "gateways"), report, legacy=False)


def check_string_match(
    match: dict[str, str], path: Path, report: Report, *, empty_prefix: bool = False
) -> None:
    """A ``StringMatch``: no empty prefix but of a uri, a regex that RE2 takes."""
    if match.get("prefix") == "" and not empty_prefix:
        message = "the prefix is empty: remove the match, everything begins with it"
        report.error("virtual-service/empty-prefix", message, (*path, "prefix"))
    if "regex" in match:
        check_regex(match["regex"], (*path, "regex"), report)


def check_regex(pattern: str, path: Path, report: Report) -> None:
    """A regular expression that istiod's parser takes, and that is not empty."""
    flaw = regex_flaw(pattern) if pattern else 'the regex is empty: ".*" matches everything'
    if flaw:
        report.error("virtual-service/regex", flaw, path)


def check_tls_match(
    match: dict[str, Any], path: Path, spec: dict[str, Any], report: Report
) -> None:
    """``tls[].match[]`` of a VirtualService with this ``spec``."""
    if match.get("sniHosts") == []:
        message = "a tls match needs sniHosts: at least one server name"
        report.error("virtual-service/sni-hosts", message, (*path, "sniHosts"))
    for i, name in items(match, "sniHosts"):
        _check_sni_host(name, (*path, "sniHosts", i), spec, report)
    _check_subnets(match, path, report)
    _check_source(match, path, report)
    check_gateways(match.get("gateways", []), (*path, "gateways"), report)


def check_tcp_match(match: dict[str, Any], path: Path, report: Report) -> None:
    """``tcp[].match[]``."""
    _check_subnets(match, path, report)
    _check_source(match, path, report)
    check_gateways(match.get("gateways", []), (*path, "gateways"), report, legacy=False)


def check_gateways(
    gateways: list[Any],
    path: Path,
    report: Report,
    *,
    gateway_semantics: bool = False,
    legacy: bool = True,
) -> None:
    """Names of gateways: ``mesh``, ``name`` or ``namespace/name``.

    istiod looks no further than the first one without a namespace. ``legacy`` warns of a name
    in the old form, ``gateway_semantics`` lets any name pass behind a namespace.
    """
    for i, gateway in enumerate(gateways):
        if gateway is WRONG:
            continue
        place = (*path, i)
        namespace, slash, name = gateway.partition("/")
        if not slash:
            flaw = fqdn_flaw(gateway)
            if flaw:
                report.error("virtual-service/gateway", flaw, place)
            elif "." in gateway and legacy:
                first, second = gateway.split(".")[:2]
                message = f'"{gateway}" is the old form of a gateway: write {second}/{first}'
                report.warning("virtual-service/gateway-legacy", message, place)
            return
        if not is_dns_label(namespace):
            message = f'"{gateway}" needs a namespace before the slash: letters, digits, hyphens'
            report.error("virtual-service/gateway", message, place)
        if not name or not (gateway_semantics or is_dns_label(name)):
            message = f'"{gateway}" needs a name behind the slash: letters, digits, hyphens'
            report.error("virtual-service/gateway", message, place)


def _check_sni_host(name: str, path: Path, spec: dict[str, Any], report: Report) -> None:
    generated = None if _MESH in spec.get("gateways", ()) else generated_sni_flaw(name)
    flaw = host_flaw(name) if generated is None else generated
    if flaw:
        if is_ip(name):
            message = f'"{name}" is an address, which clients do not send as a server name'
            report.warning("virtual-service/sni-address", message, path)
        else:
            report.error("virtual-service/sni-host", flaw, path)
        return
    hosts = spec.get("hosts", [])
    if WRONG not in hosts and not any(is_subset(name, host) for host in hosts):
        message = f'server name "{name}" is not one of the hosts ({", ".join(hosts)}): add it there'
        report.error("virtual-service/sni-host", message, path)


def _check_subnets(match: dict[str, Any], path: Path, report: Report) -> None:
    for i, subnet in items(match, "destinationSubnets"):
        if flaw := address_flaw(subnet):
            report.error("virtual-service/subnet", flaw, (*path, "destinationSubnets", i))


def _check_source(match: dict[str, Any], path: Path, report: Report) -> None:
    port = match.get("port", 0)
    if port and (flaw := port_flaw(port)):
        report.error("virtual-service/port", flaw, (*path, "port"))
    for key, value in match.get("sourceLabels", {}).items():
        if flaw := label_flaw(key, value):
            report.error("virtual-service/label", flaw, (*path, "sourceLabels", key), key=True)
