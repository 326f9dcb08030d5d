"""VirtualServices: HTTP, TLS and TCP routes for what the contract declares, and delegates."""

from __future__ import annotations

from tests.conformance.generate.drawing import Choices, Json
from tests.conformance.generate.names import (
    EXACT_HOSTS,
    LABELS,
    NAMESPACES,
    PORTS,
    SUBSETS,
    WILD_HOSTS,
    export_to,
    inside,
    resource,
    some_namespace,
)

__all__ = ["virtual_services"]

_URIS: tuple[Json, ...] = (
    {"prefix": "/"},
    {"prefix": "/v1"},
    {"exact": "/exact"},
    {"regex": "/r/[0-9]+"},
    {"regex": ".*"},
    {"prefix": "/old/"},
    {"prefix": ""},
)
_TEXTS: tuple[Json, ...] = ({"exact": "yes"}, {"prefix": "ann"}, {"regex": "a.*"})
_OPERATIONS: tuple[Json, ...] = (
    {"set": {"x-set": "1"}},
    {"add": {"x-add": "%DOWNSTREAM_REMOTE_ADDRESS%"}},
    {"remove": ["x-user", "x-gone"]},
    {"set": {"x-b": "2", "x-a": "1"}, "add": {"x-d": "4", "x-c": "3"}, "remove": ["x-e"]},
)
_SUBNETS = ("240.1.0.0/24", "240.2.0.0/16", "10.9.0.9", "203.0.113.0/24")


def virtual_services(choices: Choices, hosts: list[str], ports: list[int]) -> list[Json]:
    """Some VirtualServices for hosts and ports of the contract, with the delegates they name."""
    found: list[Json] = []
    for index in range(choices.number(1, 3)):
        namespace = some_namespace(choices)
        spec: Json = {"hosts": _hosts(choices, hosts)}
        if choices.chance(20):
            spec["gateways"] = choices.one((["mesh"], ["mesh", "eg"], ["eg"], ["shop/eg"]))
        export_to(choices, spec, nobody=False)
        delegated = choices.chance(10)
        if choices.chance(75) or delegated:
            spec["http"] = _https(choices, hosts, ports, "delegate" if delegated else "")
        if choices.chance(25):
            spec["tls"] = [
                _tls(choices, spec["hosts"], hosts, ports) for _ in range(choices.number(1, 2))
            ]
        if choices.chance(20) or not {"http", "tls"} & spec.keys():
            spec["tcp"] = [_tcp(choices, hosts, ports) for _ in range(choices.number(1, 2))]
        found.append(resource(choices, "VirtualService", index, spec, namespace))
        if delegated:
            rules: Json = {"http": _https(choices, hosts, ports, "")}
            export_to(choices, rules, nobody=False)
            delegate = resource(choices, "VirtualService", index, rules, namespace)
            delegate["metadata"]["name"] = "delegate"
            if not any(it["metadata"]["name"] == "delegate" for it in found):
                found.append(delegate)
    return found


def _hosts(choices: Choices, hosts: list[str]) -> list[str]:
    """Hosts of which none covers another: one VirtualService may not have such."""
    wild = [host for host in (*hosts, *WILD_HOSTS) if host.startswith("*")]
    if choices.chance(20):
        return [choices.one(wild)]
    others = EXACT_HOSTS if choices.chance(30) else EXACT_HOSTS[:1]
    exact = [host for host in (*hosts, *others) if not host.startswith("*")]
    several = choices.some(list(dict.fromkeys(exact)), 1, 2)
    return [*several, "short"] if choices.chance(3) else several


def _destination(choices: Choices, hosts: list[str], ports: list[int]) -> Json:
    candidates = [*hosts, *hosts, choices.one(EXACT_HOSTS), "nobody.example.net", "short"]
    found: Json = {"host": choices.one(candidates)}
    if choices.chance(65):
        found["port"] = {"number": choices.one([*ports, choices.one(PORTS)])}
    choices.maybe(20, found, "subset", SUBSETS)
    return found


def _routes(choices: Choices, hosts: list[str], ports: list[int], *, http: bool) -> list[Json]:
    if not choices.chance(25):
        route: Json = {"destination": _destination(choices, hosts, ports)}
        if http and choices.chance(10):
            route["headers"] = _headers(choices)
        choices.maybe(10, route, "weight", (100, 1, 0))
        return [route]
    found = []
    for weight in choices.one(((70, 30), (50, 50), (1, 0), (20, 30, 50), (3, 1))):
        route = {"destination": _destination(choices, hosts, ports), "weight": weight}
        if http and choices.chance(15):
            route["headers"] = _headers(choices)
        found.append(route)
    return found


