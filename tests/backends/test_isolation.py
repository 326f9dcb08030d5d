"""What one test leaves in a proxy that the next one shares with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from tests.observed import document, documents, entry

HOST = "api.isolation.example"
OUTLIERS = {"consecutive5xxErrors": 1, "baseEjectionTime": "3600s", "maxEjectionPercent": 100}


@pytest.fixture
def pod(backend: LocalBackend) -> Egress:
    """A pod whose circuit opens after one error and stays open."""
    spec = {"host": HOST, "trafficPolicy": {"outlierDetection": OUTLIERS}}
    rule = document("DestinationRule", "rule", "default", spec)
    return Egress(backend, loads(documents(entry("api", HOST, {80: "HTTP"}), rule)))


def test_an_open_circuit_ends_with_the_test(backend: LocalBackend, pod: Egress) -> None:
    """The proxy that remembers a failure is not given to the next test; within one it is kept."""
    backend.outside.reset()
    first = pod.mesh
    assert pod.get(f"http://{HOST}").reachable
    backend.outside.reset()
    assert pod.mesh is first, "nothing has failed"
    pod.upstream(HOST).fail(503)
    assert pod.get(f"http://{HOST}").status == 503
    assert pod.get(f"http://{HOST}").flags == {"UH"}
    assert pod.mesh is first, "the same test"
    backend.outside.reset()
    assert pod.mesh is not first
    assert pod.get(f"http://{HOST}").reachable


def test_a_failure_without_a_memory_of_it(backend: LocalBackend, pod: Egress) -> None:
    """A proxy that ejects nobody is kept, whatever has failed."""
    plain = Egress(backend, loads(entry("plain", HOST, {80: "HTTP"})))
    first = plain.mesh
    plain.upstream(HOST).fail(503)
    assert plain.get(f"http://{HOST}").status == 503
    backend.outside.reset()
    assert plain.mesh is first


def test_certificate_of_the_application(backend: LocalBackend, tmp_path: Path) -> None:
    """What the pod's own client presents inside passed-through TLS arrives and is recorded."""
    pod = Egress(backend, loads(entry("tls", HOST, {443: "TLS"})))
    backend.outside.reset()
    path = tmp_path / "client.pem"
    leaf = trustme.CA().issue_cert("client.example", common_name="app")
    leaf.private_key_and_cert_chain_pem.write_to_path(path)
    for presented, sans in ((str(path), ("client.example",)), (None, None)):
        assert pod.get(f"https://{HOST}", client_cert=presented).reachable
        certificate = pod.upstream(HOST).requests[-1].client_certificate
        assert (certificate and certificate.sans) == sans
    pod.upstream(HOST).client_certificate()
    assert pod.get(f"https://{HOST}").unreachable
    assert pod.get(f"https://{HOST}", client_cert=str(path)).reachable
