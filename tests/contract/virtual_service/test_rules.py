"""One message for one mistake, where it stands, with the mend."""

from __future__ import annotations

import pytest

from pytest_egress.contract import check, verdict
from tests.contract.virtual_service.samples import ROUTE, document, http_route

IN_HTTP = {
    "misspelt list": ("routes: []", "routes", "schema/unknown-field", 'did you mean "route"?'),
    "a newer field": (
        f"{ROUTE}, rateLimit: {{}}",
        "rateLimit",
        "schema/unknown-field",
        "Istio 1.31 has no such field",
    ),
    "a suffix": (
        f"{ROUTE}, match: [{{uri: {{suffix: x}}}}]",
        "suffix",
        "schema/unknown-field",
        '".*suffix"',
    ),
    "a match that is a text": (
        f"{ROUTE}, match: [{{uri: /x}}]",
        "/x",
        "schema/type",
        "a mapping such as {exact: ...}",
    ),
    "one route instead of a list": (
        "route: {destination: {host: a.b}}",
        "{destination",
        "schema/type",
        "put '- ' before it",
    ),
    "destination left out": (
        "route: [{host: a.b}]",
        "host",
        "schema/unknown-field",
        "it belongs in destination",
    ),
    "a port that is a number": (
        "route: [{destination: {host: a.b, port: 443}}]",
        "443",
        "schema/type",
        "{number: 443}",
    ),
    "two kinds of match": (
        f"{ROUTE}, match: [{{uri: {{exact: a, prefix: b}}}}]",
        "prefix",
        "schema/alternatives",
        "exact and prefix exclude one another",
    ),
    "no timeout": (f"{ROUTE}, timeout: 0s", "0s", "schema/duration", "at least 1ms"),
    "blanks between conditions": (
        f"{ROUTE}, retries: {{attempts: 1, retryOn: '5xx, reset'}}",
        "'5xx",
        "virtual-service/retry-on",
        "no blanks between the conditions",
    ),
    "a condition misspelt": (
        f"{ROUTE}, retries: {{attempts: 1, retryOn: gateway-eror}}",
        "gateway-eror",
        "virtual-service/retry-on",
        'did you mean "gateway-error"?',
    ),
    "retries off": (
        f"{ROUTE}, retries: {{attempts: 0, perTryTimeout: 1s}}",
        "perTryTimeout",
        "virtual-service/retries",
        "no effect with attempts 0",
    ),
    "lookahead": (
        f"{ROUTE}, match: [{{uri: {{regex: '(?!x)'}}}}]",
        "'",
        "virtual-service/regex",
        "negative lookahead is not part of RE2",
    ),
    "an empty prefix": (
        f"{ROUTE}, match: [{{method: {{prefix: ''}}}}]",
        "'",
        "virtual-service/empty-prefix",
        "everything begins with it",
    ),
    "a percent sign": (
        f"{ROUTE}, headers: {{request: {{set: {{a: 50%}}}}}}",
        "50",
        "virtual-service/header-value",
        'a percent sign is "%%"',
    ),
    "the request line": (
        f"{ROUTE}, headers: {{request: {{set: {{':path': a}}}}}}",
        "'",
        "virtual-service/header-name",
        "use rewrite, redirect or match",
    ),
    "host in an answer": (
        f"{ROUTE}, headers: {{response: {{remove: [host]}}}}",
        "host",
        "virtual-service/header-name",
        "cannot be changed here",
    ),
    "authority twice": (
        f"{ROUTE}, rewrite: {{authority: a}}, headers: {{request: {{set: {{host: b}}}}}}",
        "host",
        "virtual-service/authority",
        "in one place only",
    ),
    "redirect and route": (
        f"{ROUTE}, redirect: {{uri: /}}",
        "route",
        "virtual-service/conflict",
        "keep one",
    ),
    "a rewrite of nothing": (
        f"{ROUTE}, rewrite: {{}}",
        "rewrite",
        "virtual-service/rewrite",
        "changes nothing",
    ),
    "a redirect to nowhere": (
        "redirect: {redirectCode: 301}",
        "redirect",
        "virtual-service/redirect",
        "changes nothing",
    ),
    "no redirect": (
        "redirect: {uri: /, redirectCode: 200}",
        "200",
        "virtual-service/redirect",
        "301, 302",
    ),
    "nowhere": ("name: x", "{name", "virtual-service/no-destination", "give route"),
    "no weights": (
        "route: [{destination: {host: a.b}}, {destination: {host: c.d}}]",
        "[",
        "virtual-service/weights",
        "need weights",
    ),
    "negative weight": (
        "route: [{destination: {host: a.b}, weight: -1}]",
        "-1",
        "virtual-service/weight",
        "negative",
    ),
    "no host to lead to": (
        "route: [{destination: {host: '*'}}]",
        "'*",
        "virtual-service/destination",
        "name one",
    ),
    "a port without number": (
        "route: [{destination: {host: a.b, port: {}}}]",
        "port",
        "virtual-service/port",
        "no number",
    ),
    "no name of a subset": (
        "route: [{destination: {host: a.b, subset: v_1}}]",
        "v_1",
        "virtual-service/subset",
        "hyphens",
    ),
    "a fault without anything": (
        f"{ROUTE}, fault: {{}}",
        "fault",
        "virtual-service/fault",
        "give abort or delay",
    ),
    "gRPC in lower case": (
        f"{ROUTE}, fault: {{abort: {{grpcStatus: unavailable}}}}",
        "unavailable",
        "virtual-service/grpc-status",
        'did you mean "UNAVAILABLE"?',
    ),
    "more than everything": (
        f"{ROUTE}, mirrorPercentage: {{value: 101}}",
        "101",
        "virtual-service/percentage",
        "0 to 100",
    ),
    "a claim in the mesh": (
        f"{ROUTE}, match: [{{headers: {{'@request.auth.claims.sub': {{exact: a}}}}}}]",
        "'@request.auth.claims.sub",
        "virtual-service/claim",
        "only gateways read",
    ),
    "no method": (
        f"{ROUTE}, corsPolicy: {{allowMethods: [get]}}",
        "get",
        "virtual-service/cors-method",
        'did you mean "GET"?',
    ),
    "half a second of CORS": (
        f"{ROUTE}, corsPolicy: {{maxAge: 500ms}}",
        "500ms",
        "virtual-service/cors-max-age",
        "whole",
    ),
    "no body": (
        "directResponse: {status: 200, body: {bytes: ''}}",
        "'",
        "virtual-service/body",
        "string",
    ),
    "no status": (
        "directResponse: {status: 99}",
        "99",
        "virtual-service/status",
        "200 to 599",
    ),
    "a route beside a delegate": (
        f"{ROUTE}, delegate: {{name: x}}",
        "route",
        "virtual-service/delegate",
        "the delegate decides",
    ),
}


