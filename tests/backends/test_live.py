"""The real outside (`--egress-live`): here, servers on this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from pytest_httpserver import HTTPServer

from pytest_egress import CapabilityError, Egress, Verdict, loads
from pytest_egress.backends.local import LocalBackend

CONTRACT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: here}}
spec:
  hosts: [here.example.com]
  location: MESH_EXTERNAL
  ports: [{{number: {port}, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
"""


@pytest.fixture(scope="module")
def live() -> Iterator[LocalBackend]:
    """A backend that simulates nothing."""
    backend = LocalBackend(live=True)
    yield backend
    backend.close()


def test_completed_exchange_is_reachable(live: LocalBackend, httpserver: HTTPServer) -> None:
    """There is no token: the answer of the real server, through the declared cluster, is proof."""
    httpserver.expect_request("/").respond_with_data("real")
    port = httpserver.port
    egress = Egress(live, loads(CONTRACT.format(port=port)))
    outcome = egress.get(f"http://here.example.com:{port}", address="198.51.100.1")
    assert outcome.reachable
    assert outcome.text == "real"
    assert outcome.evidence is not None
    assert outcome.evidence.upstream_host == f"127.0.0.1:{port}"


def test_undeclared_is_blocked_and_passed_through(
    live: LocalBackend, httpserver: HTTPServer
) -> None:
    """REGISTRY_ONLY refuses the real server's own address, ALLOW_ANY dials exactly that."""
    httpserver.expect_request("/").respond_with_data("real")
    port = httpserver.port
    egress = Egress(live, loads(CONTRACT.format(port=1)))
    assert egress.get(f"http://127.0.0.1:{port}").blocked
    open_mesh = egress.with_policy("ALLOW_ANY").get(f"http://127.0.0.1:{port}")
    assert open_mesh.verdict is Verdict.UNDECLARED


def test_dead_server_is_unreachable(live: LocalBackend) -> None:
    """Nobody listens at the declared endpoint."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        egress = Egress(live, loads(CONTRACT.format(port=port)))
        outcome = egress.get(f"http://here.example.com:{port}", address="198.51.100.1")
    assert outcome.verdict is Verdict.UNREACHABLE
    assert outcome.evidence is not None
    assert "UF" in outcome.evidence.response_flags


def test_the_real_outside_cannot_be_scripted(live: LocalBackend) -> None:
    """A script without effect would make a test pass for nothing: it is an error."""
    with live.upstreams() as upstreams, pytest.raises(CapabilityError, match="--egress-live"):
        upstreams["api.example.com"].refuse()
