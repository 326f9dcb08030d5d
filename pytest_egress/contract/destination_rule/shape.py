"""The shape of a DestinationRule, as Istio's CRD (1.31) gives it."""

from __future__ import annotations

from pytest_egress.contract.crds import CONNECTION_POOL, DURATION, INT32, TEXTS, UINT32, resource
from pytest_egress.contract.schema import Bool, Int, List, Map, Number, Obj, Shape, Span, Text

__all__ = ["DESTINATION_RULE", "LOCALITY_LB", "OUTLIER_DETECTION", "ZONE_AWARE_LB"]

_COUNT = Int(nullable=True)  # a wrapper: null is absent
_UINT64 = Int(highest=(1 << 64) - 1)
_PERCENT = Number(0, 100, nullable=True)
_AT_LEAST_1MS = Span(positive=True)

_FAILOVER = List(Obj({"from": Text(), "to": Text()}))
LOCALITY_LB = Obj(
    {
        "distribute": List(Obj({"from": Text(), "to": Map(UINT32)})),
        "enabled": Bool(nullable=True),
        "failover": _FAILOVER,
        "failoverPriority": TEXTS,
    }
)
ZONE_AWARE_LB = Obj(
    {
        "enabled": Bool(nullable=True),
        "failover": _FAILOVER,
        "failoverPriority": TEXTS,
        "minClusterSize": Int(1, nullable=True),
    }
)

_COOKIE = Obj(
    {
        "attributes": List(Obj({"name": Text(), "value": Text()}, required=("name",))),
        "name": Text(),
        "path": Text(),
        "ttl": Span(),
    },
    required=("name",),
)
_CONSISTENT_HASH = Obj(
    {
        "httpCookie": _COOKIE,
        "httpHeaderName": Text(),
        "httpQueryParameterName": Text(),
        "maglev": Obj({"tableSize": _UINT64}),
        "minimumRingSize": _UINT64,
        "ringHash": Obj({"minimumRingSize": _UINT64}),
        "useSourceIp": Bool(),
    },
    alternatives=(
        ("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"),
        ("ringHash", "maglev"),
    ),
)
_LOAD_BALANCER = Obj(
    {
        "consistentHash": _CONSISTENT_HASH,
        "localityLbSetting": LOCALITY_LB,
        "simple": Text(
            choices=(
                "UNSPECIFIED",
                "LEAST_CONN",
                "RANDOM",
                "PASSTHROUGH",
                "ROUND_ROBIN",
                "LEAST_REQUEST",
            )
        ),
        "warmup": Obj(
            {
                "aggression": Number(0, float("inf"), nullable=True),
                "duration": DURATION,
                "minimumPercent": _PERCENT,
            },
            required=("duration",),
        ),
        "warmupDurationSecs": _AT_LEAST_1MS,
        "zoneAwareLbSetting": ZONE_AWARE_LB,
    },
    alternatives=(("simple", "consistentHash"),),
)
OUTLIER_DETECTION = Obj(
    {
        "baseEjectionTime": DURATION,
        "consecutive5xxErrors": _COUNT,
        "consecutiveErrors": INT32,
        "consecutiveGatewayErrors": _COUNT,
        "consecutiveLocalOriginFailures": _COUNT,
        "interval": DURATION,
        "maxEjectionPercent": INT32,
        "minHealthPercent": INT32,
        "outlierDetectionHttpErrorCodes": List(Int(100, 599)),
        "splitExternalLocalOriginErrors": Bool(),
    }
)
_TLS = Obj(
    {
        "caCertificates": Text(),
        "caCrl": Text(),
        "clientCertificate": Text(),
        "credentialName": Text(),
        "insecureSkipVerify": Bool(nullable=True),
        "mode": Text(choices=("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL")),
        "privateKey": Text(),
        "sni": Text(),
        "subjectAltNames": TEXTS,
    }
)
_PORT_FIELDS: dict[str, Shape] = {
    "connectionPool": CONNECTION_POOL,
    "loadBalancer": _LOAD_BALANCER,
    "outlierDetection": OUTLIER_DETECTION,
    "tls": _TLS,
}
_TRAFFIC_POLICY = Obj(
    {
        **_PORT_FIELDS,
        "portLevelSettings": List(
            Obj({**_PORT_FIELDS, "port": Obj({"number": UINT32})}), most=4096
        ),
        "proxyProtocol": Obj({"version": Text(choices=("V1", "V2"))}),
        "retryBudget": Obj(
            {"budgetInterval": Span(), "minRetryConcurrency": UINT32, "percent": _PERCENT}
        ),
        "tunnel": Obj(
            {"protocol": Text(), "targetHost": Text(), "targetPort": UINT32},
            required=("targetHost", "targetPort"),
        ),
    }
)
DESTINATION_RULE = resource(
    Obj(
        {
            "exportTo": TEXTS,
            "host": Text(),
            "subsets": List(
                Obj(
                    {"labels": Map(Text()), "name": Text(), "trafficPolicy": _TRAFFIC_POLICY},
                    required=("name",),
                )
            ),
            "trafficPolicy": _TRAFFIC_POLICY,
            "workloadSelector": Obj({"matchLabels": Map(Text(longest=63), most=4096)}),
        },
        required=("host",),
        hints={"hosts": 'did you mean "host"? A DestinationRule has one'},
    )
)
