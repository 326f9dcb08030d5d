"""What an application observes of what is declared: each resolution, protocol and scope."""

from __future__ import annotations

import pytest
from pytest_httpserver import HTTPServer

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict
from tests.observed import CONTRACT, assert_seen, documents, entry, sidecar

WEATHER = "api.weather.com"


def assert_answered(pod: Egress, url: str, cluster: str, **options: object) -> str:
    """The declared cluster answered, with 200 where HTTP was spoken in plain text."""
    outcome = pod.probe(url, **options)
    http = url.partition("://")[0] in {"http", "grpc"}
    assert_seen(
        outcome,
        Verdict.REACHABLE,
        code=200 if http else 0,
        details="via_upstream" if http else "",
        cluster=cluster,
        route="default" if http else "",
    )
    assert outcome.reachable
    assert outcome.declared
    assert outcome.reason == f"the upstream answered through {cluster}"
    return outcome.upstream


@pytest.mark.parametrize(
    ("url", "cluster"),
    [
        ("http://api.weather.com", "outbound|80||api.weather.com"),
        ("https://api.weather.com", "outbound|443||api.weather.com"),
        ("tls://api.weather.com", "outbound|443||api.weather.com"),
        ("grpcs://api.weather.com", "outbound|443||api.weather.com"),
        ("https://secure.weather.com", "outbound|443||secure.weather.com"),
        ("http://api.weather.com:8080", "outbound|8080||api.weather.com"),
        ("grpc://api.weather.com:8080", "outbound|8080||api.weather.com"),
        ("grpc://api.weather.com:50051", "outbound|50051||api.weather.com"),
        ("tcp://api.weather.com:5432", "outbound|5432||api.weather.com"),
        ("tcp://mysql.weather.com:3306", "outbound|3306||mysql.weather.com"),
        ("http://rr.weather.com", "outbound|80||rr.weather.com"),
        ("http://API.weather.com.", "outbound|80||api.weather.com"),
    ],
)
def test_declared_targets(pod: Egress, url: str, cluster: str) -> None:
    """Each protocol reaches its own cluster."""
    assert_answered(pod, url, cluster)


@pytest.mark.parametrize("url", ["http://api.weather.com:8080", "https://api.weather.com"])
def test_http2(pod: Egress, upstreams: Upstreams, url: str) -> None:
    """HTTP/2 in plain text goes to an HTTP2 port, over TLS through to the upstream itself."""
    port = 443 if url.startswith("https") else 8080
    assert_answered(pod, url, f"outbound|{port}||{WEATHER}", http_version="2")
    (request,) = upstreams[WEATHER].requests
    assert request.http_version == "HTTP/2"


def test_http2_port_speaks_http2_to_the_upstream(pod: Egress, upstreams: Upstreams) -> None:
    """The port's protocol, not the client's, decides what the upstream gets."""
    assert_answered(pod, f"http://{WEATHER}:8080", f"outbound|8080||{WEATHER}", http_version="1.1")
    assert_answered(pod, f"http://{WEATHER}", f"outbound|80||{WEATHER}", http_version="2")
    assert [it.http_version for it in upstreams[WEATHER].requests] == ["HTTP/2", "HTTP/1.1"]


def test_original_destination(pod: Egress, upstreams: Upstreams) -> None:
    """NONE goes where the application went, and a TCP port without address takes all of it."""
    cluster = "outbound|9090||none.weather.com"
    upstream = assert_answered(pod, "tcp://none.weather.com:9090", cluster, address="203.0.113.99")
    assert upstream == "203.0.113.99:9090"
    other = pod.connect("evil.example:9090")
    assert_seen(other, Verdict.REACHABLE, cluster=cluster)
    assert other.upstream == f"{other.addresses[0]}:9090"
    assert "its port takes all that comes to listener 0.0.0.0_9090" in other.explain()


def test_static_endpoint_and_its_port(pod: Egress) -> None:
    """A STATIC endpoint is dialled at its own address and port."""
    upstream = assert_answered(pod, "http://static.weather.com", "outbound|80||static.weather.com")
    assert upstream == "203.0.113.50:8888"


