"""What the mesh's own settings change for an application."""

from __future__ import annotations

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads, parse_mesh
from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams
from tests.observed import entry

CONTRACT = entry("api", "api.weather.com", {80: "HTTP", 25: "HTTP"})


def _pod(backend: LocalBackend, mesh: str) -> Egress:
    closed = f"outboundTrafficPolicy: {{mode: REGISTRY_ONLY}}\n{mesh}"
    return Egress(backend, loads(CONTRACT, mesh=parse_mesh(closed)), timeout=3)


@pytest.mark.parametrize(
    ("normalization", "path"),
    [
        ("NONE", "/a/../b//c%2Fd"),
        ("BASE", "/b//c%2Fd"),
        ("MERGE_SLASHES", "/b/c%2Fd"),
        ("DECODE_AND_MERGE_SLASHES", "/b/c/d"),
    ],
)
def test_paths_are_normalized(
    backend: LocalBackend, upstreams: Upstreams, normalization: str, path: str
) -> None:
    """The upstream gets what the mesh makes of a path."""
    pod = _pod(backend, f"pathNormalization: {{normalization: {normalization}}}")
    assert pod.get("http://api.weather.com/a/../b//c%2Fd").reachable
    assert [it.path for it in upstreams["api.weather.com"].requests] == [path]


def test_a_silent_client_is_let_go(backend: LocalBackend, upstreams: Upstreams) -> None:
    """A server-first protocol on an HTTP port: after the timeout it is no HTTP, and blocked."""
    pod = _pod(backend, "protocolDetectionTimeout: 100ms")
    outcome = pod.connect("tcp://api.weather.com:25", read_first=True)
    assert outcome.blocked
    assert outcome.evidence is not None
    assert outcome.evidence.cluster == "BlackHoleCluster"
    assert outcome.evidence.filter_chain == "PassthroughFilterChain"


def test_an_explicit_http_proxy(backend: LocalBackend, upstreams: Upstreams) -> None:
    """Requests that an application sends to its HTTP proxy are routed by their host."""
    pod = _pod(backend, "proxyHttpPort: 3128")
    outcome = pod.get("http://127.0.0.1:3128/", host_header="api.weather.com")
    assert outcome.reachable
    assert outcome.evidence is not None
    assert outcome.evidence.cluster == "outbound|80||api.weather.com"
    assert pod.get("http://127.0.0.1:3128/", host_header="evil.example").blocked
