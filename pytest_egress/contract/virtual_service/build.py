"""A checked VirtualService to its typed form."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pytest_egress.contract.report import Report
from pytest_egress.contract.resources import Locate, Metadata
from pytest_egress.contract.virtual_service.resource import (
    Abort,
    CorsPolicy,
    Delay,
    Delegate,
    Destination,
    DirectResponse,
    Fault,
    HeaderOperations,
    Headers,
    HttpMatch,
    HttpRoute,
    HttpRouteDestination,
    L4Match,
    Mirror,
    Redirect,
    RegexRewrite,
    Retries,
    Rewrite,
    RouteDestination,
    StringMatch,
    TcpRoute,
    TlsMatch,
    TlsRoute,
    VirtualService,
)

__all__ = ["build_retries", "build_virtual_service"]

_T = TypeVar("_T")
_Values = dict[str, Any]


def build_virtual_service(
    metadata: Metadata, spec: _Values, _status: Any, locate: Locate, _report: Report
) -> VirtualService:
    """A VirtualService from a spec without errors."""
    return VirtualService(
        metadata,
        hosts=_texts(spec, "hosts"),
        gateways=_texts(spec, "gateways"),
        http=_each(spec, "http", _http_route),
        tls=_each(spec, "tls", _tls_route),
        tcp=_each(spec, "tcp", _tcp_route),
        export_to=_texts(spec, "exportTo"),
        locate=locate,
    )


def build_retries(values: _Values) -> Retries:
    """``retries``, and MeshConfig's ``defaultHttpRetryPolicy``."""
    return Retries(
        attempts=values.get("attempts", 0),
        per_try_timeout=values.get("perTryTimeout"),
        retry_on=values.get("retryOn", ""),
        retry_remote_localities=values.get("retryRemoteLocalities"),
        retry_ignore_previous_hosts=values.get("retryIgnorePreviousHosts"),
        backoff=values.get("backoff"),
    )


def _http_route(values: _Values) -> HttpRoute:
    return HttpRoute(
        name=values.get("name", ""),
        match=_each(values, "match", _http_match),
        route=_each(values, "route", _http_destination),
        redirect=_one(values, "redirect", _redirect),
        direct_response=_one(values, "directResponse", _direct_response),
        delegate=_one(values, "delegate", _delegate),
        rewrite=_one(values, "rewrite", _rewrite),
        timeout=values.get("timeout"),
        retries=_one(values, "retries", build_retries),
        fault=_one(values, "fault", _fault),
        mirror=_one(values, "mirror", _destination),
        mirror_percentage=_percentage(values, "mirrorPercentage"),
        mirror_percent=_mirror_percent(values),
        mirrors=_each(values, "mirrors", _mirror),
        cors_policy=_one(values, "corsPolicy", _cors_policy),
        headers=_one(values, "headers", _headers),
    )


def _http_match(values: _Values) -> HttpMatch:
    return HttpMatch(
        name=values.get("name", ""),
        uri=_one(values, "uri", _string_match),
        scheme=_one(values, "scheme", _string_match),
        method=_one(values, "method", _string_match),
        authority=_one(values, "authority", _string_match),
        headers=_matches(values, "headers"),
        without_headers=_matches(values, "withoutHeaders"),
        query_params=_matches(values, "queryParams"),
        ignore_uri_case=values.get("ignoreUriCase", False),
        stat_prefix=values.get("statPrefix", ""),
        **_source(values),
    )


def _source(values: _Values) -> _Values:
    """What the matches of all three protocols say of the caller."""
    return {
        "port": values.get("port", 0),
        "source_labels": _map(values, "sourceLabels"),
        "source_namespace": values.get("sourceNamespace", ""),
        "gateways": _texts(values, "gateways"),
    }


def _string_match(values: _Values) -> StringMatch:
    if "exact" in values:
        return StringMatch("exact", values["exact"])
    if "prefix" in values:
        return StringMatch("prefix", values["prefix"])
    if "regex" in values:
        return StringMatch("regex", values["regex"])
    return StringMatch()


def _matches(values: _Values, name: str) -> Mapping[str, StringMatch]:
    return MappingProxyType({k: _string_match(v) for k, v in values.get(name, {}).items()})


def _destination(values: _Values) -> Destination:
    port = values.get("port", {})
    return Destination(values["host"], values.get("subset", ""), port.get("number", 0))


def _http_destination(values: _Values) -> HttpRouteDestination:
    return HttpRouteDestination(
        _destination(values["destination"]),
        values.get("weight", 0),
        _one(values, "headers", _headers),
    )


