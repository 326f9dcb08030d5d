"""A VirtualService with every field of the API, as a typed resource."""

from __future__ import annotations

import subprocess
import sys

from pytest_egress.contract.duration import SECOND
from pytest_egress.contract.position import Position
from pytest_egress.contract.virtual_service.resource import (
    Abort,
    CorsPolicy,
    Delay,
    Delegate,
    Destination,
    DirectResponse,
    Fault,
    HeaderOperations,
    Headers,
    HttpMatch,
    HttpRoute,
    HttpRouteDestination,
    L4Match,
    Mirror,
    Redirect,
    RegexRewrite,
    Retries,
    Rewrite,
    RouteDestination,
    StringMatch,
    TcpRoute,
    TlsMatch,
    TlsRoute,
)
from tests.contract.virtual_service.samples import ROUTE, document, http_route, load_one

HTTP = """\
hosts: [api.weather.example, "*.shop.example"]
gateways: [mesh, infra/egress]
exportTo: [.]
http:
- name: first
  match:
  - name: m
    uri: {prefix: ""}
    scheme: {exact: https}
    method: {regex: GET|HEAD}
    authority: {}
    headers: {x-user: {exact: ""}, x-any: {}}
    withoutHeaders: {x-bot: {regex: "*"}}
    queryParams: {q: {prefix: a}}
    ignoreUriCase: true
    port: 80
    sourceLabels: {app: web}
    sourceNamespace: shop
    gateways: [mesh]
    statPrefix: s
  route:
  - destination: {host: api.weather.example, subset: v1, port: {number: 443}}
    weight: 90
    headers: {request: {set: {host: a}}}
  - destination: {host: b.example}
    weight: 10
  rewrite: {uri: /v2}
  timeout: 1m30s
  retries:
    attempts: 3
    perTryTimeout: 250ms
    retryOn: 503,reset
    retryRemoteLocalities: true
    retryIgnorePreviousHosts: false
    backoff: 1.5s
  fault:
    delay: {fixedDelay: 2s, percentage: {value: 12.5}}
    abort: {httpStatus: 503, percentage: {}}
  mirrors:
  - destination: {host: m.example}
    percentage: {value: 50}
  - destination: {host: n.example}
  corsPolicy:
    allowOrigins: [{exact: "https://a.example"}, {regex: ".*"}]
    allowOrigin: [old.example]
    allowMethods: [GET]
    allowHeaders: ["*"]
    exposeHeaders: [x-a]
    maxAge: 24h
    allowCredentials: true
    unmatchedPreflights: IGNORE
  headers:
    request: {set: {a: "1"}, add: {b: "2"}, remove: [c]}
    response: {}
"""


