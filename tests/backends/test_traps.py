"""The fault table: whatever breaks around a probe, `blocked` never passes because of it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pytest_egress import Contract, Egress, InconclusiveError, Verdict, loads
from pytest_egress.backends import proxy as proxy_module
from pytest_egress.backends.local import LocalBackend
from pytest_egress.backends.mesh import LocalMesh
from pytest_egress.backends.protocol import Capability, Mesh
from pytest_egress.contract.resources import Workload
from pytest_egress.probe import DnsResolver
from pytest_egress.upstream import Upstreams

CONTRACT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: https, protocol: HTTPS}
  - {number: 5432, name: tcp, protocol: TCP}
  resolution: DNS
"""
DECLARED = ("http://api.example.com", "https://api.example.com", "tcp://api.example.com:5432")
UNDECLARED = ("http://evil.example", "https://evil.example", "tcp://evil.example:9")


class OneMesh:
    """A backend that holds on to one mesh, broken or not; a real one would start another."""

    name = "broken"

    def __init__(self, mesh: LocalMesh) -> None:
        self.mesh = mesh

    def enforce(self, contract: Contract, workload: Workload) -> Mesh:
        """The one mesh."""
        return self.mesh

    def upstreams(self) -> Upstreams:
        """Nothing to script."""
        return Upstreams(None)

    def prepare(self) -> None:
        """It has been started."""

    def reset(self) -> None:
        """Nothing to forget."""

    @property
    def lacking(self) -> Mapping[Capability, str]:
        """What is lacking of the outside."""
        return {"simulate": "this stands in for one"}

    def describe(self) -> str:
        """The name."""
        return self.name

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalMesh]:
    """A healthy mesh of its own, to be broken by the test."""
    monkeypatch.setattr(proxy_module, "_RECORD_TIMEOUT", 0.3)  # these records never come
    backend = LocalBackend()
    yield backend.enforce(loads(CONTRACT), Workload())
    backend.close()


def egress_of(mesh: LocalMesh) -> Egress:
    """Probes through this very mesh, with a short timeout."""
    return Egress(OneMesh(mesh), mesh.contract, timeout=0.5)


def kill_envoy(mesh: LocalMesh, _directory: Path) -> None:
    """Envoy dies between two probes."""
    os.kill(mesh.pid, signal.SIGKILL)
    mesh.sidecar.process._process.wait()


def stop_envoy(mesh: LocalMesh, _directory: Path) -> None:
    """Envoy accepts and then answers nothing, ever."""
    os.kill(mesh.pid, signal.SIGSTOP)
    os.waitpid(mesh.pid, os.WUNTRACED)  # until each of its threads has stopped


def lose_the_witness(mesh: LocalMesh, _directory: Path) -> None:
    """The proxy's records no longer arrive."""
    mesh.sidecar.witness.close()


def dead_name_server(mesh: LocalMesh, _directory: Path) -> None:
    """The pod's name server is gone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    mesh._resolver = DnsResolver(address)
    mesh._prober = None


def silent_name_server(mesh: LocalMesh, _directory: Path) -> None:
    """The pod's name server is there and never answers."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    threading.Thread(target=_hold, args=(server,), daemon=True).start()
    mesh._resolver = DnsResolver(server.getsockname())
    mesh._prober = None


def _hold(server: socket.socket) -> None:
    with server:
        server.settimeout(5)
        try:
            while True:
                server.recv(512)
        except TimeoutError:
            return


def missing_socket(mesh: LocalMesh, directory: Path) -> None:
    """The proxy's socket is not where it should be."""
    mesh.sidecar.listeners["virtualOutbound"] = directory / "nothing.sock"


def wrong_socket(mesh: LocalMesh, directory: Path) -> None:
    """Something else listens on the socket and closes every connection, as a mesh would."""
    path = directory / "wrong.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    server.settimeout(5)

    def close_all() -> None:
        with server:
            try:
                while True:
                    server.accept()[0].close()
            except TimeoutError:
                return

    threading.Thread(target=close_all, daemon=True).start()
    mesh.sidecar.listeners["virtualOutbound"] = path


def other_proxy(mesh: LocalMesh, _directory: Path) -> None:
    """The socket leads to another contract's proxy, which refuses and records elsewhere."""
    backend = LocalBackend()
    other = backend.enforce(loads(CONTRACT.replace("api.example", "else.example")), Workload())
    mesh.sidecar.listeners.update(other.sidecar.listeners)
    _BACKENDS.append(backend)