def test_target_port(backend: LocalBackend) -> None:
    """The application's port is the declared one, the upstream's is ``targetPort``."""
    ports = [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8888}]
    text = entry("target", "target.weather.com", {}).replace("ports: []", f"ports: {ports}")
    pod = Egress(backend, loads(text))
    upstream = assert_answered(pod, "http://target.weather.com", "outbound|80||target.weather.com")
    assert upstream.endswith(":8888")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_wildcard_host(pod: Egress, scheme: str) -> None:
    """A wildcard covers every depth below its apex, and not the apex."""
    port = 80 if scheme == "http" else 443
    for host in ("a.none.com", "a.b.none.com"):
        assert_answered(pod, f"{scheme}://{host}", f"outbound|{port}||*.none.com")
    assert pod.probe(f"{scheme}://none.com").blocked


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_dynamic_wildcards(backend: LocalBackend, scheme: str) -> None:
    """The proxy resolves each name below the wildcard; a second wildcard works as the first."""
    ports = {80: "HTTP", 443: "TLS"}
    wildcards = (entry(name, f"*.{name}.com", ports, "DYNAMIC_DNS") for name in ("first", "second"))
    pod = Egress(backend, loads(documents(*wildcards)))
    port = 80 if scheme == "http" else 443
    for name in ("first", "second"):
        assert_answered(pod, f"{scheme}://a.b.{name}.com", f"outbound|{port}||*.{name}.com")


def test_dynamic_wildcard_behind_another_service(backend: LocalBackend) -> None:
    """A DYNAMIC_DNS wildcard that shares its HTTP port with an older entry is reached."""
    first = entry("a", "*.first.com", {80: "HTTP"}, "NONE")
    second = entry("b", "*.second.com", {80: "HTTP"}, "DYNAMIC_DNS")
    pod = Egress(backend, loads(documents(first, second)))
    assert_answered(pod, "http://a.second.com", "outbound|80||*.second.com")


def test_export_to(backend: LocalBackend) -> None:
    """A private entry is there for its own namespace and for those it is exported to."""
    text = documents(
        entry("own", "own.example.com", {80: "HTTP"}, namespace="shop", exportTo=["."]),
        entry("some", "some.example.com", {80: "HTTP"}, namespace="shop", exportTo=["till"]),
        entry("none", "hidden.example.com", {80: "HTTP"}, namespace="shop", exportTo=["~"]),
    )
    pod = Egress(backend, loads(text))
    reached = {
        namespace: [
            host
            for host in ("own", "some", "hidden")
            if pod.as_workload(namespace).get(f"http://{host}.example.com").reachable
        ]
        for namespace in ("shop", "till", "default")
    }
    assert reached == {"shop": ["own"], "till": ["some"], "default": []}


def test_sidecar_scope(backend: LocalBackend) -> None:
    """A Sidecar with a selector narrows what its workloads see, and nobody else's view."""
    scope = sidecar(
        workloadSelector={"labels": {"app": "web"}}, egress=[{"hosts": [f"./{WEATHER}"]}]
    )
    pod = Egress(backend, loads(documents(CONTRACT, scope)))
    web = pod.as_workload("default", {"app": "web"})
    assert_answered(web, f"http://{WEATHER}", f"outbound|80||{WEATHER}")
    hidden = web.get("http://rr.weather.com")
    assert_seen(hidden, Verdict.BLOCKED, code=502, details="direct_response", route="block_all")
    assert_answered(pod, "http://rr.weather.com", "outbound|80||rr.weather.com")


@pytest.mark.parametrize("url", ["tcp://mysql.weather.com:3306", "tcp://none.weather.com:9090"])
def test_server_that_speaks_first(pod: Egress, upstreams: Upstreams, url: str) -> None:
    """On a port that is not sniffed the greeting comes through, and the token after it."""
    host = url.partition("://")[2].partition(":")[0]
    upstreams[host].banner(b"220 ready\r\n")
    outcome = pod.connect(url, read_first=True)
    assert outcome.reachable
    assert outcome.body.startswith(b"220 ready\r\nEGRESS-UPSTREAM ")


@pytest.mark.parametrize(
    "options", [{"payload": b"PING\r\n"}, {"payload": b"", "read_first": True}]
)
def test_payload_of_the_users(
    pod: Egress, upstreams: Upstreams, options: dict[str, object]
) -> None:
    """Bytes of the user's own, or a greeting alone, prove the upstream as a handshake does."""
    if options.get("read_first"):
        upstreams["mysql.weather.com"].banner(b"220 ready\r\n")
    assert pod.connect("mysql.weather.com:3306", **options).verdict is Verdict.REACHABLE


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_server_of_the_user(
    pod: Egress, upstreams: Upstreams, httpserver: HTTPServer, scheme: str
) -> None:
    """A server behind ``to()`` has no token; that the outside passed it on is the proof."""
    httpserver.expect_request("/forecast").respond_with_json({"rain": True})
    upstreams[WEATHER].to(httpserver, tls_terminate=scheme == "https")
    outcome = pod.get(f"{scheme}://{WEATHER}/forecast")
    assert outcome.reachable
    assert outcome.json() == {"rain": True}
    assert outcome.headers.get("x-egress-upstream") is None
    assert outcome.observation.accepted is not None
    assert outcome.observation.accepted.forwarded
