"""An egress gateway: its pods, Gateways for it, and routes to it and on from it."""

from __future__ import annotations

from typing import Any

from tests.conformance.generate.drawing import Choices, Json
from tests.conformance.generate.names import (
    GATEWAY_SERVICE,
    export_to,
    inside,
    resource,
    some_namespace,
)

__all__ = ["ROUTER", "gateway_objects"]

#: What the oracle is to be told of the gateway's pod, for its own configuration.
ROUTER: Json = {
    "type": "router",
    "namespace": "istio-system",
    "name": "egw.istio-system",
    "ips": ["127.0.0.8"],
    "labels": {"istio": "egressgateway"},
}
_LABELS = {"istio": "egressgateway"}
_PORTS = {"http2": (80, 8080), "https": (443, 8443), "tcp": (5432, 5432)}
_FILES = {"serverCertificate": "/etc/certs/c.pem", "privateKey": "/etc/certs/k.pem"}
# Not AUTO_PASSTHROUGH, which is refused by name: it serves other clusters of the mesh.
_TLS: tuple[tuple[str, Json], ...] = (
    ("TLS", {"mode": "PASSTHROUGH"}),
    ("HTTPS", {"mode": "SIMPLE", **_FILES}),
    ("HTTPS", {"mode": "MUTUAL", **_FILES, "caCertificates": "/etc/certs/ca.pem"}),
    ("HTTPS", {"mode": "ISTIO_MUTUAL"}),
    ("TLS", {"mode": "ISTIO_MUTUAL"}),
    ("TLS", {"mode": "SIMPLE", **_FILES}),
    ("HTTPS", {"mode": "SIMPLE", "credentialName": "secret"}),
)


def gateway_objects(choices: Choices, hosts: list[str]) -> list[Json]:
    """All of it, for some of the hosts of the contract."""
    found = _pods()
    names = []
    for index in range(choices.number(1, 2)):
        servers = [_server(choices, hosts, i) for i in range(choices.number(1, 3))]
        gateway = resource(choices, "Gateway", index, {"selector": _LABELS, "servers": servers})
        namespace, name = gateway["metadata"]["namespace"], gateway["metadata"]["name"]
        names.append(f"{namespace}/{name}")
        found.append(gateway)
    for index, host in enumerate(choices.some(hosts, 1, 2)):
        found.append(_routes(choices, host, names, index))
    return found


def _pods() -> list[Json]:
    """The gateway's Service and its one pod."""

    def meta(name: str, **labels: str) -> Json:
        return {"name": name, "namespace": "istio-system", "labels": labels}

    ports = [
        {"name": name, "port": port, "targetPort": target, "protocol": "TCP"}
        for name, (port, target) in _PORTS.items()
    ]
    targets = [
        {"name": name, "port": target, "protocol": "TCP"} for name, (_, target) in _PORTS.items()
    ]
    pod = {"kind": "Pod", "name": "egw", "namespace": "istio-system"}
    ready: list[Any] = [{"type": "Ready", "status": "True"}]
    endpoint = {"addresses": ROUTER["ips"], "conditions": {"ready": True}, "targetRef": pod}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta("istio-egressgateway", **_LABELS),
            "spec": {"clusterIP": "10.96.0.10", "selector": _LABELS, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": meta("egw-1", **{"kubernetes.io/service-name": "istio-egressgateway"}),
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": targets,
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": meta("egw", **_LABELS),
            "spec": {"containers": [{"name": "p", "image": "p"}]},
            "status": {"podIP": ROUTER["ips"][0], "phase": "Running", "conditions": ready},
        },
    ]


def _server(choices: Choices, hosts: list[str], index: int) -> Json:
    kind = choices.one(("http", "tls", "tcp"))
    if kind == "http":
        number, protocol, tls = 80, choices.one(("HTTP", "HTTP2", "GRPC")), None
    elif kind == "tcp":
        number, protocol, tls = 5432, "TCP", None
    else:
        number = 443
        protocol, tls = choices.one(_TLS)
    served = choices.some([*hosts, "*"], 1, 2)
    if choices.chance(30):
        namespace = choices.one(("*", ".", some_namespace(choices)))
        served = [f"{namespace}/{host}" for host in served]
    server: Json = {
        "port": {"number": number, "name": f"{protocol.lower()}-{index}", "protocol": protocol},
        "hosts": served,
    }
    if tls:
        server["tls"] = tls
    elif kind == "http" and choices.chance(15):
        server["tls"] = {"httpsRedirect": True}
    choices.maybe(8, server, "bind", ("127.0.0.8",))
    return server


def _routes(choices: Choices, host: str, gateways: list[str], index: int) -> Json:
    """From the mesh to the gateway, and from the gateway to the host."""
    own = choices.some(gateways, 1, 2)

    def to(name: str, port: int) -> list[Json]:
        return [{"destination": {"host": name, "port": {"number": port}}}]

    ways = [
        (["mesh"], to(GATEWAY_SERVICE, 80), to(GATEWAY_SERVICE, 443)),
        (own, to(host, choices.one((80, 443))), to(host, 443)),
    ]
    spec: Json = {"hosts": [host], "gateways": ["mesh", *own]}
    export_to(choices, spec, nobody=False)
    if choices.chance(75):
        spec["http"] = []
        for via, plain, _ in ways:
            match: Json = {"gateways": via}
            choices.maybe(40, match, "port", (80, 443))
            choices.maybe(30, match, "uri", ({"prefix": "/v1"}, {"exact": "/exact"}))
            rule: Json = {"match": [match], "route": plain}
            choices.maybe(20, rule, "timeout", ("5s",))
            choices.maybe(20, rule, "rewrite", ({"uri": "/new"}, {"authority": "b.example.com"}))
            spec["http"].append(rule)
    if choices.chance(50) or "http" not in spec:
        spec["tls"] = [
            {
                "match": [{"gateways": via, "port": 443, "sniHosts": [inside(host)]}],
                "route": opaque,
            }
            for via, _, opaque in ways
        ]
    if choices.chance(15):
        match = {"gateways": own, "port": 5432}
        spec["tcp"] = [{"match": [match], "route": to(host, 5432)}]
    routes = resource(choices, "VirtualService", index, spec, some_namespace(choices))
    routes["metadata"]["name"] = f"egress-{index}"
    return routes