def _route_destination(values: _Values) -> RouteDestination:
    return RouteDestination(_destination(values["destination"]), values.get("weight", 0))


def _headers(values: _Values) -> Headers:
    return Headers(
        request=_one(values, "request", _header_operations),
        response=_one(values, "response", _header_operations),
    )


def _header_operations(values: _Values) -> HeaderOperations:
    return HeaderOperations(_map(values, "set"), _map(values, "add"), _texts(values, "remove"))


def _redirect(values: _Values) -> Redirect:
    return Redirect(
        uri=values.get("uri", ""),
        prefix_rewrite=values.get("prefixRewrite", ""),
        authority=values.get("authority", ""),
        port=values.get("port"),
        derive_port=values.get("derivePort", ""),
        scheme=values.get("scheme", ""),
        code=values.get("redirectCode", 0),
    )


def _direct_response(values: _Values) -> DirectResponse:
    body = values.get("body", {})
    if "bytes" in body:
        return DirectResponse(values["status"], base64.b64decode(body["bytes"]))
    return DirectResponse(values["status"], body.get("string"))


def _delegate(values: _Values) -> Delegate:
    return Delegate(values.get("name", ""), values.get("namespace", ""))


def _rewrite(values: _Values) -> Rewrite:
    regex = values.get("uriRegexRewrite")
    return Rewrite(
        uri=values.get("uri", ""),
        authority=values.get("authority", ""),
        uri_regex=None
        if regex is None
        else RegexRewrite(regex.get("match", ""), regex.get("rewrite", "")),
    )


def _fault(values: _Values) -> Fault:
    return Fault(_one(values, "delay", _delay), _one(values, "abort", _abort))


def _delay(values: _Values) -> Delay:
    return Delay(
        fixed_delay=values.get("fixedDelay"),
        percentage=_percentage(values, "percentage"),
        percent=values.get("percent", 0),
    )


def _abort(values: _Values) -> Abort:
    return Abort(
        http_status=values.get("httpStatus"),
        grpc_status=values.get("grpcStatus", ""),
        percentage=_percentage(values, "percentage"),
    )


def _mirror(values: _Values) -> Mirror:
    return Mirror(_destination(values["destination"]), _percentage(values, "percentage"))


def _percentage(values: _Values, name: str) -> float | None:
    """A ``Percent``; the message without a value is 0 %."""
    percent = values.get(name)
    return None if percent is None else float(percent.get("value", 0))


def _mirror_percent(values: _Values) -> int | None:
    """The CRD knows the proto's own spelling of this one field too; JSON's wins."""
    found: int | None = values.get("mirrorPercent", values.get("mirror_percent"))
    return found


def _cors_policy(values: _Values) -> CorsPolicy:
    return CorsPolicy(
        allow_origins=_each(values, "allowOrigins", _string_match),
        allow_origin=_texts(values, "allowOrigin"),
        allow_methods=_texts(values, "allowMethods"),
        allow_headers=_texts(values, "allowHeaders"),
        expose_headers=_texts(values, "exposeHeaders"),
        max_age=values.get("maxAge"),
        allow_credentials=values.get("allowCredentials"),
        unmatched_preflights=values.get("unmatchedPreflights", "UNSPECIFIED"),
    )


def _tls_route(values: _Values) -> TlsRoute:
    return TlsRoute(_each(values, "match", _tls_match), _each(values, "route", _route_destination))


def _tls_match(values: _Values) -> TlsMatch:
    return TlsMatch(
        sni_hosts=_texts(values, "sniHosts"),
        destination_subnets=_texts(values, "destinationSubnets"),
        **_source(values),
    )


def _tcp_route(values: _Values) -> TcpRoute:
    return TcpRoute(_each(values, "match", _l4_match), _each(values, "route", _route_destination))


def _l4_match(values: _Values) -> L4Match:
    return L4Match(
        destination_subnets=_texts(values, "destinationSubnets"),
        source_subnet=values.get("sourceSubnet", ""),
        **_source(values),
    )


def _texts(values: _Values, name: str) -> tuple[str, ...]:
    return tuple(values.get(name, ()))


def _map(values: _Values, name: str) -> Mapping[str, str]:
    return MappingProxyType(values.get(name, {}))


def _each(values: _Values, name: str, build: Callable[[_Values], _T]) -> tuple[_T, ...]:
    return tuple(build(item) for item in values.get(name, ()))


def _one(values: _Values, name: str, build: Callable[[_Values], _T]) -> _T | None:
    found = values.get(name)
    return None if found is None else build(found)
