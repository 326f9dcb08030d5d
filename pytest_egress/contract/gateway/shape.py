"""The shape of a Gateway, as Istio's CRD (1.31) gives it."""

from __future__ import annotations

from pytest_egress.contract.crds import SERVER_TLS, TEXTS, UINT32, resource
from pytest_egress.contract.schema import List, Map, Obj, Text

__all__ = ["GATEWAY"]

_SERVER = Obj(
    {
        "bind": Text(),
        "defaultEndpoint": Text(),
        "hosts": TEXTS,
        "name": Text(),
        "port": Obj(
            {"name": Text(), "number": UINT32, "protocol": Text(), "targetPort": UINT32},
            required=("number", "protocol", "name"),
        ),
        "tls": SERVER_TLS,
    },
    required=("port", "hosts"),
)
GATEWAY = resource(Obj({"selector": Map(Text()), "servers": List(_SERVER)}))
