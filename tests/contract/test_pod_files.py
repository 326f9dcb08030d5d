"""Certificates named by their path in the pod."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from pytest_egress.contract import loads
from pytest_egress.contract.pod_files import check_pod_files, local_path, pod_files

RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: weather, namespace: shop}
spec:
  host: api.weather.example
  trafficPolicy:
    tls:
      mode: MUTUAL
      clientCertificate: /etc/certs/client.pem
      privateKey: /etc/certs/client.key
      caCertificates: /etc/certs/ca.pem
"""
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress, namespace: shop}
spec:
  selector: {istio: egress}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: ["*"]
    tls:
      mode: MUTUAL
      caCertificates: /etc/certs/ca.pem
      tlsCertificates:
      - {serverCertificate: /etc/certs/client.pem, privateKey: /etc/certs/client.key}
---
apiVersion: v1
kind: Service
metadata: {name: egress, namespace: shop}
spec:
  selector: {istio: egress}
  ports: [{name: https, port: 443}]
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority."""
    return trustme.CA()


@pytest.fixture
def pod(tmp_path: Path, authority: trustme.CA) -> Path:
    """A directory that stands for the pod's root, with a client's certificate in it."""
    certs = tmp_path / "etc" / "certs"
    certs.mkdir(parents=True)
    leaf = authority.issue_cert("client.example")
    leaf.cert_chain_pems[0].write_to_path(certs / "client.pem")
    leaf.private_key_pem.write_to_path(certs / "client.key")
    authority.cert_pem.write_to_path(certs / "ca.pem")
    return tmp_path


@pytest.mark.parametrize("text", [RULE, GATEWAY])
def test_files_below_the_pods_root_are_good(text: str, pod: Path) -> None:
    """Certificate, key that belongs to it and CA."""
    contract = loads(text)
    assert {file.path for file in pod_files(contract)} == {
        "/etc/certs/client.pem",
        "/etc/certs/client.key",
        "/etc/certs/ca.pem",
    }
    assert check_pod_files(contract, str(pod)) == []


def test_where_a_path_of_the_pod_is_here() -> None:
    """Below the root; a relative path starts at it too."""
    assert local_path("/etc/certs/ca.pem") == "/etc/certs/ca.pem"
    assert local_path("/etc/certs/ca.pem", "deploy/pod") == "deploy/pod/etc/certs/ca.pem"
    assert local_path("etc/ca.pem", "/srv/pod/") == "/srv/pod/etc/ca.pem"


def _remove(pod: Path) -> None:
    shutil.rmtree(pod / "etc")


def _other_key(pod: Path) -> None:
    key = trustme.CA().issue_cert("other.example").private_key_pem
    key.write_to_path(pod / "etc/certs/client.key")


def _encrypt(pod: Path) -> None:
    key = pod / "etc/certs/client.key"
    key.write_text(
        key.read_text()
        .replace("BEGIN", "BEGIN ENCRYPTED")
        .replace("END", "END ENCRYPTED")
        .replace("ENCRYPTED EC", "ENCRYPTED")
        .replace("ENCRYPTED RSA", "ENCRYPTED")
    )


def _damage(pod: Path) -> None:
    (pod / "etc/certs/client.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )


def _der(pod: Path) -> None:
    ca = pod / "etc/certs/ca.pem"
    ca.write_bytes(ssl.PEM_cert_to_DER_cert(ca.read_text()))


def _directory(pod: Path) -> None:
    ca = pod / "etc/certs/ca.pem"
    ca.unlink()
    ca.mkdir()


def _pipe(pod: Path) -> None:
    ca = pod / "etc/certs/ca.pem"
    ca.unlink()
    os.mkfifo(ca)


@pytest.mark.parametrize(
    ("spoil", "places", "words"),
    [
        (_remove, [9, 10, 11], "there is no such file; put it there, or set egress_pod_root"),
        (_other_key, [10], 'does not belong to the certificate "/etc/certs/client.pem"'),
        (_encrypt, [10], "encrypted"),
        (_damage, [9], "the certificate in it cannot be used"),
        (_der, [11], "no CA certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        (_directory, [11], "a directory, not a file"),
        (_pipe, [11], "not a file"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_files_that_cannot_be_used(pod: Path, spoil: object, places: list[int], words: str) -> None:
    """An error at the rule's line, with where the file was looked for and the mend."""
    assert callable(spoil)
    spoil(pod)
    problems = check_pod_files(loads(RULE, file="dr.yaml"), str(pod))
    assert [problem.position.line for problem in problems] == places
    for problem in problems:
        assert problem.severity == "error"
        assert words in problem.message
        assert f"is a path in the pod, looked for at {pod}/etc/certs/" in problem.message


def test_what_the_mode_does_not_use_is_not_read() -> None:
    """Nor what comes from a credential, nor the system's own bundle."""
    for change in (
        ("mode: MUTUAL", "mode: DISABLE"),
        ("mode: MUTUAL", "mode: ISTIO_MUTUAL"),
    ):
        assert list(pod_files(loads(RULE.replace(*change)))) == []
    simple = loads(RULE.replace("MUTUAL", "SIMPLE"))
    assert [file.path for file in pod_files(simple)] == ["/etc/certs/ca.pem"]
    system = loads(RULE.replace("MUTUAL", "SIMPLE").replace("/etc/certs/ca.pem", "system"))
    assert list(pod_files(system)) == []
    credential = RULE[: RULE.index("      client")] + "      credentialName: weather\n"
    assert list(pod_files(loads(credential))) == []
    terminating = GATEWAY.replace("caCertificates: /etc/certs/ca.pem", "credentialName: a")
    terminating = terminating[: terminating.index("      tlsCertificates")]
    assert list(pod_files(loads(terminating))) == []
    assert (
        list(
            pod_files(
                loads(
                    terminating.replace("credentialName: a", "httpsRedirect: false").replace(
                        "mode: MUTUAL", "mode: PASSTHROUGH"
                    )
                )
            )
        )
        == []
    )


def test_a_revocation_list(pod: Path, authority: trustme.CA) -> None:
    """Read as such: a certificate in its place is none."""
    text = f"{RULE}      caCrl: /etc/certs/crl.pem\n"
    now = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
    signer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signer, EllipticCurvePrivateKey)
    revoked = x509.CertificateRevocationListBuilder(issuer, now, now).sign(signer, SHA256())
    (pod / "etc/certs/crl.pem").write_bytes(revoked.public_bytes(serialization.Encoding.PEM))
    assert check_pod_files(loads(text), str(pod)) == []
    shutil.copy(pod / "etc/certs/ca.pem", pod / "etc/certs/crl.pem")
    (problem,) = check_pod_files(loads(text), str(pod))
    assert "it holds no revocation list in PEM (-----BEGIN X509 CRL-----)" in problem.message
    assert problem.position.line == 12
