"""What ``http`` rules become: matches, actions, their order."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.resources import MeshConfig
from pytest_egress.contract.virtual_service.resource import Retries
from tests.envoy.build import by_name, compiled, entry, mesh, virtual_service

_TO = "route: [{destination: {host: a.example.com}}]"


def routes(rules: str, port: int = 80, mesh: MeshConfig | None = None, **workload: Any) -> Any:
    """The routes of a.example.com on a port under ``http: <rules>``."""
    program = compiled(
        entry("a.example.com", "80/HTTP 8080/HTTP"),
        entry("b.example.com", "80/HTTP"),
        virtual_service(f"{{hosts: [a.example.com], http: {rules}}}"),
        mesh=mesh,
        **workload,
    )
    hosts = by_name(program.routes, str(port))["virtual_hosts"]
    return next(it["routes"] for it in hosts if it["name"] == f"a.example.com:{port}")


def route(fields: str, **more: Any) -> Any:
    """The only route of a rule with those fields."""
    (only,) = routes(f"[{{{fields}}}]", **more)
    return only


@pytest.mark.parametrize(
    ("match", "built"),
    [
        ("{}", {"prefix": "/"}),
        ("{uri: {exact: /a}}", {"path": "/a"}),
        ("{uri: {prefix: /a}}", {"prefix": "/a"}),
        ("{uri: {regex: /a.*}}", {"safe_regex": {"regex": "/a.*"}}),
        (
            "{headers: {x: {exact: v}, a: {}}}",
            {
                "prefix": "/",
                "headers": [
                    {"name": "a", "present_match": True},
                    {"name": "x", "string_match": {"exact": "v"}},
                ],
            },
        ),
        (
            "{withoutHeaders: {x: {prefix: v}, a: {}}}",
            {
                "prefix": "/",
                "headers": [
                    {"name": "a", "present_match": True, "invert_match": True},
                    {
                        "name": "x",
                        "string_match": {"prefix": "v"},
                        "invert_match": True,
                        "treat_missing_header_as_empty": True,
                    },
                ],
            },
        ),
        (
            "{scheme: {exact: http}, authority: {prefix: a}, method: {regex: P.*}}",
            {
                "prefix": "/",
                "headers": [
                    {"name": ":method", "string_match": {"safe_regex": {"regex": "P.*"}}},
                    {"name": ":authority", "string_match": {"prefix": "a"}},
                    {"name": ":scheme", "string_match": {"exact": "http"}},
                ],
            },
        ),
        (
            "{queryParams: {q: {exact: '1'}, a: {}}}",
            {
                "prefix": "/",
                "query_parameters": [
                    {"name": "a", "present_match": True},
                    {"name": "q", "string_match": {"exact": "1"}},
                ],
            },
        ),
    ],
)
def test_match(match: str, built: dict[str, Any]) -> None:
    """Each field has its own place; pseudo headers come after the others."""
    found = routes(f"[{{match: [{match}], {_TO}}}]")[0]["match"]
    assert found == {**built, "case_sensitive": True}


def test_match_without_case() -> None:
    """``ignoreUriCase``; a rule without match says nothing about case."""
    match = route(f"match: [{{uri: {{prefix: /A}}, ignoreUriCase: true}}], {_TO}")["match"]
    assert match == {"prefix": "/A", "case_sensitive": False}
    assert route(_TO)["match"] == {"prefix": "/"}


def test_one_route_per_match_until_one_takes_all() -> None:
    """What comes after a route for every request is left out."""
    rules = f"""[
        {{name: one, match: [{{name: a, uri: {{prefix: /a}}}}, {{uri: {{prefix: /b}}}}], {_TO}}},
        {{name: all, match: [{{uri: {{prefix: /}}}}, {{uri: {{prefix: /c}}}}], {_TO}}},
        {{name: never, {_TO}}}
    ]"""
    assert [it["name"] for it in routes(rules)] == ["one.a", "one", "all"]


@pytest.mark.parametrize(
    ("match", "met"),
    [
        ("port: 80", True),
        ("port: 8080", False),
        ("sourceLabels: {app: web}", True),
        ("sourceLabels: {app: batch}", False),
        ("sourceNamespace: shop", True),
        ("sourceNamespace: other", False),
        ("gateways: [mesh]", True),
        ("gateways: [egress]", False),
        # Named gateways make istiod forget the source.
        ("gateways: [mesh], sourceLabels: {app: batch}, sourceNamespace: other", True),
    ],
)
def test_what_is_known_beforehand_decides_whether_there_is_a_route(match: str, met: bool) -> None:
    """Port, source and gateways are no part of Envoy's match."""
    rules = f"[{{name: special, match: [{{{match}}}], {_TO}}}, {{name: rest, {_TO}}}]"
    found = routes(rules, namespace="shop", labels={"app": "web"})
    assert found[0]["name"] == ("special" if met else "rest")


