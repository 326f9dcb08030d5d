"""Rules for what an http route does on the way: retries, faults, mirrors, CORS."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pytest_egress.contract.duration import SECOND
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.suggest import did_you_mean
from pytest_egress.contract.virtual_service.destination import check_destination
from pytest_egress.contract.virtual_service.items import items
from pytest_egress.contract.virtual_service.match import check_regex, is_header_name

__all__ = ["check_cors", "check_fault", "check_mirrors", "check_retries", "check_status"]

_RETRY_ON = (
    "connect-failure", "refused-stream", "unavailable", "cancelled", "5xx", "gateway-error",
    "reset", "reset-before-request", "retriable-4xx", "retriable-status-codes",
    "retriable-headers", "envoy-ratelimited", "http3-post-connect-failure", "deadline-exceeded",
    "internal", "resource-exhausted",
)  # fmt: skip
_GRPC_STATUSES = (
    "UNAVAILABLE", "NOT_FOUND", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED", "INTERNAL", "UNIMPLEMENTED", "OK", "CANCELLED", "UNKNOWN",
    "INVALID_ARGUMENT", "ALREADY_EXISTS", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "DATA_LOSS",
)  # fmt: skip
_METHODS = (
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*",
)  # fmt: skip
_STATUSES = frozenset(status.value for status in HTTPStatus)


def check_status(status: int, path: Path, report: Report) -> None:
    """A status that Envoy answers with; istiod lets 600 pass."""
    if not 200 <= status <= 600:
        message = f"{status} is not the status of an answer: 200 to 599"
        report.error("virtual-service/status", message, path)


def check_retries(retries: dict[str, Any], path: Path, report: Report) -> None:
    """``retries``."""
    attempts = retries.get("attempts", 0)
    if attempts < 0:
        message = "attempts must not be negative: 0 switches retries off"
        report.error("virtual-service/retries", message, (*path, "attempts"))
    elif attempts == 0:
        for name in ("perTryTimeout", "retryOn", "retryRemoteLocalities"):
            if retries.get(name) not in {None, ""}:
                message = f"{name} has no effect with attempts 0: give attempts, or remove it"
                report.error("virtual-service/retries", message, (*path, name), key=True)
    retry_on = retries.get("retryOn", "")
    for word in retry_on.split(",") if retry_on else ():
        if word not in _RETRY_ON and not _is_status(word):
            message = f'"{word}" is not a condition to retry on: {_nearest_condition(word)}'
            report.error("virtual-service/retry-on", message, (*path, "retryOn"))


def _is_status(word: str) -> bool:
    digits = word[1:] if word[:1] in {"+", "-"} else word
    return digits.isascii() and digits.isdecimal() and int(word) in _STATUSES


def _nearest_condition(word: str) -> str:
    if word != word.strip():
        return "no blanks between the conditions, only commas"
    if not word:
        return "a comma too many"
    if word.isdecimal():
        return "no HTTP status has this number"
    return did_you_mean(word, _RETRY_ON)


def check_fault(fault: dict[str, Any], raw: dict[str, Any], path: Path, report: Report) -> None:
    """``fault``."""
    if not {"abort", "delay"} & set(raw):
        message = "the fault is empty: give abort or delay"
        report.error("virtual-service/fault", message, path, key=True)
    for name in ("abort", "delay"):
        percentage = fault.get(name, {}).get("percentage", {}).get("value", 0)
        if not (percentage == 0 or 0.0001 <= percentage <= 100):
            message = f"{percentage} is no percentage: 0, or 0.0001 to 100"
            report.error(
                "virtual-service/percentage", message, (*path, name, "percentage", "value")
            )
    abort = fault.get("abort", {})
    place = (*path, "abort")
    if "httpStatus" in abort:
        check_status(abort["httpStatus"], (*place, "httpStatus"), report)
    status = abort.get("grpcStatus")
    if status is not None and status not in _GRPC_STATUSES:
        message = f'"{status}" is not a status of gRPC: {did_you_mean(status, _GRPC_STATUSES)}'
        report.error("virtual-service/grpc-status", message, (*place, "grpcStatus"))
    if "http2Error" in abort:
        message = "http2Error is not supported by Istio: use httpStatus or grpcStatus"
        report.error("virtual-service/fault", message, (*place, "http2Error"), key=True)
    if "exponentialDelay" in fault.get("delay", {}):
        message = "exponentialDelay is not supported by Istio: use fixedDelay"
        place = (*path, "delay", "exponentialDelay")
        report.error("virtual-service/fault", message, place, key=True)


def check_mirrors(route: dict[str, Any], path: Path, report: Report) -> None:
    """``mirror`` with its percentage, and ``mirrors[]``."""
    if "mirror" in route:
        check_destination(route["mirror"], (*path, "mirror"), report)
    _check_share(route.get("mirrorPercentage"), (*path, "mirrorPercentage"), report)
    for i, mirror in items(route, "mirrors"):
        place = (*path, "mirrors", i)
        if "destination" in mirror:
            check_destination(mirror["destination"], (*place, "destination"), report)
        _check_share(mirror.get("percentage"), (*place, "percentage"), report)
    name = "mirrorPercent" if "mirrorPercent" in route else "mirror_percent"
    percent = route.get(name)
    if percent is None:
        return
    if percent > 100:
        message = f"{percent} is no percentage: 0 to 100"
        report.error("virtual-service/percentage", message, (*path, name))
    message = "mirrorPercent is deprecated: use mirrorPercentage: {value: ...}"
    report.warning("virtual-service/mirror-percent", message, (*path, name), key=True)


def _check_share(percentage: dict[str, float] | None, path: Path, report: Report) -> None:
    value = 0.0 if percentage is None else percentage.get("value", 0.0)
    if not 0 <= value <= 100:
        message = f"{value} is no percentage: 0 to 100"
        report.error("virtual-service/percentage", message, (*path, "value"))


def check_cors(policy: dict[str, Any], path: Path, report: Report) -> None:
    """``corsPolicy``."""
    for i, origin in items(policy, "allowOrigins"):
        place = (*path, "allowOrigins", i)
        if not any(origin.values()):
            message = 'an origin needs a value: exact: "https://shop.example", a prefix or a regex'
            report.error("virtual-service/cors-origin", message, place)
        elif "regex" in origin:
            check_regex(origin["regex"], (*place, "regex"), report)
    for i, method in items(policy, "allowMethods"):
        if method not in _METHODS:
            message = f'"{method}" is not a method: {did_you_mean(method, _METHODS)}'
            report.error("virtual-service/cors-method", message, (*path, "allowMethods", i))
    for name in ("allowHeaders", "exposeHeaders"):
        for i, header in items(policy, name):
            if header != "*" and not is_header_name(header):
                message = f'"{header}" is not the name of a header'
                report.error("virtual-service/header-name", message, (*path, name, i))
    if policy.get("maxAge", 0) % SECOND:
        message = "maxAge is in whole seconds"
        report.error("virtual-service/cors-max-age", message, (*path, "maxAge"))
