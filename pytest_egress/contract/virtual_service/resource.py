"""The typed VirtualService, as ``networking/v1alpha3/virtual_service.proto`` defines it.

Indices of the tuples are those of the file, so ``service.at("spec", "http", 0, "route", 1)`` is
the place of ``service.http[0].route[1]``. None stands for a message that is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pytest_egress.contract.duration import Duration
from pytest_egress.contract.resource import Resource

__all__ = [
    "Abort",
    "CorsPolicy",
    "Delay",
    "Delegate",
    "Destination",
    "DirectResponse",
    "Fault",
    "HeaderOperations",
    "Headers",
    "HttpMatch",
    "HttpRoute",
    "HttpRouteDestination",
    "L4Match",
    "Mirror",
    "Redirect",
    "RegexRewrite",
    "Retries",
    "Rewrite",
    "RouteDestination",
    "StringMatch",
    "TcpRoute",
    "TlsMatch",
    "TlsRoute",
    "VirtualService",
]

_NO_TEXTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StringMatch:
    """``StringMatch``; kind is empty where none of the three is given (present is enough)."""

    kind: Literal["", "exact", "prefix", "regex"] = ""
    value: str = ""


_NO_MATCHES: Mapping[str, StringMatch] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Destination:
    """``Destination``; port 0 where absent."""

    host: str
    subset: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class HeaderOperations:
    """``Headers.HeaderOperations``."""

    set: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    add: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Headers:
    """``Headers``."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


@dataclass(frozen=True, slots=True)
class HttpMatch:
    """``HTTPMatchRequest``; port 0 where absent."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: Mapping[str, StringMatch] = field(default_factory=lambda: _NO_MATCHES)
    without_headers: Mapping[str, StringMatch] = field(default_factory=lambda: _NO_MATCHES)
    query_params: Mapping[str, StringMatch] = field(default_factory=lambda: _NO_MATCHES)
    ignore_uri_case: bool = False
    port: int = 0
    source_labels: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()
    stat_prefix: str = ""


@dataclass(frozen=True, slots=True)
class HttpRouteDestination:
    """``HTTPRouteDestination``."""

    destination: Destination
    weight: int = 0
    headers: Headers | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """``HTTPRedirect``; ``port`` None where absent, ``code`` 0 where absent."""

    uri: str = ""
    prefix_rewrite: str = ""
    authority: str = ""
    port: int | None = None
    derive_port: Literal["", "FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] = ""
    scheme: str = ""
    code: int = 0


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """``HTTPDirectResponse``; ``body`` None where absent."""

    status: int
    body: bytes | str | None = None


@dataclass(frozen=True, slots=True)
class Delegate:
    """``Delegate``; an empty namespace is the root VirtualService's own."""

    name: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class RegexRewrite:
    """``RegexRewrite``."""

    match: str = ""
    rewrite: str = ""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """``HTTPRewrite``."""

    uri: str = ""
    authority: str = ""
    uri_regex: RegexRewrite | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """``HTTPRetry``; None where absent, ``retry_on`` empty where absent."""

    attempts: int = 0
    per_try_timeout: Duration | None = None
    retry_on: str = ""
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: Duration | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """``HTTPFaultInjection.Delay``; ``percentage`` (0-100) None where absent, which is 0 %."""

    fixed_delay: Duration | None = None
    percentage: float | None = None
    percent: int = 0


@dataclass(frozen=True, slots=True)
class Abort:
    """``HTTPFaultInjection.Abort``; ``percentage`` (0-100) None where absent, which is 0 %."""

    http_status: int | None = None
    grpc_status: str = ""
    percentage: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """``HTTPFaultInjection``."""

    delay: Delay | None = None
    abort: Abort | None = None


@dataclass(frozen=True, slots=True)
class Mirror:
    """``HTTPMirrorPolicy``; ``percentage`` (0-100) None where absent, which is 100 %."""

    destination: Destination
    percentage: float | None = None


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """``CorsPolicy``; ``allow_origin`` is the deprecated list of exact origins."""

    allow_origins: tuple[StringMatch, ...] = ()
    allow_origin: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: Duration | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] = "UNSPECIFIED"


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """``HTTPRoute``.

    ``mirror`` with ``mirror_percentage`` (or the deprecated ``mirror_percent``) is the old form
    of ``mirrors``.
    """

    name: str = ""
    match: tuple[HttpMatch, ...] = ()
    route: tuple[HttpRouteDestination, ...] = ()
    redirect: Redirect | None = None
    direct_response: DirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: Rewrite | None = None
    timeout: Duration | None = None
    retries: Retries | None = None
    fault: Fault | None = None
    mirror: Destination | None = None
    mirror_percentage: float | None = None
    mirror_percent: int | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None


@dataclass(frozen=True, slots=True)
class RouteDestination:
    """``RouteDestination``."""

    destination: Destination
    weight: int = 0


@dataclass(frozen=True, slots=True)
class TlsMatch:
    """``TLSMatchAttributes``; port 0 where absent."""

    sni_hosts: tuple[str, ...]
    destination_subnets: tuple[str, ...] = ()
    port: int = 0
    source_labels: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsRoute:
    """``TLSRoute``."""

    match: tuple[TlsMatch, ...] = ()
    route: tuple[RouteDestination, ...] = ()


@dataclass(frozen=True, slots=True)
class L4Match:
    """``L4MatchAttributes``; port 0 where absent."""

    destination_subnets: tuple[str, ...] = ()
    port: int = 0
    source_subnet: str = ""
    source_labels: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TcpRoute:
    """``TCPRoute``."""

    match: tuple[L4Match, ...] = ()
    route: tuple[RouteDestination, ...] = ()


@dataclass(frozen=True, slots=True)
class VirtualService(Resource):
    """``networking.istio.io`` VirtualService; one without hosts is a delegate.

    ``gateways`` empty means ``mesh``; ``export_to`` empty means
    ``meshConfig.defaultVirtualServiceExportTo``.
    """

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HttpRoute, ...] = ()
    tls: tuple[TlsRoute, ...] = ()
    tcp: tuple[TcpRoute, ...] = ()
    export_to: tuple[str, ...] = ()