def test_without_any_route_the_services_own_is_used() -> None:
    """A VirtualService that says nothing about this port is as good as none."""
    assert routes(f"[{{match: [{{port: 8080}}], {_TO}}}]")[0]["name"] == "default"


def test_single_destination() -> None:
    """The port is the listener's unless the destination names one; the operation tells both."""
    found = route(_TO)
    assert found["route"]["cluster"] == "outbound|80||a.example.com"
    assert found["decorator"] == {"operation": "a.example.com:80/*"}
    named = "route: [{destination: {host: b.example.com, subset: v1, port: {number: 9000}}}]"
    found = route(f"match: [{{uri: {{exact: /x}}, statPrefix: st}}], {named}")
    assert found["route"]["cluster"] == "outbound|9000|v1|b.example.com"
    assert found["decorator"] == {"operation": "b.example.com:9000/x"}
    assert found["stat_prefix"] == "st"


def test_weighted_destinations() -> None:
    """Zero weights are left out; the operation names the VirtualService."""
    found = route(
        """route: [
            {destination: {host: a.example.com}, weight: 75},
            {destination: {host: b.example.com}, weight: 25,
             headers: {request: {set: {':authority': c.test, x: '1'}}, response: {remove: [x-y]}}},
            {destination: {host: c.example.com}, weight: 0}]"""
    )
    assert "cluster" not in found["route"]
    assert found["route"]["weighted_clusters"] == {
        "clusters": [
            {"name": "outbound|80||a.example.com", "weight": 75},
            {
                "name": "outbound|80||b.example.com",
                "weight": 25,
                "host_rewrite_literal": "c.test",
                "request_headers_to_add": [
                    {
                        "header": {"key": "x", "value": "1"},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    }
                ],
                "response_headers_to_remove": ["x-y"],
            },
        ]
    }
    assert found["decorator"] == {"operation": "routes:80/*"}


def test_headers() -> None:
    """Those of an only destination come after the rule's; empty values are left out."""
    found = route(
        """headers: {request: {set: {b: '1', a: ''}, add: {c: '2'}, remove: [d]}},
        route: [{destination: {host: a.example.com}, headers: {request: {add: {e: '3'}}}}]"""
    )
    overwrite = {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    assert found["request_headers_to_add"] == [
        {"header": {"key": "a"}, **overwrite},
        {"header": {"key": "b", "value": "1"}, **overwrite},
        {"header": {"key": "c", "value": "2"}},
        {"header": {"key": "e", "value": "3"}},
    ]
    assert found["request_headers_to_remove"] == ["d"]


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ("rewrite: {authority: r.test}", "r.test"),
        ("headers: {request: {set: {host: s.test}}}", "s.test"),
        ("headers: {request: {add: {Host: s.test}}}", "s.test"),
    ],
)
def test_rewritten_authority(fields: str, host: str) -> None:
    """The rule's own goes before that of its destination."""
    assert route(f"{fields}, {_TO}")["route"]["host_rewrite_literal"] == host
    to = (
        "route: [{destination: {host: b.example.com}, "
        "headers: {request: {set: {':authority': d.test}}}}]"
    )
    assert route(to)["route"]["host_rewrite_literal"] == "d.test"
    assert route(f"{fields}, {to}")["route"]["host_rewrite_literal"] == host


