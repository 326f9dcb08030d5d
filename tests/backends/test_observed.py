"""What an application observes when the mesh decides: let through, sent past it, or refused."""

from __future__ import annotations

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads, parse_mesh
from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict
from tests.observed import CONTRACT, assert_closed, assert_seen, documents, sidecar


def test_declared_http_host(pod: Egress, upstreams: Upstreams) -> None:
    """Envoy's marks are on the response and on what the upstream got."""
    outcome = pod.get("http://api.weather.com/v3?q=1")
    assert_seen(
        outcome,
        Verdict.REACHABLE,
        code=200,
        details="via_upstream",
        cluster="outbound|80||api.weather.com",
        route="default",
    )
    assert outcome.headers.get("server") == "envoy"
    assert (outcome.headers.get("x-envoy-upstream-service-time") or "").isdecimal()
    (request,) = upstreams["api.weather.com"].requests
    assert request.path == "/v3?q=1"
    assert request.headers["x-forwarded-proto"] == "http"
    assert request.headers["x-envoy-attempt-count"] == "1"
    assert len(request.headers["x-request-id"]) == 36
    assert [str(position) for position in outcome.declared_by] == ["egress.yaml:8:5"]
    assert outcome.upstream.endswith(":80")


def test_forwarded_for_of_the_application(pod: Egress, upstreams: Upstreams) -> None:
    """Envoy takes its client's address from that header; the record is found all the same."""
    outcome = pod.get("http://api.weather.com/", headers={"x-forwarded-for": "192.0.2.7"})
    assert outcome.reachable
    assert outcome.evidence is not None
    assert outcome.evidence.kind == "http"
    (request,) = upstreams["api.weather.com"].requests
    assert request.headers["x-forwarded-for"] == "192.0.2.7"


@pytest.mark.parametrize("host", ["evil.example", "198.51.100.7"])
def test_undeclared_host_on_an_http_port(pod: Egress, host: str) -> None:
    """A listener for HTTP answers 502 itself, for a name and for a bare address."""
    outcome = pod.get(f"http://{host}/")
    assert_seen(outcome, Verdict.BLOCKED, code=502, details="direct_response", route="block_all")
    assert (outcome.status, outcome.body) == (502, b"")
    assert outcome.headers.get("server") == "envoy"
    assert (
        outcome.reason
        == f"route configuration 80 has no virtual host for {host}: block_all answered 502"
    )


def test_undeclared_host_under_allow_any(open_pod: Egress) -> None:
    """It reaches the address that was dialled, and nothing declares it."""
    outcome = open_pod.get("http://evil.example/")
    assert_seen(
        outcome,
        Verdict.UNDECLARED,
        code=200,
        details="via_upstream",
        cluster="PassthroughCluster",
        route="allow_any",
        reason="nothing declares it",
    )
    assert outcome.upstream == f"{outcome.addresses[0]}:80"
    assert not outcome.declared
    assert not outcome.reachable


def test_undeclared_host_that_refuses_under_allow_any(
    open_pod: Egress, upstreams: Upstreams
) -> None:
    """PassthroughCluster has no retries: UF alone, and the upstream is to blame."""
    upstreams["evil.example"].refuse()
    outcome = open_pod.get("http://evil.example/")
    assert_seen(
        outcome,
        Verdict.UNREACHABLE,
        code=503,
        flags="UF",
        details="upstream_reset_before_response_started{remote_connection_failure",
        cluster="PassthroughCluster",
        route="allow_any",
        reason="the connection to the upstream failed: delayed_connect_error:_Connection_refused",
    )
    assert outcome.status == 503
    assert not outcome.declared


@pytest.mark.parametrize("scheme", ["http", "tcp", "tls"])
def test_port_without_listener(pod: Egress, scheme: str) -> None:
    """Whatever is sent, the connection ends without a byte."""
    outcome = pod.probe(f"{scheme}://api.weather.com:9999")
    assert_closed(outcome)
    assert_seen(outcome, Verdict.BLOCKED, flags="UH", cluster="BlackHoleCluster")
    assert outcome.reason == (
        "listener virtualOutbound sent it to BlackHoleCluster (virtualOutbound-catchall-tcp)"
    )