_BACKENDS: list[LocalBackend] = []


@pytest.fixture(autouse=True)
def close_other_proxies() -> Iterator[None]:
    """Close what `other_proxy` opened."""
    yield
    while _BACKENDS:
        _BACKENDS.pop().close()


TRAPS = [
    kill_envoy,
    stop_envoy,
    lose_the_witness,
    dead_name_server,
    silent_name_server,
    missing_socket,
    wrong_socket,
    other_proxy,
]


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
@pytest.mark.parametrize("url", [UNDECLARED[0], UNDECLARED[1], DECLARED[1], DECLARED[2]])
def test_no_fault_passes_for_blocked(
    mesh: LocalMesh, tmp_path: Path, trap: Callable[[LocalMesh, Path], None], url: str
) -> None:
    """Each fault is INCONCLUSIVE, for declared and undeclared targets, and every reading raises."""
    trap(mesh, tmp_path)
    outcome = egress_of(mesh).probe(url)
    assert outcome.verdict is Verdict.INCONCLUSIVE, outcome.explain()
    for reading in ("blocked", "reachable", "unreachable", "declared", "resolved"):
        with pytest.raises(InconclusiveError, match="no proof either way"):
            getattr(outcome, reading)


@pytest.mark.parametrize("trap", [dead_name_server, silent_name_server])
def test_lookup_without_a_name_server_proves_nothing(
    mesh: LocalMesh, tmp_path: Path, trap: Callable[[LocalMesh, Path], None]
) -> None:
    """A dead name server is not an answer about a name."""
    trap(mesh, tmp_path)
    resolution = egress_of(mesh).resolve("api.example.com")
    with pytest.raises(InconclusiveError):
        _ = resolution.resolved
    with pytest.raises(InconclusiveError):
        _ = resolution.rcode


@pytest.mark.parametrize("url", DECLARED)
def test_dead_upstream_is_not_blocked(backend: LocalBackend, url: str) -> None:
    """An upstream that is down is UNREACHABLE."""
    with backend.upstreams() as upstreams:
        upstreams["api.example.com"].refuse()
        outcome = Egress(backend, loads(CONTRACT)).probe(url)
        assert outcome.verdict is Verdict.UNREACHABLE, outcome.explain()
        assert not outcome.blocked


@pytest.mark.parametrize("url", DECLARED)
def test_proxy_without_names_is_not_blocked(backend: LocalBackend, url: str) -> None:
    """The proxy cannot resolve the name (the pod could): UNREACHABLE, not BLOCKED."""
    with backend.upstreams() as upstreams:
        upstreams["api.example.com"].nxdomain()
        outcome = Egress(backend, loads(CONTRACT)).probe(url, address="198.51.100.1")
        assert outcome.verdict is Verdict.UNREACHABLE, outcome.explain()
        assert outcome.evidence is not None
        assert "UH" in outcome.evidence.response_flags


@pytest.mark.parametrize("url", UNDECLARED)
def test_blocked_needs_the_positive_control(
    mesh: LocalMesh, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """The proxy's refusal alone is not believed while nothing was seen to pass through it."""
    assert egress_of(mesh).probe(url).blocked
    monkeypatch.setattr(mesh.sidecar, "control_failure", "the positive control did not come back")
    outcome = egress_of(mesh).probe(url)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "the positive control did not come back" in outcome.reason


def test_answer_without_the_token_is_not_reachable(
    mesh: LocalMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that the simulated outside did not sign proves nothing."""
    assert egress_of(mesh).get(DECLARED[0]).reachable
    monkeypatch.setattr(mesh._outside, "token", "0" * 32)
    outcome = egress_of(mesh).get(DECLARED[0])
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "token" in outcome.reason


def test_a_dead_proxy_is_replaced(backend: LocalBackend) -> None:
    """The backend itself never hands out a proxy that has died."""
    contract = loads(CONTRACT)
    first = backend.enforce(contract, Workload())
    kill_envoy(first, Path())
    second = backend.enforce(contract, Workload())
    assert second.pid != first.pid
    assert Egress(backend, contract).get(DECLARED[0]).reachable
