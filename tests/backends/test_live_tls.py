"""TLS originated towards real servers (`--egress-live`): the files that are named are used."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from pytest_httpserver import HTTPServer

from pytest_egress import Egress, Verdict, loads
from pytest_egress.backends.local import LocalBackend
from tests.observed import destination_rule, documents, entry

HOST = "here.example.com"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The CA of the real server."""
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority: trustme.CA) -> Iterator[HTTPServer]:
    """A real server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    with HTTPServer(ssl_context=context) as started:
        started.expect_request("/").respond_with_data("real")
        yield started


@pytest.fixture
def pod_root(tmp_path: Path, authority: trustme.CA) -> Path:
    """A pod that has the server's CA in a file, another one in its OS's bundle."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    bundle = tmp_path / "etc" / "ssl" / "certs" / "ca-certificates.crt"
    bundle.parent.mkdir(parents=True)
    trustme.CA().cert_pem.write_to_path(bundle)
    return tmp_path


@pytest.mark.parametrize(
    ("tls", "verdict"),
    [
        ({"caCertificates": "/ca.pem"}, Verdict.REACHABLE),
        ({"caCertificates": "/ca.pem", "subjectAltNames": [HOST]}, Verdict.REACHABLE),
        (
            {"caCertificates": "/ca.pem", "subjectAltNames": ["other.example.com"]},
            Verdict.UNREACHABLE,
        ),
        ({}, Verdict.UNREACHABLE),
        ({"insecureSkipVerify": True}, Verdict.REACHABLE),
    ],
)
def test_real_authorities(
    pod_root: Path, server: HTTPServer, tls: dict[str, object], verdict: Verdict
) -> None:
    """The CA that is named counts, else the pod's bundle, which does not know this server."""
    port = server.port
    endpoints = [{"address": "127.0.0.1"}]
    text = documents(
        entry("here", HOST, {port: "HTTP"}, "STATIC", endpoints=endpoints),
        destination_rule("here", HOST, trafficPolicy={"tls": {"mode": "SIMPLE", **tls}}),
    )
    backend = LocalBackend(live=True, pod_root=str(pod_root))
    try:
        egress = Egress(backend, loads(text))
        outcome = egress.get(f"http://{HOST}:{port}", address="198.51.100.1")
        assert outcome.verdict is verdict, outcome.explain()
        assert (outcome.text == "real") is (verdict is Verdict.REACHABLE)
    finally:
        backend.close()