def test_rewritten_path() -> None:
    """By prefix or by expression."""
    assert route(f"rewrite: {{uri: /v2}}, {_TO}")["route"]["prefix_rewrite"] == "/v2"
    by_regex = route(f"rewrite: {{uriRegexRewrite: {{match: ^/a, rewrite: /b}}}}, {_TO}")
    assert by_regex["route"]["regex_rewrite"] == {
        "pattern": {"regex": "^/a"},
        "substitution": "/b",
    }


@pytest.mark.parametrize(
    ("fields", "built"),
    [
        ("uri: /x", {"path_redirect": "/x"}),
        ("authority: b.test", {"path_redirect": "", "host_redirect": "b.test"}),
        (
            "scheme: https, redirectCode: 308",
            {
                "path_redirect": "",
                "scheme_redirect": "https",
                "response_code": "PERMANENT_REDIRECT",
            },
        ),
        ("uri: /x, port: 8443", {"path_redirect": "/x", "port_redirect": 8443}),
        ("uri: /x, port: 80", {"path_redirect": "/x"}),
        (
            "uri: /x, port: 443, scheme: https",
            {"path_redirect": "/x", "scheme_redirect": "https"},
        ),
        ("uri: /x, port: 443", {"path_redirect": "/x", "port_redirect": 443}),
        ("uri: /x, derivePort: FROM_REQUEST_PORT", {"path_redirect": "/x"}),
    ],
)
def test_redirect(fields: str, built: dict[str, Any]) -> None:
    """The default port of the scheme is never written out."""
    found = route(f"redirect: {{{fields}}}")
    assert found["redirect"] == built
    assert found["decorator"] == {"operation": "routes:80/*"}


def test_redirect_to_the_port_of_the_request() -> None:
    """The listener's port stands for it."""
    found = route("redirect: {uri: /x, derivePort: FROM_REQUEST_PORT}", port=8080)
    assert found["redirect"]["port_redirect"] == 8080


def test_redirect_by_prefix() -> None:
    """``prefixRewrite`` keeps the rest of the path."""
    rule = "match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /b}"
    assert route(rule)["redirect"] == {"prefix_rewrite": "/b"}


def test_direct_response() -> None:
    """Status alone, with text, with bytes."""
    assert route("directResponse: {status: 503}")["direct_response"] == {"status": 503}
    text = route("directResponse: {status: 418, body: {string: tea}}")
    assert text["direct_response"]["body"] == {"inline_string": "tea"}
    raw = route("directResponse: {status: 200, body: {bytes: aGk=}}")
    assert raw["direct_response"]["body"] == {"inline_bytes": "aGk="}


@pytest.mark.parametrize(
    ("given", "built"), [("", "0s"), ("timeout: 3s", "3s"), ("timeout: 250ms", "0.250s")]
)
def test_timeout(given: str, built: str) -> None:
    """There is none unless the rule has one; it holds for gRPC's own as well."""
    action = route(f"{given}, {_TO}" if given else _TO)["route"]
    assert (action["timeout"], action["max_grpc_timeout"]) == (built, built)


def test_retries() -> None:
    """The rule's, else the mesh's, else istiod's."""
    assert route(_TO)["route"]["retry_policy"]["num_retries"] == 2
    of_mesh = mesh(default_http_retry_policy=Retries(attempts=7))
    assert route(_TO, mesh=of_mesh)["route"]["retry_policy"]["num_retries"] == 7
    own = route(f"retries: {{attempts: 1}}, {_TO}", mesh=of_mesh)
    assert own["route"]["retry_policy"]["num_retries"] == 1
    assert "retry_policy" not in route(f"retries: {{attempts: 0}}, {_TO}")["route"]


