"""What a rule's route does besides leading somewhere: answers, headers, faults, CORS, mirrors."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_egress.contract.duration import duration_json
from pytest_egress.contract.virtual_service.resource import (
    CorsPolicy,
    DirectResponse,
    Fault,
    HeaderOperations,
    Headers,
    HttpRoute,
    Redirect,
)
from pytest_egress.envoy.virtual_service.match import string_matcher

__all__ = [
    "HeaderChanges",
    "direct_response",
    "filter_settings",
    "header_changes",
    "mirror_fraction",
    "mirror_policy",
    "redirect",
]

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy.extensions.filters.http"
_REDIRECTS = {
    0: "",  # 301, Envoy's default
    301: "",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
# The numbers of gRPC's status codes, by the names that Istio takes.
_GRPC_STATUS = {
    name: number
    for number, name in enumerate(
        (
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        )
    )
}


def redirect(rule: Redirect, port: int, *, tls: bool = False) -> Json | None:
    """Envoy's ``RedirectAction``; None for a code that Envoy has no redirect for.

    Args:
        rule: the VirtualService's.
        port: of the listener, which stands for the port of the request.
        tls: the listener terminates TLS.
    """
    code = _REDIRECTS.get(rule.code)
    if code is None:
        return None
    built: Json = {}
    if rule.scheme:
        built["scheme_redirect"] = rule.scheme
    if rule.authority:
        built["host_redirect"] = rule.authority
    if rule.prefix_rewrite:
        built["prefix_rewrite"] = rule.prefix_rewrite
    else:
        built["path_redirect"] = rule.uri
    to_port = rule.port or 0
    if rule.derive_port == "FROM_REQUEST_PORT":
        to_port = port
    scheme = rule.scheme or ("https" if tls else "http")
    if to_port and (to_port, scheme) not in {(80, "http"), (443, "https")}:
        built["port_redirect"] = to_port
    if code:
        built["response_code"] = code
    return built


def direct_response(rule: DirectResponse) -> Json:
    """Envoy's ``DirectResponseAction``."""
    built: Json = {"status": rule.status}
    if isinstance(rule.body, bytes):
        built["body"] = {"inline_bytes": base64.b64encode(rule.body).decode()}
    elif rule.body is not None:
        built["body"] = {"inline_string": rule.body}
    return built


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """The header fields of a route or of one of its destinations.

    ``authority`` is what a change of ``host`` or ``:authority`` asks for: Envoy has a rewrite of
    its own for that.
    """

    request_add: tuple[Json, ...] = ()
    request_remove: tuple[str, ...] = ()
    response_add: tuple[Json, ...] = ()
    response_remove: tuple[str, ...] = ()
    authority: str = ""

    def __add__(self, other: HeaderChanges) -> HeaderChanges:
        """Both, one after the other; the authority stays this one's."""
        return HeaderChanges(
            self.request_add + other.request_add,
            self.request_remove + other.request_remove,
            self.response_add + other.response_add,
            self.response_remove + other.response_remove,
            self.authority,
        )

    def fields(self) -> Json:
        """The fields of a ``Route`` or ``ClusterWeight``."""
        named: Iterable[tuple[str, tuple[Any, ...]]] = (
            ("request_headers_to_add", self.request_add),
            ("request_headers_to_remove", self.request_remove),
            ("response_headers_to_add", self.response_add),
            ("response_headers_to_remove", self.response_remove),
        )
        return {name: list(values) for name, values in named if values}


def header_changes(headers: Headers | None) -> HeaderChanges:
    """``Headers`` as Envoy has them."""
    if headers is None:
        return HeaderChanges()
    request = headers.request or HeaderOperations()
    response = headers.response or HeaderOperations()
    authority = _authority(request.set) or _authority(request.add)
    return HeaderChanges(
        _added(request), request.remove, _added(response), response.remove, authority
    )