@pytest.mark.parametrize(("fields", "at", "rule", "words"), IN_HTTP.values(), ids=list(IN_HTTP))
def test_a_mistake_in_an_http_route(fields: str, at: str, rule: str, words: str) -> None:
    """One error each, in line 7."""
    text = http_route(fields)
    errors = [it for it in check(text) if it.severity == "error"]
    first = next(it for it in errors if it.rule == rule)
    assert words in first.message
    assert first.position.line == 7
    assert text.splitlines()[6][first.position.column - 1 :].startswith(at), str(first)
    assert {it.rule for it in errors} <= {rule, "schema/required"}


ELSEWHERE = {
    "snake case": (
        f"hosts: [a.b]\ntls:\n- match: [{{sni_hosts: [a.b], port: 443}}]\n  {ROUTE}",
        7,
        "sni_hosts",
        "schema/unknown-field",
        'did you mean "sniHosts"?',
    ),
    "upper case": (f"hosts: [a.b]\nHTTP:\n- {ROUTE}", 6, "HTTP", "schema/unknown-field", '"http"'),
    "host instead of hosts": (
        f"host: a.b\ngateways: [x]\nhttp:\n- {ROUTE}",
        5,
        "host",
        "schema/unknown-field",
        "a list?",
    ),
    "no routes": ("hosts: [a.b]", 4, "spec", "virtual-service/no-routes", "give http, tls or tcp"),
    "everything": (
        f"hosts: ['*']\nhttp:\n- {ROUTE}",
        5,
        "'*",
        "virtual-service/host-wildcard",
        "*.example.com",
    ),
    "a URL": (
        f"hosts: [https://a.b/x]\nhttp:\n- {ROUTE}",
        5,
        "https",
        "virtual-service/host",
        "bare host",
    ),
    "one host twice": (
        f"hosts: [a.b, '*.b']\nhttp:\n- {ROUTE}",
        5,
        "'*.b",
        "virtual-service/host-duplicate",
        '"*.b" overlaps with "a.b"',
    ),
    "a delegate with a gateway": (
        f"gateways: [x]\nhttp:\n- {ROUTE}",
        5,
        "gateways",
        "virtual-service/delegate",
        "give hosts",
    ),
    "a delegate that delegates": (
        "http:\n- delegate: {name: x}",
        6,
        "delegate",
        "virtual-service/delegate",
        "in turn",
    ),
    "a server name of another": (
        f"hosts: [a.b]\ntls:\n- match: [{{sniHosts: [c.d]}}]\n  {ROUTE}",
        7,
        "c.d",
        "virtual-service/sni-host",
        "not one of the hosts (a.b)",
    ),
    "no server name": (
        f"hosts: [a.b]\ntls:\n- match: [{{sniHosts: []}}]\n  {ROUTE}",
        7,
        "[",
        "virtual-service/sni-hosts",
        "at least one",
    ),
    "tls without destination": (
        "hosts: [a.b]\ntls:\n- match: [{sniHosts: [a.b]}]",
        7,
        "match",
        "virtual-service/no-destination",
        "needs a destination",
    ),
    "no network": (
        f"hosts: [a.b]\ntcp:\n- match: [{{destinationSubnets: [10.0.0.0/99]}}]\n  {ROUTE}",
        7,
        "10.0.0.0/99",
        "virtual-service/subnet",
        "CIDR",
    ),
    "exported to no one": (
        f"hosts: [a.b]\nexportTo: ['~']\nhttp:\n- {ROUTE}",
        6,
        "'",
        "virtual-service/export-to",
        '"*" or a namespace',
    ),
    "no gateway": (
        f"hosts: [a.b]\ngateways: [infra/a_b]\nhttp:\n- {ROUTE}",
        6,
        "infra/a_b",
        "virtual-service/gateway",
        "behind the slash",
    ),
}