def _https(choices: Choices, hosts: list[str], ports: list[int], delegate: str) -> list[Json]:
    count = choices.number(1, 3)
    rules = [_http(choices, hosts, ports, last=i == count - 1) for i in range(count)]
    if delegate:
        rule: Json = {"delegate": {"name": delegate}}
        choices.maybe(30, rule["delegate"], "namespace", NAMESPACES)
        if choices.chance(60):
            rule["match"] = [{"uri": choices.one(({"prefix": "/v1"}, {"prefix": "/"}))}]
        choices.maybe(20, rule, "timeout", ("5s",))
        rules.insert(choices.number(0, len(rules)), rule)
    return rules


def _http(choices: Choices, hosts: list[str], ports: list[int], *, last: bool) -> Json:
    rule: Json = {}
    choices.maybe(25, rule, "name", ("first", "second"))
    if choices.chance(35 if last else 90):
        rule["match"] = [_match(choices, ports) for _ in range(choices.number(1, 2))]
    action = choices.weighted((("route", 14), ("redirect", 2), ("directResponse", 2)))
    if action == "redirect":
        rule["redirect"] = _redirect(choices)
    elif action == "directResponse":
        rule["directResponse"] = {"status": choices.one((200, 403, 503))}
        choices.maybe(50, rule["directResponse"], "body", ({"string": "no"}, {"bytes": "bm8="}))
    else:
        rule["route"] = _routes(choices, hosts, ports, http=True)
        _route_options(choices, rule, hosts, ports)
    if choices.chance(15):
        rule["headers"] = _headers(choices)
    if choices.chance(8):
        rule["corsPolicy"] = _cors(choices)
    return rule


def _route_options(choices: Choices, rule: Json, hosts: list[str], ports: list[int]) -> None:
    if choices.chance(20):
        rule["timeout"] = choices.duration()
    if choices.chance(25):
        rule["retries"] = _retries(choices)
    if choices.chance(15):
        rule["rewrite"] = choices.one(
            (
                {"uri": "/new"},
                {"authority": "other.example.com"},
                {"uri": "/", "authority": "b.example.com"},
                {"uriRegexRewrite": {"match": "/old/(.*)", "rewrite": r"/new/\1"}},
            )
        )
    if choices.chance(12):
        rule["fault"] = _fault(choices)
    if choices.chance(15):
        old = choices.chance(50)
        if old:
            rule["mirror"] = _destination(choices, hosts, ports)
            choices.maybe(50, rule, "mirrorPercentage", ({"value": 50}, {"value": 0}, {}))
        else:
            mirrors = []
            for _ in range(choices.number(1, 2)):
                mirror: Json = {"destination": _destination(choices, hosts, ports)}
                choices.maybe(50, mirror, "percentage", ({"value": 12.5}, {"value": 0}))
                mirrors.append(mirror)
            rule["mirrors"] = mirrors


def _match(choices: Choices, ports: list[int]) -> Json:
    found: Json = {}
    choices.maybe(60, found, "uri", _URIS)
    choices.maybe(15, found, "ignoreUriCase", (True,))
    choices.maybe(12, found, "method", ({"exact": "GET"}, {"regex": "P.*"}))
    choices.maybe(6, found, "scheme", ({"exact": "http"}, {"prefix": "ht"}))
    choices.maybe(8, found, "authority", ({"exact": "a.example.com"}, {"prefix": "a."}))
    if choices.chance(20):
        found["headers"] = {
            name: choices.one((*_TEXTS, {}))
            for name in choices.some(("x-canary", "x-user", ":method"), 1, 2)
        }
    if choices.chance(12):
        found["withoutHeaders"] = {
            name: choices.one((*_TEXTS, {"regex": "*"}, {}))
            for name in choices.some(("x-canary", "x-user"), 1, 2)
        }
    if choices.chance(12):
        found["queryParams"] = {
            name: choices.one(({"exact": "1"}, {"prefix": "2"}, {"regex": "1|2"}, {}))
            for name in choices.some(("q", "b"), 1, 2)
        }
    choices.maybe(15, found, "port", ports)
    choices.maybe(12, found, "sourceLabels", LABELS)
    choices.maybe(10, found, "sourceNamespace", NAMESPACES)
    choices.maybe(10, found, "gateways", (["mesh"], ["eg"], ["eg", "mesh"]))
    choices.maybe(5, found, "statPrefix", ("mine",))
    choices.maybe(10, found, "name", ("matched",))
    return found