def _added(operations: HeaderOperations) -> tuple[Json, ...]:
    overwritten = [
        {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for header in _headers(operations.set)
    ]
    return (*overwritten, *({"header": header} for header in _headers(operations.add)))


def _headers(values: Mapping[str, str]) -> list[Json]:
    return [
        {"key": name, "value": value} if value else {"key": name}
        for name, value in sorted(values.items())
        if not _is_authority(name)
    ]


def _is_authority(name: str) -> bool:
    return name.lower() in {":authority", "host"}


def _authority(values: Mapping[str, str]) -> str:
    return next((value for name, value in values.items() if _is_authority(name)), "")


def filter_settings(route: HttpRoute) -> Json:
    """``typed_per_filter_config``: what the fault and CORS filters do on this route."""
    settings: Json = {}
    if route.fault is not None:
        settings["envoy.filters.http.fault"] = _fault(route.fault)
    if route.cors_policy is not None:
        settings["envoy.filters.http.cors"] = _cors(route.cors_policy)
    return settings


def _fault(fault: Fault) -> Json:
    built: Json = {"@type": f"{_TYPE}.fault.v3.HTTPFault"}
    delay, abort = fault.delay, fault.abort
    if delay is not None and delay.fixed_delay is not None:
        percentage = (
            _fraction(delay.percent) if delay.percentage is None else _millionths(delay.percentage)
        )
        built["delay"] = {
            "fixed_delay": duration_json(delay.fixed_delay),
            "percentage": percentage,
        }
    if abort is not None and (abort.http_status is not None or abort.grpc_status):
        if abort.http_status is not None:
            built["abort"] = {"http_status": abort.http_status}
        else:
            built["abort"] = {"grpc_status": _GRPC_STATUS[abort.grpc_status]}
        if abort.percentage is not None:
            built["abort"]["percentage"] = _millionths(abort.percentage)
    return built


def _cors(policy: CorsPolicy) -> Json:
    built: Json = {"@type": f"{_TYPE}.cors.v3.CorsPolicy"}
    if policy.allow_origins:
        origins = [string_matcher(origin) for origin in policy.allow_origins]
        built["allow_origin_string_match"] = [it for it in origins if it is not None]
    elif policy.allow_origin:
        built["allow_origin_string_match"] = [{"exact": it} for it in policy.allow_origin]
    if not built.get("allow_origin_string_match", True):
        del built["allow_origin_string_match"]
    for name, values in (
        ("allow_methods", policy.allow_methods),
        ("allow_headers", policy.allow_headers),
        ("expose_headers", policy.expose_headers),
    ):
        if text := ",".join(values):
            built[name] = text
    if policy.max_age is not None:
        built["max_age"] = str(policy.max_age // 1_000_000_000)
    if policy.allow_credentials is not None:
        built["allow_credentials"] = policy.allow_credentials
    built["filter_enabled"] = {"default_value": {"numerator": 100}}
    built["forward_not_matching_preflights"] = policy.unmatched_preflights != "IGNORE"
    return built


def mirror_fraction(percentage: float | None, percent: int | None = None) -> Json | None:
    """The share of requests to mirror; None where it is explicitly none."""
    if percentage is not None:
        return _millionths(percentage) if percentage > 0 else None
    if percent is not None:
        return _fraction(percent) if percent > 0 else None
    return _fraction(100)


def mirror_policy(cluster: str, fraction: Json) -> Json:
    """Envoy's ``RequestMirrorPolicy``; the mirrored request keeps its Host header."""
    return {
        "cluster": cluster,
        "runtime_fraction": {"default_value": fraction},
        "trace_sampled": False,
        "disable_shadow_host_suffix_append": True,
    }


def _millionths(percentage: float) -> Json:
    numerator = int(percentage * 10_000)
    return {**_fraction(numerator), "denominator": "MILLION"}


def _fraction(numerator: int) -> Json:
    numerator %= 1 << 32  # istiod converts to uint32 and does not look
    return {"numerator": numerator} if numerator else {}
