"""The shapes of the resources, as Istio's CRDs (1.31, all served versions alike) give them."""

from __future__ import annotations

from types import MappingProxyType

from pytest_egress.contract.schema import Any_, Bool, Int, List, Map, Obj, Shape, Span, Text

__all__ = [
    "CONNECTION_POOL",
    "DURATION",
    "INT32",
    "METADATA",
    "SERVER_TLS",
    "SERVICE_ENTRY",
    "SIDECAR",
    "TEXTS",
    "UINT32",
    "WORKLOAD_ENTRY",
    "resource",
]

TEXTS = List(Text())
INT32 = Int(-(1 << 31), (1 << 31) - 1)
UINT32 = Int()
_SELECTOR = Obj({"labels": Map(Text(longest=63), most=256)})
_INT_OR_TEXT = Any_()

# Kubernetes ObjectMeta; Kubernetes itself checks what is not used here.
METADATA = Obj(
    {
        "name": Text(),
        "namespace": Any_(),
        "labels": Any_(),
        "annotations": Any_(),
        "creationTimestamp": Any_(),
        **dict.fromkeys(
            (
                "clusterName",
                "deletionGracePeriodSeconds",
                "deletionTimestamp",
                "finalizers",
                "generateName",
                "generation",
                "managedFields",
                "ownerReferences",
                "resourceVersion",
                "selfLink",
                "uid",
            ),
            Any_(),
        ),
    }
)

_STATUS = Obj(
    {
        "conditions": List(
            Obj(
                {
                    "lastProbeTime": Text(),
                    "lastTransitionTime": Text(),
                    "message": Text(),
                    "observedGeneration": _INT_OR_TEXT,
                    "reason": Text(),
                    "status": Text(),
                    "type": Text(),
                }
            )
        ),
        "observedGeneration": _INT_OR_TEXT,
        "validationMessages": List(
            Obj(
                {
                    "documentationUrl": Text(),
                    "level": Text(choices=("UNKNOWN", "ERROR", "WARNING", "INFO")),
                    "type": Obj({"code": Text(), "name": Text()}),
                }
            )
        ),
    },
    open=True,
)


def resource(spec: Shape, *, required: tuple[str, ...] = ()) -> Obj:
    """The shape of a whole object, from that of its spec."""
    fields: dict[str, Shape] = {
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": Any_(),
        "spec": spec,
    }
    return Obj({**fields, "status": _STATUS}, required=required)


_ENDPOINT_FIELDS: dict[str, Shape] = {
    "address": Text(longest=256),
    "ports": Map(UINT32, most=128),
    "labels": Map(Text(), most=256),
    "network": Text(longest=2048),
    "locality": Text(longest=2048),
    "weight": UINT32,
    "serviceAccount": Text(longest=253),
}

WORKLOAD_ENTRY = resource(Obj(_ENDPOINT_FIELDS), required=("spec",))

SERVICE_ENTRY = resource(
    Obj(
        {
            "hosts": List(Text(), least=1, most=256),
            "addresses": List(Text(longest=64), most=256),
            "ports": List(
                Obj(
                    {
                        "number": UINT32,
                        "name": Text(longest=256),
                        "protocol": Text(longest=256),
                        "targetPort": UINT32,
                    },
                    required=("number", "name"),
                ),
                most=256,
            ),
            "location": Text(choices=("MESH_EXTERNAL", "MESH_INTERNAL")),
            "resolution": Text(choices=("NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS")),
            "endpoints": List(Obj(_ENDPOINT_FIELDS), most=4096),
            "exportTo": TEXTS,
            "subjectAltNames": TEXTS,
            "workloadSelector": _SELECTOR,
        },
        required=("hosts",),
        hints=MappingProxyType(
            {
                "trafficPolicy": "traffic policy (TLS, pools) belongs to a DestinationRule",
                "host": 'did you mean "hosts", a list?',
            }
        ),
    ),
    required=("spec",),
)

#: A duration with both rules: the CRD's (1ms at least) and istiod's (whole milliseconds).
DURATION = Span(positive=True, whole=True)
CONNECTION_POOL = Obj(
    {
        "http": Obj(
            {
                "h2UpgradePolicy": Text(choices=("DEFAULT", "DO_NOT_UPGRADE", "UPGRADE")),
                "http1MaxPendingRequests": INT32,
                "http2KeepAlive": Obj({"interval": DURATION, "timeout": DURATION}),
                "http2MaxRequests": INT32,
                "idleTimeout": DURATION,
                "maxConcurrentStreams": INT32,
                "maxRequestsPerConnection": INT32,
                "maxRetries": INT32,
                "useClientProtocol": Bool(),
            }
        ),
        "tcp": Obj(
            {
                "connectTimeout": DURATION,
                "idleTimeout": Span(whole=True, off=True),
                "maxConnectionDuration": DURATION,
                "maxConnections": INT32,
                "tcpKeepalive": Obj({"interval": DURATION, "probes": UINT32, "time": DURATION}),
            }
        ),
    }
)
_TLS_VERSION = Text(choices=("TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"))
_CERTIFICATE = Obj(dict.fromkeys(("caCertificates", "privateKey", "serverCertificate"), Text()))
SERVER_TLS = Obj(
    {
        "caCertCredentialName": Text(),
        "caCertificates": Text(),
        "caCrl": Text(),
        "cipherSuites": TEXTS,
        "credentialName": Text(),
        "credentialNames": List(Text(), least=1, most=2),
        "httpsRedirect": Bool(),
        "insecureSkipVerify": Bool(nullable=True),
        "maxProtocolVersion": _TLS_VERSION,
        "minProtocolVersion": _TLS_VERSION,
        "mode": Text(
            choices=(
                "PASSTHROUGH",
                "SIMPLE",
                "MUTUAL",
                "AUTO_PASSTHROUGH",
                "ISTIO_MUTUAL",
                "OPTIONAL_MUTUAL",
            )
        ),
        "privateKey": Text(),
        "serverCertificate": Text(),
        "subjectAltNames": TEXTS,
        "tlsCertificates": List(_CERTIFICATE, least=1, most=2),
        "verifyCertificateHash": TEXTS,
        "verifyCertificateSpki": TEXTS,
    },
    alternatives=(("tlsCertificates", "credentialNames"), ("credentialName", "credentialNames")),
)
_SIDECAR_PORT = Obj({"number": UINT32, "name": Text(), "protocol": Text(), "targetPort": UINT32})
_CAPTURE_MODE = Text(choices=("DEFAULT", "IPTABLES", "NONE"))

SIDECAR = resource(
    Obj(
        {
            "workloadSelector": _SELECTOR,
            "egress": List(
                Obj(
                    {
                        "hosts": TEXTS,
                        "port": _SIDECAR_PORT,
                        "bind": Text(),
                        "captureMode": _CAPTURE_MODE,
                    },
                    required=("hosts",),
                )
            ),
            "ingress": List(
                Obj(
                    {
                        "port": _SIDECAR_PORT,
                        "bind": Text(),
                        "captureMode": _CAPTURE_MODE,
                        "defaultEndpoint": Text(),
                        "tls": SERVER_TLS,
                        "connectionPool": CONNECTION_POOL,
                    },
                    required=("port",),
                )
            ),
            "outboundTrafficPolicy": Obj(
                {
                    "mode": Text(choices=("REGISTRY_ONLY", "ALLOW_ANY")),
                    "egressProxy": Obj(
                        {"host": Text(), "port": Obj({"number": UINT32}), "subset": Text()},
                        required=("host",),
                    ),
                }
            ),
            "inboundConnectionPool": CONNECTION_POOL,
        }
    )
)