@pytest.mark.parametrize(
    ("spec", "line", "at", "rule", "words"), ELSEWHERE.values(), ids=list(ELSEWHERE)
)
def test_a_mistake_elsewhere(spec: str, line: int, at: str, rule: str, words: str) -> None:
    """One error each."""
    text = document(spec)
    errors = [it for it in check(text) if it.severity == "error"]
    first = next(it for it in errors if it.rule == rule)
    assert words in first.message
    assert first.position.line == line
    assert text.splitlines()[line - 1][first.position.column - 1 :].startswith(at), str(first)
    assert {it.rule for it in errors} <= {rule, "schema/required"}


WARNED = {
    "behind a catch-all": (
        f"http:\n- {ROUTE}\n- match: [{{uri: {{exact: /}}}}]\n  {ROUTE}",
        8,
        "match",
        "virtual-service/unreachable",
        "the route at <string>:7:5 has no match",
    ),
    "the same match again": (
        f"http:\n- {ROUTE}\n  match: [{{uri: {{exact: /}}}}, {{uri: {{exact: /}}, name: a}}]",
        8,
        "{uri",
        "virtual-service/duplicate-match",
        "<string>:8:13 matches the same",
    ),
    "a longer prefix later": (
        f"http:\n- {ROUTE}\n  match: [{{uri: {{prefix: /a}}}}, {{uri: {{prefix: /ab}}}}]",
        8,
        "{uri",
        "virtual-service/covered-match",
        'prefix "/a" at <string>:8:13',
    ),
    "an address as server name": (
        f"tls:\n- match: [{{sniHosts: [192.0.2.1]}}]\n  {ROUTE}",
        7,
        "192.0.2.1",
        "virtual-service/sni-address",
        "clients do not send",
    ),
    "an old gateway": (
        f"gateways: [gw.infra.svc.cluster.local]\nhttp:\n- {ROUTE}",
        6,
        "gw.infra.svc.cluster.local",
        "virtual-service/gateway-legacy",
        "write infra/gw",
    ),
    "an old percentage": (
        f"http:\n- {ROUTE}\n  mirror_percent: 5",
        8,
        "mirror_percent",
        "virtual-service/mirror-percent",
        "mirrorPercentage: {value: ...}",
    ),
    "a large body": (
        f"http:\n- directResponse: {{status: 200, body: {{string: {'x' * 102401}}}}}",
        7,
        "{string",
        "virtual-service/body",
        "burdens istiod",
    ),
}


@pytest.mark.parametrize(("spec", "line", "at", "rule", "words"), WARNED.values(), ids=list(WARNED))
def test_what_istiod_warns_of(spec: str, line: int, at: str, rule: str, words: str) -> None:
    """One warning each, lint left out."""
    text = document(f"hosts: [a.b]\n{spec}")
    problems = [it for it in check(text) if not it.rule.startswith("lint/")]
    assert verdict(problems) == "warned"
    assert [it.rule for it in problems] == [rule]
    assert words in problems[0].message
    place = problems[0].position
    assert place.line == line
    assert text.splitlines()[line - 1][place.column - 1 :].startswith(at), str(problems[0])