@pytest.mark.parametrize("scheme", ["http", "tcp", "tls"])
def test_port_without_listener_under_allow_any(
    open_pod: Egress, upstreams: Upstreams, scheme: str
) -> None:
    """It is forwarded as raw bytes: HTTP is not parsed, so the upstream sees no mark of Envoy."""
    outcome = open_pod.probe(f"{scheme}://evil.example:9999")
    assert_seen(outcome, Verdict.UNDECLARED, cluster="PassthroughCluster")
    assert outcome.headers.get("server") is None
    for request in upstreams["evil.example"].requests:
        assert "x-request-id" not in request.headers


@pytest.mark.parametrize("scheme", ["http", "tcp", "tls"])
def test_port_without_listener_that_refuses_under_allow_any(
    open_pod: Egress, upstreams: Upstreams, scheme: str
) -> None:
    """The connect that succeeded proves nothing: the upstream refused."""
    upstreams["evil.example"].refuse()
    outcome = open_pod.probe(f"{scheme}://evil.example:9999")
    assert_closed(outcome)
    assert_seen(
        outcome,
        Verdict.UNREACHABLE,
        flags="UF URX",
        cluster="PassthroughCluster",
        reason="delayed_connect_error:_Connection_refused",
    )


@pytest.mark.parametrize(
    "url", ["tls://evil.example", "https://evil.example", "grpcs://weather.com"]
)
def test_undeclared_server_name(pod: Egress, url: str) -> None:
    """A declared TLS port ends handshakes with other names; the record has the name."""
    outcome = pod.probe(url)
    assert_closed(outcome)
    assert_seen(outcome, Verdict.BLOCKED, flags="UH", cluster="BlackHoleCluster")
    assert outcome.stage == "tls"
    assert outcome.evidence is not None
    assert outcome.evidence.requested_server_name == url.partition("://")[2]
    assert outcome.evidence.filter_chain == "PassthroughFilterChain"


def test_undeclared_server_name_under_allow_any(open_pod: Egress) -> None:
    """The same chain passes it on."""
    outcome = open_pod.tls("evil.example")
    assert_seen(outcome, Verdict.UNDECLARED, cluster="PassthroughCluster")
    assert outcome.tls is not None
    assert outcome.tls.verified


def test_tls_without_server_name(pod: Egress) -> None:
    """Without SNI a declared TLS host cannot be told apart, and is refused."""
    outcome = pod.tls("api.weather.com", sni="")
    assert_closed(outcome)
    assert_seen(outcome, Verdict.BLOCKED, flags="UH", cluster="BlackHoleCluster")
    assert outcome.evidence is not None
    assert outcome.evidence.requested_server_name == ""


def test_plain_http_to_a_tls_port(pod: Egress) -> None:
    """The right host and port in the wrong protocol are refused."""
    outcome = pod.get("http://api.weather.com:443/")
    assert_closed(outcome)
    assert_seen(outcome, Verdict.BLOCKED, flags="UH", cluster="BlackHoleCluster")
    assert outcome.evidence is not None
    assert outcome.evidence.requested_server_name == ""


def test_other_protocols_to_an_http_port(pod: Egress, open_pod: Egress) -> None:
    """TLS, HTTP/1.0 and other bytes fall through to the last chain of an HTTP listener."""
    for who, verdict, flags, cluster in (
        (pod, Verdict.BLOCKED, "UH", "BlackHoleCluster"),
        (open_pod, Verdict.UNDECLARED, "", "PassthroughCluster"),
    ):
        for outcome in (
            who.tls("api.weather.com:80"),
            who.get("http://api.weather.com/", http_version="1.0"),
            who.connect("api.weather.com:80"),
        ):
            assert_seen(outcome, verdict, flags=flags, cluster=cluster)
            assert outcome.evidence is not None
            assert outcome.evidence.listener == "0.0.0.0_80"
            if who is pod:
                assert_closed(outcome)


def test_sniffed_port_without_address(pod: Egress) -> None:
    """HTTP is told apart by its Host; all other bytes belong to the one service of the port."""
    cluster = "outbound|7000||sniff.weather.com"
    declared = pod.get("http://sniff.weather.com:7000/")
    assert_seen(
        declared,
        Verdict.REACHABLE,
        code=200,
        details="via_upstream",
        cluster=cluster,
        route="default",
    )
    other = pod.get("http://evil.example:7000/")
    assert_seen(other, Verdict.BLOCKED, code=502, details="direct_response", route="block_all")
    for outcome in (pod.connect("evil.example:7000"), pod.tls("evil.example:7000")):
        assert_seen(outcome, Verdict.REACHABLE, cluster=cluster)
        assert outcome.upstream.endswith(":7000")