def _redirect(choices: Choices) -> Json:
    found: Json = {}
    choices.maybe(60, found, "uri", ("/elsewhere", "/x?y=1"))
    choices.maybe(50, found, "authority", ("other.example.com",))
    choices.maybe(30, found, "scheme", ("https", "http"))
    choices.maybe(40, found, "redirectCode", (301, 302, 303, 307, 308))
    if choices.chance(20):
        found["port"] = choices.one((80, 443, 8443))
    elif choices.chance(20):
        found["derivePort"] = choices.one(("FROM_REQUEST_PORT", "FROM_PROTOCOL_DEFAULT"))
    if not found.keys() & {"uri", "authority", "scheme", "port"}:
        found["uri"] = "/elsewhere"
    return found


def _headers(choices: Choices) -> Json:
    found: Json = {}
    choices.maybe(70, found, "request", _OPERATIONS)
    choices.maybe(50, found, "response", _OPERATIONS)
    if choices.chance(8):
        found["request"] = {"set": {choices.one(("host", ":authority", "Host")): "set.example.com"}}
    return found


def _retries(choices: Choices) -> Json:
    attempts = choices.one((2, 1, 5, 0))
    found: Json = {"attempts": attempts}
    if attempts:
        if choices.chance(40):
            found["perTryTimeout"] = choices.duration()
        options = ("5xx", "503,connect-failure", "gateway-error,reset,retriable-4xx", "unavailable")
        choices.maybe(50, found, "retryOn", options)
        choices.maybe(20, found, "retryRemoteLocalities", (True, False))
        choices.maybe(20, found, "retryIgnorePreviousHosts", (True, False))
        choices.maybe(20, found, "backoff", ("25ms", "1s"))
    return found


def _fault(choices: Choices) -> Json:
    found: Json = {}
    percentages: tuple[Json, ...] = ({"value": 100}, {"value": 0.5}, {})
    if choices.chance(60):
        found["delay"] = {"fixedDelay": choices.duration()}
        choices.maybe(70, found["delay"], "percentage", percentages)
    if choices.chance(60) or not found:
        found["abort"] = choices.one(({"httpStatus": 503}, {"grpcStatus": "UNAVAILABLE"}))
        found["abort"] = dict(found["abort"])
        choices.maybe(70, found["abort"], "percentage", percentages)
    return found


def _cors(choices: Choices) -> Json:
    found: Json = {"allowOrigins": [{"exact": "https://a.example"}]}
    choices.maybe(30, found, "allowOrigins", ([{"prefix": "https://"}], [{"regex": "h.*"}]))
    choices.maybe(50, found, "allowMethods", (["GET", "POST"],))
    choices.maybe(40, found, "allowHeaders", (["x-a", "x-b"],))
    choices.maybe(40, found, "exposeHeaders", (["x-c"],))
    choices.maybe(40, found, "maxAge", ("24h", "1s"))
    choices.maybe(40, found, "allowCredentials", (True, False))
    choices.maybe(20, found, "unmatchedPreflights", ("FORWARD", "IGNORE"))
    return found


def _tls(choices: Choices, own: list[str], hosts: list[str], ports: list[int]) -> Json:
    matches = []
    for _ in range(choices.number(1, 2)):
        match: Json = {"sniHosts": [inside(host) for host in choices.some(own, 1, 2)]}
        if choices.chance(50):
            match["sniHosts"] = choices.some(own, 1, 2)
        _opaque_match(choices, match, ports)
        matches.append(match)
    return {"match": matches, "route": _routes(choices, hosts, ports, http=False)}


def _tcp(choices: Choices, hosts: list[str], ports: list[int]) -> Json:
    rule: Json = {"route": _routes(choices, hosts, ports, http=False)}
    if choices.chance(60):
        rule["match"] = []
        for _ in range(choices.number(1, 2)):
            match: Json = {}
            _opaque_match(choices, match, ports)
            rule["match"].append(match)
    return rule


def _opaque_match(choices: Choices, match: Json, ports: list[int]) -> None:
    choices.maybe(40, match, "port", ports)
    choices.maybe(15, match, "sourceLabels", LABELS)
    choices.maybe(10, match, "sourceNamespace", NAMESPACES)
    choices.maybe(10, match, "gateways", (["mesh"], ["eg"]))
    if choices.chance(20):
        match["destinationSubnets"] = choices.some(_SUBNETS, 1, 2)
