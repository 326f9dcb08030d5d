"""TLS that the proxy originates with files of the pod: the same at both ends on each backend."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from pytest_egress.backends.protocol import Backend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict
from tests.observed import destination_rule, documents, entry

HOST = "tls.weather.com"
PORTS = [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 443}]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A client's certificate, its key, a CA that is not the outside's, and what that revoked."""
    directory = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    leaf = authority.issue_cert("client.example.com")
    leaf.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    leaf.private_key_pem.write_to_path(directory / "key.pem")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
    now = dt.datetime.now(dt.timezone.utc)
    builder = x509.CertificateRevocationListBuilder(issuer, now, now + dt.timedelta(days=1))
    revoked = builder.sign(key, SHA256())
    (directory / "crl.pem").write_bytes(revoked.public_bytes(serialization.Encoding.PEM))
    return directory


def _under(place: Backend, tls: dict[str, Any]) -> Egress:
    text = documents(
        entry("tls", HOST, {}).replace("ports: []", f"ports: {PORTS}"),
        destination_rule("tls", HOST, trafficPolicy={"tls": tls}),
    )
    return Egress(place, loads(text, file="egress.yaml"), timeout=10.0)


@pytest.mark.parametrize("revocation", [False, True])
def test_certificates_in_files(
    place: Backend,
    upstreams: Upstreams,
    certificates: Path,
    revocation: bool,
) -> None:
    """The client's own is presented; the outside's CA stands for the one that the rule names."""
    tls = {
        "mode": "MUTUAL",
        "clientCertificate": str(certificates / "cert.pem"),
        "privateKey": str(certificates / "key.pem"),
        "caCertificates": str(certificates / "ca.pem"),
    }
    if revocation:
        tls["caCrl"] = str(certificates / "crl.pem")
    upstream = upstreams[HOST].client_certificate(ca_file=certificates / "ca.pem")
    outcome = _under(place, tls).get(f"http://{HOST}/v1")
    assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
    (request,) = upstream.requests
    assert request.client_certificate is not None
    assert "client.example.com" in request.client_certificate.sans
    upstream.certificate("unknown-ca")
    outcome = _under(place, {**tls, "sni": HOST}).get(f"http://{HOST}/v2")
    assert outcome.verdict is Verdict.UNREACHABLE, outcome.explain()


def test_without_the_clients_certificate(
    place: Backend, upstreams: Upstreams, certificates: Path
) -> None:
    """The control: the same upstream refuses a client that has none."""
    upstreams[HOST].client_certificate(ca_file=certificates / "ca.pem")
    tls = {"mode": "SIMPLE", "caCertificates": str(certificates / "ca.pem")}
    outcome = _under(place, tls).get(f"http://{HOST}/v1")
    assert outcome.verdict is Verdict.UNREACHABLE, outcome.explain()
