"""Rules for an http route of a VirtualService: what it does with a request."""

from __future__ import annotations

import re
from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.syntax import port_flaw
from pytest_egress.contract.virtual_service.destination import check_destinations
from pytest_egress.contract.virtual_service.headers import check_headers, is_authority
from pytest_egress.contract.virtual_service.http_policy import (
    check_cors,
    check_fault,
    check_mirrors,
    check_retries,
    check_status,
)
from pytest_egress.contract.virtual_service.items import items
from pytest_egress.contract.virtual_service.match import check_http_match, check_regex
from pytest_egress.contract.virtual_service.shape import HTTP_ROUTE

__all__ = ["check_http_route"]

_ANSWERS = ("redirect", "directResponse")
_BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/](?:=|[A-Za-z0-9+/]))")
# With a field beside these, which has been reported, a missing one is misspelt or out of place.
_PLAIN_FIELDS = HTTP_ROUTE.fields.keys() - {"delegate"}
_MEGABYTE = 1 << 20
_HUNDRED_KILOBYTES = 100 << 10


def check_http_route(
    route: dict[str, Any],
    raw: dict[str, Any],
    path: Path,
    report: Report,
    *,
    delegate: bool,
    gateway_semantics: bool,
) -> None:
    """``http[]``.

    Args:
        route: without what the schema refused.
        raw: as written.
        path: of the route.
        report: takes the findings.
        delegate: the VirtualService has no hosts: another one refers to it.
        gateway_semantics: see ``check_destinations``.
    """
    if "delegate" in raw and not delegate:
        _check_root(raw, path, report)
    else:
        _check_conflicts(raw, path, report, delegate=delegate)
    for i, match in items(route, "match"):
        check_http_match(match, (*path, "match", i), report)
    if "headers" in route:
        check_headers(route["headers"], (*path, "headers"), report)
    if "corsPolicy" in route:
        check_cors(route["corsPolicy"], (*path, "corsPolicy"), report)
    if "fault" in route:
        check_fault(route["fault"], raw["fault"], (*path, "fault"), report)
    check_mirrors(route, path, report)
    if "redirect" in route:
        _check_redirect(route, raw["redirect"], path, report)
    if "directResponse" in route:
        _check_direct_response(route["directResponse"], (*path, "directResponse"), report)
    if "retries" in route:
        check_retries(route["retries"], (*path, "retries"), report)
    if "rewrite" in route:
        _check_rewrite(route["rewrite"], raw["rewrite"], (*path, "rewrite"), report)
    _check_authority(route, path, report)
    check_destinations(route, path, report, gateway_semantics=gateway_semantics)


def _check_root(raw: dict[str, Any], path: Path, report: Report) -> None:
    for name in ("redirect", "route"):
        if raw.get(name, []) != []:
            message = f"delegate and {name} exclude each other: the delegate decides"
            report.error("virtual-service/delegate", message, (*path, name), key=True)


def _check_conflicts(raw: dict[str, Any], path: Path, report: Report, *, delegate: bool) -> None:
    if delegate and "delegate" in raw:
        message = "a delegate (a VirtualService without hosts) cannot delegate in turn"
        report.error("virtual-service/delegate", message, (*path, "delegate"), key=True)
    answer = next((name for name in _ANSWERS if name in raw), None)
    if answer is not None:
        others = ("directResponse",) if answer == "redirect" else ()
        for other in ("route", "fault", "rewrite", *others):
            if raw.get(other, []) != []:
                message = f"{answer} and {other} exclude each other in one route: keep one"
                report.error("virtual-service/conflict", message, (*path, other), key=True)
    elif not raw.get("route") and raw.keys() <= _PLAIN_FIELDS:
        message = (
            "the route leads nowhere: give route (a list of destinations), redirect or "
            "directResponse"
        )
        report.error("virtual-service/no-destination", message, (*path, "route"))
    if "mirror" in raw and raw.get("mirrors"):
        message = "mirror and mirrors exclude each other: keep mirrors"
        report.error("virtual-service/conflict", message, (*path, "mirror"), key=True)


