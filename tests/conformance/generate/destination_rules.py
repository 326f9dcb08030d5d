"""DestinationRules: traffic policies for what the contract declares, by port and by subset."""

from __future__ import annotations

from tests.conformance.generate.drawing import Choices, Json
from tests.conformance.generate.names import (
    EXACT_HOSTS,
    LABELS,
    SUBSETS,
    WILD_HOSTS,
    export_to,
    resource,
)

__all__ = ["connection_pool", "destination_rule", "outlier_detection", "tcp_keepalive"]

_SIMPLE = ("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "PASSTHROUGH", "LEAST_CONN", "UNSPECIFIED")
_HASH_KEYS: tuple[Json, ...] = (
    {"httpHeaderName": "x-user"},
    {"useSourceIp": True},
    {"httpQueryParameterName": "q"},
    {"httpCookie": {"name": "c", "ttl": "10s"}},
    {"httpCookie": {"name": "c", "path": "/p", "ttl": "0s"}},
)
_HASH_SIZES: tuple[Json, ...] = (
    {},
    {"ringHash": {"minimumRingSize": 2048}},
    {"ringHash": {}},
    {"maglev": {"tableSize": 65537}},
    {"minimumRingSize": 512},
)
_SANS = (["san.example.com"], ["a.example.com", "b.example.com"])


def destination_rule(choices: Choices, index: int, hosts: list[str], ports: list[int]) -> Json:
    """A rule for one host of the contract, or for a wildcard over several."""
    spec: Json = {"host": choices.one([*hosts, *hosts, *WILD_HOSTS, choices.one(EXACT_HOSTS)])}
    if choices.chance(80):
        spec["trafficPolicy"] = _policy(choices, ports)
    if choices.chance(35) or "trafficPolicy" not in spec:
        subsets = []
        for name in choices.some(SUBSETS, 1, 2):
            subset: Json = {"name": name}
            choices.maybe(80, subset, "labels", LABELS)
            if choices.chance(40):
                subset["trafficPolicy"] = _policy(choices, ports)
            subsets.append(subset)
        spec["subsets"] = subsets
    if choices.chance(15):
        spec["workloadSelector"] = {"matchLabels": choices.one(LABELS)}
        choices.maybe(30, spec, "exportTo", (["."],))
    else:
        export_to(choices, spec, nobody=False)
    return resource(choices, "DestinationRule", index, spec)


def _policy(choices: Choices, ports: list[int]) -> Json:
    policy = _blocks(choices)
    if choices.chance(30):
        several = choices.some(list(dict.fromkeys(ports)), 1, 2)
        settings = [{"port": {"number": port}, **_blocks(choices)} for port in several]
        policy["portLevelSettings"] = settings
    if choices.chance(8):
        policy["tunnel"] = {"targetHost": "tunnel.example.com", "targetPort": 8443}
        choices.maybe(50, policy["tunnel"], "protocol", ("CONNECT", "POST"))
    elif choices.chance(8):
        policy["proxyProtocol"] = choices.one(({"version": "V1"}, {"version": "V2"}, {}))
    if choices.chance(10):
        budget: Json = {}
        choices.maybe(60, budget, "percent", (25.5, 0, 100))
        choices.maybe(60, budget, "minRetryConcurrency", (5, 0))
        policy["retryBudget"] = budget
    return policy


def _blocks(choices: Choices) -> Json:
    """The blocks that a port may have of its own; at least one."""
    found: Json = {}
    if choices.chance(40):
        found["connectionPool"] = connection_pool(choices)
    if choices.chance(30):
        found["outlierDetection"] = outlier_detection(choices)
    if choices.chance(40):
        found["loadBalancer"] = _load_balancer(choices)
    if choices.chance(40) or not found:
        found["tls"] = _tls(choices)
    return found


def connection_pool(choices: Choices) -> Json:
    """A ``connectionPool`` block."""
    tcp: Json = {}
    choices.maybe(40, tcp, "maxConnections", (1, 100))
    choices.maybe(40, tcp, "connectTimeout", ("1s", "30ms", "10s"))
    choices.maybe(20, tcp, "idleTimeout", ("1h", "30s", "0s"))
    choices.maybe(20, tcp, "maxConnectionDuration", ("5m",))
    if choices.chance(25):
        tcp["tcpKeepalive"] = tcp_keepalive(choices)
    http: Json = {}
    choices.maybe(30, http, "http1MaxPendingRequests", (1, 1024))
    choices.maybe(30, http, "http2MaxRequests", (1, 1000))
    choices.maybe(30, http, "maxRequestsPerConnection", (1, 10))
    choices.maybe(20, http, "maxRetries", (1, 3))
    choices.maybe(20, http, "idleTimeout", ("15s",))
    choices.maybe(20, http, "maxConcurrentStreams", (10,))
    if choices.chance(20):
        http["h2UpgradePolicy"] = choices.one(("UPGRADE", "DO_NOT_UPGRADE", "DEFAULT"))
    elif choices.chance(20):
        http["useClientProtocol"] = True
    if choices.chance(10):
        http["http2KeepAlive"] = {"interval": "30s", "timeout": "5s"}
    found = {name: block for name, block in (("tcp", tcp), ("http", http)) if block}
    return found or {"tcp": {"maxConnections": 1}}


def tcp_keepalive(choices: Choices) -> Json:
    """A ``tcpKeepalive`` block."""
    found: Json = {}
    choices.maybe(60, found, "probes", (3, 9))
    choices.maybe(60, found, "time", ("7200s", "10s"))
    choices.maybe(60, found, "interval", ("75s",))
    return found


def outlier_detection(choices: Choices) -> Json:
    """An ``outlierDetection`` block."""
    found: Json = {}
    choices.maybe(40, found, "consecutive5xxErrors", (7, 0, 1))
    choices.maybe(30, found, "consecutiveGatewayErrors", (5, 0))
    choices.maybe(5, found, "consecutiveErrors", (4,))
    choices.maybe(40, found, "interval", ("5s", "1m"))
    choices.maybe(40, found, "baseEjectionTime", ("15s",))
    choices.maybe(40, found, "maxEjectionPercent", (100, 50))
    choices.maybe(20, found, "minHealthPercent", (50, 0))
    if choices.chance(20):
        found["splitExternalLocalOriginErrors"] = True
        choices.maybe(60, found, "consecutiveLocalOriginFailures", (3, 0))
    return found


def _load_balancer(choices: Choices) -> Json:
    found: Json = {}
    if choices.chance(35):
        found["consistentHash"] = {**choices.one(_HASH_KEYS), **choices.one(_HASH_SIZES)}
    elif choices.chance(80):
        found["simple"] = choices.one(_SIMPLE)
    if choices.chance(20):
        found["localityLbSetting"] = _locality(choices)
    if choices.chance(15) and found.get("simple") in {"ROUND_ROBIN", "LEAST_REQUEST"}:
        warmup: Json = {"duration": "30s"}
        choices.maybe(50, warmup, "minimumPercent", (20, 0))
        choices.maybe(50, warmup, "aggression", (1.5, 2))
        found["warmup"] = warmup
    return found or {"simple": "ROUND_ROBIN"}


def _locality(choices: Choices) -> Json:
    return choices.one(
        (
            {"enabled": False},
            {"enabled": True},
            {"distribute": [{"from": "region1/*", "to": {"region1/*": 80, "region2/*": 20}}]},
            {"failover": [{"from": "region1", "to": "region2"}]},
            {"failoverPriority": ["topology.kubernetes.io/region"]},
        )
    )


def _tls(choices: Choices) -> Json:
    mode = choices.weighted((("SIMPLE", 6), ("DISABLE", 2), ("MUTUAL", 2), ("ISTIO_MUTUAL", 2)))
    found: Json = {"mode": mode}
    if mode == "DISABLE":
        return found
    choices.maybe(40, found, "sni", ("sni.example.com",))
    if mode == "ISTIO_MUTUAL":
        return found
    if mode == "MUTUAL":
        found |= {"clientCertificate": "/etc/certs/client.pem", "privateKey": "/etc/certs/key.pem"}
    if choices.chance(15):
        found["insecureSkipVerify"] = True
        return found
    choices.maybe(40, found, "subjectAltNames", _SANS)
    choices.maybe(30, found, "caCertificates", ("/etc/certs/ca.pem", "system"))
    choices.maybe(8, found, "insecureSkipVerify", (False,))
    if mode == "SIMPLE" and "caCertificates" not in found and choices.chance(15):
        found["credentialName"] = "secret"
    return found