def test_sniffed_port_with_address_takes_every_host(pod: Egress) -> None:
    """At its address the port is the service's whatever the Host says; elsewhere it is nothing."""
    outcome = pod.get("http://evil.example:7001/", address="203.0.113.77")
    assert_seen(
        outcome,
        Verdict.REACHABLE,
        code=200,
        details="via_upstream",
        cluster="outbound|7001||sniffvip.weather.com",
        route="default",
    )
    elsewhere = pod.get("http://sniffvip.weather.com:7001/", address="203.0.113.78")
    assert_seen(elsewhere, Verdict.BLOCKED, flags="UH", cluster="BlackHoleCluster")


@pytest.mark.parametrize("target", ["api.weather.com:80", "sniff.weather.com:7000"])
def test_server_first_protocol_hangs(pod: Egress, target: str) -> None:
    """Where Envoy waits for the client's first bytes nothing is decided, so nothing is proven."""
    outcome = pod.connect(target, read_first=True, timeout=0.2)
    assert outcome.attempt.failure is not None
    assert outcome.attempt.failure.kind == "timeout"
    assert_seen(outcome, Verdict.INCONCLUSIVE, reason="a server-first protocol hangs here")


def test_missing_host_header(pod: Egress) -> None:
    """Envoy answers 400 before it looks for a route: neither reachable nor blocked."""
    outcome = pod.connect("api.weather.com:80", payload=b"GET / HTTP/1.1\r\n\r\n")
    assert outcome.body.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert_seen(
        outcome,
        Verdict.INCONCLUSIVE,
        code=400,
        details="missing_host_header",
        reason="the proxy answered 400 itself (missing_host_header)",
    )


def test_connect_method(pod: Egress) -> None:
    """CONNECT meets no route."""
    request = b"CONNECT api.weather.com:80 HTTP/1.1\r\nHost: api.weather.com:80\r\n\r\n"
    outcome = pod.connect("api.weather.com:80", payload=request)
    assert outcome.body.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert_seen(
        outcome,
        Verdict.BLOCKED,
        code=404,
        flags="NR",
        details="route_not_found",
        reason="listener 0.0.0.0_80 has no route that matches",
    )


def test_undeclared_grpc(pod: Egress) -> None:
    """Envoy turns its 502 into a gRPC status; the reason gives that, not the 200 around it."""
    outcome = pod.grpc("evil.example:50051")
    assert_seen(
        outcome,
        Verdict.BLOCKED,
        code=200,
        details="direct_response",
        route="block_all",
        reason="block_all answered gRPC status 14",
    )


@pytest.mark.parametrize(
    ("url", "cluster", "route"),
    [
        ("http://evil.example", "outbound|5432||api.weather.com", "allow_any"),
        ("https://evil.example", "outbound|5432||api.weather.com", ""),
        ("tcp://evil.example:9999", "outbound|5432||api.weather.com", ""),
    ],
)
def test_egress_proxy_takes_what_nothing_declares(
    backend: LocalBackend, url: str, cluster: str, route: str
) -> None:
    """A Sidecar's egressProxy stands in for PassthroughCluster: what it takes is undeclared."""
    proxy = {"host": "api.weather.com", "port": {"number": 5432}}
    scope = sidecar(
        egress=[{"hosts": ["./*"]}],
        outboundTrafficPolicy={"mode": "ALLOW_ANY", "egressProxy": proxy},
    )
    outcome = Egress(backend, loads(documents(CONTRACT, scope))).probe(url)
    assert outcome.verdict is Verdict.UNDECLARED
    assert outcome.evidence is not None
    assert (outcome.evidence.cluster, outcome.evidence.route) == (cluster, route)
    assert not outcome.declared


@pytest.mark.parametrize("url", ["http://evil.example", "http://192.0.2.9:8123"])
def test_allow_any_dynamic_dns_declares_nothing(backend: LocalBackend, url: str) -> None:
    """What the proxy resolves itself under that mode is undeclared too, as are addresses."""
    mesh = parse_mesh("outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}")
    outcome = Egress(backend, loads(CONTRACT, mesh=mesh)).get(url)
    assert_seen(
        outcome,
        Verdict.UNDECLARED,
        code=200,
        details="via_upstream",
        cluster="AllowAnyDynamicDNSCluster",
        route="allow_any_dynamic_dns",
    )
