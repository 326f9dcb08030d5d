"""The shape of a VirtualService, as Istio's CRD (1.31, all served versions alike) gives it."""

from __future__ import annotations

import math
from types import MappingProxyType

from pytest_egress.contract.crds import DURATION, INT32, TEXTS, UINT32, resource
from pytest_egress.contract.schema import Bool, Int, List, Map, Number, Obj, Shape, Text

__all__ = ["HTTP_ROUTE", "TCP_ROUTE", "TLS_ROUTE", "VIRTUAL_SERVICE"]

_NULLABLE_UINT32 = Int(nullable=True)
_NULLABLE_BOOL = Bool(nullable=True)
_LABELS = Map(Text())
_PERCENT = Obj({"value": Number(-math.inf, math.inf)}, example="{value: 50}")

_MATCHES = ("exact", "prefix", "regex")
_STRING_MATCH = Obj(
    dict.fromkeys(_MATCHES, Text()),
    alternatives=(_MATCHES,),
    example="{exact: ...}",
    hints=MappingProxyType(
        {"suffix": 'Istio has exact, prefix and regex: write regex: ".*suffix"'}
    ),
)
_STRING_MATCHES = Map(_STRING_MATCH)

_DESTINATION = Obj(
    {"host": Text(), "subset": Text(), "port": Obj({"number": UINT32}, example="{number: 443}")},
    required=("host",),
    hints=MappingProxyType({"weight": "the weight stands beside destination, not in it"}),
)
_ROUTE_DESTINATION = Obj(
    {"destination": _DESTINATION, "weight": INT32},
    required=("destination",),
    hints=MappingProxyType(dict.fromkeys(("host", "subset", "port"), "it belongs in destination")),
)

_HEADER_OPERATIONS = Obj({"set": Map(Text()), "add": Map(Text()), "remove": TEXTS})
_HEADERS = Obj({"request": _HEADER_OPERATIONS, "response": _HEADER_OPERATIONS})
_SOURCE: dict[str, Shape] = {
    "port": UINT32,
    "sourceLabels": _LABELS,
    "sourceNamespace": Text(),
    "gateways": TEXTS,
}

_HTTP_MATCH = Obj(
    {
        "name": Text(),
        "uri": _STRING_MATCH,
        "scheme": _STRING_MATCH,
        "method": _STRING_MATCH,
        "authority": _STRING_MATCH,
        "headers": _STRING_MATCHES,
        "withoutHeaders": _STRING_MATCHES,
        "queryParams": _STRING_MATCHES,
        "ignoreUriCase": Bool(),
        "statPrefix": Text(),
        **_SOURCE,
    }
)
_HTTP_DESTINATION = Obj(
    {**_ROUTE_DESTINATION.fields, "headers": _HEADERS},
    required=("destination",),
    hints=_ROUTE_DESTINATION.hints,
)
_REDIRECT = Obj(
    {
        "uri": Text(),
        "prefixRewrite": Text(),
        "authority": Text(),
        "port": UINT32,
        "derivePort": Text(choices=("FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT")),
        "scheme": Text(),
        "redirectCode": UINT32,
    },
    alternatives=(("port", "derivePort"),),
)
_DIRECT_RESPONSE = Obj(
    {
        "status": UINT32,
        "body": Obj(
            {"string": Text(), "bytes": Text()},
            alternatives=(("string", "bytes"),),
        ),
    },
    required=("status",),
)
_ERRORS = ("httpStatus", "grpcStatus", "http2Error")
_DELAYS = ("fixedDelay", "exponentialDelay")
_FAULT = Obj(
    {
        "delay": Obj(
            {
                **dict.fromkeys(_DELAYS, DURATION),
                "percent": INT32,
                "percentage": _PERCENT,
            },
            alternatives=(_DELAYS,),
        ),
        "abort": Obj(
            {
                "httpStatus": INT32,
                "grpcStatus": Text(),
                "http2Error": Text(),
                "percentage": _PERCENT,
            },
            alternatives=(_ERRORS,),
        ),
    }
)
_RETRIES = Obj(
    {
        "attempts": INT32,
        "perTryTimeout": DURATION,
        "retryOn": Text(),
        "retryRemoteLocalities": _NULLABLE_BOOL,
        "retryIgnorePreviousHosts": _NULLABLE_BOOL,
        "backoff": DURATION,
    }
)
_CORS = Obj(
    {
        "allowOrigins": List(_STRING_MATCH),
        "allowOrigin": TEXTS,
        "allowMethods": TEXTS,
        "allowHeaders": TEXTS,
        "exposeHeaders": TEXTS,
        "maxAge": DURATION,
        "allowCredentials": _NULLABLE_BOOL,
        "unmatchedPreflights": Text(choices=("UNSPECIFIED", "FORWARD", "IGNORE")),
    }
)
HTTP_ROUTE = Obj(
    {
        "name": Text(),
        "match": List(_HTTP_MATCH),
        "route": List(_HTTP_DESTINATION),
        "redirect": _REDIRECT,
        "directResponse": _DIRECT_RESPONSE,
        "delegate": Obj({"name": Text(), "namespace": Text()}),
        "rewrite": Obj(
            {
                "uri": Text(),
                "authority": Text(),
                "uriRegexRewrite": Obj({"match": Text(), "rewrite": Text()}),
            }
        ),
        "timeout": DURATION,
        "retries": _RETRIES,
        "fault": _FAULT,
        "mirror": _DESTINATION,
        "mirrorPercentage": _PERCENT,
        "mirrorPercent": _NULLABLE_UINT32,
        "mirror_percent": _NULLABLE_UINT32,
        "mirrors": List(
            Obj({"destination": _DESTINATION, "percentage": _PERCENT}, required=("destination",))
        ),
        "corsPolicy": _CORS,
        "headers": _HEADERS,
    },
    hints=MappingProxyType({"destination": "a destination is an item of route"}),
)
TLS_ROUTE = Obj(
    {
        "match": List(
            Obj(
                {"sniHosts": TEXTS, "destinationSubnets": TEXTS, **_SOURCE},
                required=("sniHosts",),
            )
        ),
        "route": List(_ROUTE_DESTINATION),
    },
    required=("match",),
)
TCP_ROUTE = Obj(
    {
        "match": List(Obj({"destinationSubnets": TEXTS, "sourceSubnet": Text(), **_SOURCE})),
        "route": List(_ROUTE_DESTINATION),
    }
)

VIRTUAL_SERVICE = resource(
    Obj(
        {
            "hosts": TEXTS,
            "gateways": TEXTS,
            "http": List(HTTP_ROUTE),
            "tls": List(TLS_ROUTE),
            "tcp": List(TCP_ROUTE),
            "exportTo": TEXTS,
        },
        hints=MappingProxyType(
            {
                "host": 'did you mean "hosts", a list?',
                "subsets": "subsets belong to a DestinationRule",
                "trafficPolicy": "traffic policy (TLS, pools) belongs to a DestinationRule",
                "workloadSelector": "a VirtualService has none: match by sourceLabels",
            }
        ),
    )
)