def _check_redirect(route: dict[str, Any], raw: dict[str, Any], path: Path, report: Report) -> None:
    redirect = route["redirect"]
    place = (*path, "redirect")
    prefix = redirect.get("prefixRewrite")
    if redirect.get("uri") and prefix:
        message = "uri and prefixRewrite exclude each other in a redirect: keep one"
        report.error("virtual-service/redirect", message, (*place, "prefixRewrite"), key=True)
    for i, match in items(route, "match") if prefix else ():
        if "uri" in match and "prefix" not in match["uri"]:
            message = "prefixRewrite needs every uri of the route to be matched by prefix"
            report.error("virtual-service/redirect", message, (*path, "match", i, "uri"), key=True)
    texts = ("uri", "prefixRewrite", "authority", "scheme")
    if not any(raw.get(name) for name in texts) and not {"port", "derivePort"} & set(raw):
        message = "the redirect changes nothing: give uri, prefixRewrite, authority, scheme or port"
        report.error("virtual-service/redirect", message, place, key=True)
    code = redirect.get("redirectCode", 0)
    if code and not 300 <= code <= 399:
        message = f"{code} is no redirect: 301, 302, 303, 307 and 308 are"
        report.error("virtual-service/redirect", message, (*place, "redirectCode"))
    scheme = redirect.get("scheme", "")
    if scheme not in {"", "http", "https"}:
        message = f'"{scheme}" is not a scheme to redirect to: http or https, in lower case'
        report.error("virtual-service/redirect", message, (*place, "scheme"))
    port = redirect.get("port", 0)
    if port and (flaw := port_flaw(port)):
        report.error("virtual-service/port", flaw, (*place, "port"))


def _check_direct_response(response: dict[str, Any], path: Path, report: Report) -> None:
    if "status" in response:
        check_status(response["status"], (*path, "status"), report)
    body = response.get("body", {})
    size = len(body.get("string", "").encode("utf-8", "surrogatepass"))
    if "bytes" in body:
        size = _base64_size(body["bytes"], (*path, "body", "bytes"), report)
    if size > _MEGABYTE:
        message = f"the body has {size} bytes: at most 1 MB is allowed"
        report.error("virtual-service/body", message, (*path, "body"))
    elif size > _HUNDRED_KILOBYTES:
        message = f"the body has {size} bytes: more than 100 kB burdens istiod"
        report.warning("virtual-service/body", message, (*path, "body"))


def _base64_size(text: str, path: Path, report: Report) -> int:
    found = _BASE64.fullmatch(text)
    if found is None:
        report.error("virtual-service/body", "not base64 (or empty): give string for a text", path)
        return 0
    return len(found[0]) * 3 // 4 - found[0].count("=")


def _check_rewrite(
    rewrite: dict[str, Any], raw: dict[str, Any], path: Path, report: Report
) -> None:
    if rewrite.get("uri") and "uriRegexRewrite" in rewrite:
        message = "uri and uriRegexRewrite exclude each other in a rewrite: keep one"
        report.error("virtual-service/rewrite", message, (*path, "uriRegexRewrite"), key=True)
    if not any(raw.get(name) for name in ("uri", "authority")) and "uriRegexRewrite" not in raw:
        message = "the rewrite changes nothing: give uri, uriRegexRewrite or authority"
        report.error("virtual-service/rewrite", message, path, key=True)
    regex = rewrite.get("uriRegexRewrite")
    if regex is None:
        return
    for name in ("match", "rewrite"):
        if not raw["uriRegexRewrite"].get(name):
            message = f"uriRegexRewrite needs match and rewrite: {name} is missing"
            report.error("virtual-service/rewrite", message, (*path, "uriRegexRewrite", name))
    if regex.get("match"):
        check_regex(regex["match"], (*path, "uriRegexRewrite", "match"), report)


def _check_authority(route: dict[str, Any], path: Path, report: Report) -> None:
    """The request's host may be changed in one place only."""
    current = route.get("rewrite", {}).get("authority", "")
    request = route.get("headers", {}).get("request", {})
    for verb in ("set", "add"):
        for name, value in request.get(verb, {}).items():
            if not is_authority(name):
                continue
            if current:
                message = f'the authority is "{current}" already: change it in one place only'
                place = (*path, "headers", "request", verb, name)
                report.error("virtual-service/authority", message, place, key=True)
            current = value