@pytest.mark.parametrize(
    ("fault", "built"),
    [
        (
            "{delay: {fixedDelay: 2s, percentage: {value: 0.1}}}",
            {
                "delay": {
                    "fixed_delay": "2s",
                    "percentage": {"numerator": 1000, "denominator": "MILLION"},
                }
            },
        ),
        # Without a percentage nothing is delayed.
        ("{delay: {fixedDelay: 2s}}", {"delay": {"fixed_delay": "2s", "percentage": {}}}),
        (
            "{delay: {fixedDelay: 2s, percent: 40}}",
            {"delay": {"fixed_delay": "2s", "percentage": {"numerator": 40}}},
        ),
        # A negative number wraps around, as a conversion to uint32 does.
        (
            "{delay: {fixedDelay: 2s, percent: -1}}",
            {"delay": {"fixed_delay": "2s", "percentage": {"numerator": 4294967295}}},
        ),
        (
            "{abort: {httpStatus: 503, percentage: {value: 100}}}",
            {
                "abort": {
                    "http_status": 503,
                    "percentage": {"numerator": 1000000, "denominator": "MILLION"},
                }
            },
        ),
        ("{abort: {grpcStatus: UNAVAILABLE}}", {"abort": {"grpc_status": 14}}),
    ],
)
def test_fault(fault: str, built: dict[str, Any]) -> None:
    """The filter is configured per route."""
    settings = route(f"fault: {fault}, {_TO}")["typed_per_filter_config"]
    kind = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
    assert settings == {"envoy.filters.http.fault": {"@type": kind, **built}}


def test_cors() -> None:
    """All fields; the filter is on, and preflights that match nothing are passed on."""
    policy = """{allowOrigins: [{exact: https://o.test}], allowMethods: [GET, PUT],
        allowHeaders: [a], exposeHeaders: [b], maxAge: 90s, allowCredentials: false}"""
    settings = route(f"corsPolicy: {policy}, {_TO}")["typed_per_filter_config"]
    found = dict(settings["envoy.filters.http.cors"])
    assert found.pop("@type").endswith("CorsPolicy")
    assert found == {
        "allow_origin_string_match": [{"exact": "https://o.test"}],
        "allow_methods": "GET,PUT",
        "allow_headers": "a",
        "expose_headers": "b",
        "max_age": "90",
        "allow_credentials": False,
        "filter_enabled": {"default_value": {"numerator": 100}},
        "forward_not_matching_preflights": True,
    }
    ignoring = route(f"corsPolicy: {{unmatchedPreflights: IGNORE}}, {_TO}")
    cors = ignoring["typed_per_filter_config"]["envoy.filters.http.cors"]
    assert cors["forward_not_matching_preflights"] is False


@pytest.mark.parametrize(
    ("fields", "fractions"),
    [
        ("mirror: {host: b.example.com}", [{"numerator": 100}]),
        ("mirror: {host: b.example.com}, mirrorPercent: 20", [{"numerator": 20}]),
        ("mirror: {host: b.example.com}, mirrorPercent: 0", []),
        (
            "mirror: {host: b.example.com}, mirrorPercentage: {value: 50}",
            [{"numerator": 500000, "denominator": "MILLION"}],
        ),
        ("mirror: {host: b.example.com}, mirrorPercentage: {value: 0}", []),
        (
            """mirrors: [{destination: {host: b.example.com}, percentage: {value: 1}},
                {destination: {host: b.example.com}}]""",
            [{"numerator": 10000, "denominator": "MILLION"}, {"numerator": 100}],
        ),
    ],
)
def test_mirrors(fields: str, fractions: list[dict[str, Any]]) -> None:
    """All requests unless a percentage says otherwise; none of them for zero."""
    policies = route(f"{fields}, {_TO}")["route"].get("request_mirror_policies", [])
    assert [it["runtime_fraction"]["default_value"] for it in policies] == fractions
    assert {it["cluster"] for it in policies} <= {"outbound|80||b.example.com"}