def test_an_http_route_is_read() -> None:
    """Every field; what is absent is told from what is empty."""
    service = load_one(document(HTTP))
    assert service.hosts == ("api.weather.example", "*.shop.example")
    assert service.gateways == ("mesh", "infra/egress")
    assert service.export_to == (".",)
    assert (service.tls, service.tcp) == ((), ())
    assert service.http == (
        HttpRoute(
            name="first",
            match=(
                HttpMatch(
                    name="m",
                    uri=StringMatch("prefix", ""),
                    scheme=StringMatch("exact", "https"),
                    method=StringMatch("regex", "GET|HEAD"),
                    authority=StringMatch(),
                    headers={"x-user": StringMatch("exact", ""), "x-any": StringMatch()},
                    without_headers={"x-bot": StringMatch("regex", "*")},
                    query_params={"q": StringMatch("prefix", "a")},
                    ignore_uri_case=True,
                    port=80,
                    source_labels={"app": "web"},
                    source_namespace="shop",
                    gateways=("mesh",),
                    stat_prefix="s",
                ),
            ),
            route=(
                HttpRouteDestination(
                    Destination("api.weather.example", "v1", 443),
                    90,
                    Headers(request=HeaderOperations(set={"host": "a"})),
                ),
                HttpRouteDestination(Destination("b.example"), 10),
            ),
            rewrite=Rewrite(uri="/v2"),
            timeout=90 * SECOND,
            retries=Retries(3, SECOND // 4, "503,reset", True, False, 3 * SECOND // 2),
            fault=Fault(Delay(2 * SECOND, 12.5), Abort(503, percentage=0.0)),
            mirrors=(Mirror(Destination("m.example"), 50.0), Mirror(Destination("n.example"))),
            cors_policy=CorsPolicy(
                allow_origins=(
                    StringMatch("exact", "https://a.example"),
                    StringMatch("regex", ".*"),
                ),
                allow_origin=("old.example",),
                allow_methods=("GET",),
                allow_headers=("*",),
                expose_headers=("x-a",),
                max_age=24 * 3600 * SECOND,
                allow_credentials=True,
                unmatched_preflights="IGNORE",
            ),
            headers=Headers(
                request=HeaderOperations({"a": "1"}, {"b": "2"}, ("c",)),
                response=HeaderOperations(),
            ),
        ),
    )


def test_answers_of_the_proxy_itself_are_read() -> None:
    """Redirects and direct responses, their bodies as text and as bytes."""
    redirect = (
        "redirect: {prefixRewrite: /b, authority: b.example, port: 8080, scheme: https,"
        " redirectCode: 308}"
    )
    assert load_one(http_route(redirect)).http[0].redirect == Redirect(
        prefix_rewrite="/b", authority="b.example", port=8080, scheme="https", code=308
    )
    derived = "redirect: {uri: /, derivePort: FROM_REQUEST_PORT}"
    assert load_one(http_route(derived)).http[0].redirect == Redirect(
        uri="/", derive_port="FROM_REQUEST_PORT"
    )
    for body, read in (
        ("", None),
        (", body: {}", None),
        (', body: {string: ""}', ""),
        (", body: {string: hi}", "hi"),
        (", body: {bytes: /+8=}", b"\xff\xef"),
    ):
        route = load_one(http_route(f"directResponse: {{status: 503{body}}}")).http[0]
        assert route.direct_response == DirectResponse(503, read)


def test_the_rest_of_an_http_route_is_read() -> None:
    """Delegates, regex rewrites, gRPC faults and the deprecated ways to mirror."""
    assert load_one(http_route("delegate: {name: d, namespace: other}")).http == (
        HttpRoute(delegate=Delegate("d", "other")),
    )
    route = load_one(
        http_route(
            f"{ROUTE}, rewrite: {{authority: a.example,"
            " uriRegexRewrite: {match: a, rewrite: b}},"
            " fault: {abort: {grpcStatus: UNAVAILABLE}, delay: {percent: 5, fixedDelay: 1s}},"
            " mirror: {host: m.example}, mirrorPercentage: {value: 1}, mirror_percent: 7"
        )
    ).http[0]
    assert route.rewrite == Rewrite("", "a.example", RegexRewrite("a", "b"))
    assert route.fault == Fault(Delay(SECOND, percent=5), Abort(grpc_status="UNAVAILABLE"))
    assert route.mirror == Destination("m.example")
    assert (route.mirror_percentage, route.mirror_percent) == (1.0, 7)
    both = load_one(http_route(f"{ROUTE}, mirrorPercent: null, mirror_percent: 7")).http[0]
    assert both.mirror_percent is None


def test_tls_and_tcp_routes_are_read() -> None:
    """Matches by server name, network and caller."""
    service = load_one(
        document(
            """\
hosts: [db.example]
tls:
- match:
  - sniHosts: [db.example]
    destinationSubnets: [10.0.0.0/8]
    port: 443
    sourceLabels: {app: web}
    sourceNamespace: shop
    gateways: [mesh]
  route: [{destination: {host: db.example}, weight: 100}]
tcp:
- match:
  - destinationSubnets: [10.1.0.0/16]
    port: 5432
    sourceSubnet: 10.2.0.0/16
    sourceLabels: {app: web}
    sourceNamespace: shop
    gateways: [infra/egress]
  - {}
  route: [{destination: {host: db.example, port: {number: 5432}}}]
"""
        )
    )
    assert service.tls == (
        TlsRoute(
            (TlsMatch(("db.example",), ("10.0.0.0/8",), 443, {"app": "web"}, "shop", ("mesh",)),),
            (RouteDestination(Destination("db.example"), 100),),
        ),
    )
    assert service.tcp == (
        TcpRoute(
            (
                L4Match(
                    ("10.1.0.0/16",),
                    5432,
                    "10.2.0.0/16",
                    {"app": "web"},
                    "shop",
                    ("infra/egress",),
                ),
                L4Match(),
            ),
            (RouteDestination(Destination("db.example", port=5432)),),
        ),
    )


def test_positions_are_told_after_loading() -> None:
    """Indices are those of the file."""
    service = load_one(document(HTTP))
    assert service.at("spec", "http", 0, "route", 1, "weight") == Position("<string>", 30, 15)
    assert service.at("kind") == Position("<string>", 2, 7)


def test_nothing_of_it_is_imported_without_one() -> None:
    """A contract of ServiceEntries stays as quick as it was."""
    program = (
        "import sys; from pytest_egress.contract import loads; loads('');"
        "assert not [m for m in sys.modules if 'virtual_service' in m], sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
