"""Client certificates: asked for, required, recorded; and whose certificate a server shows."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest
import trustme

from pytest_egress.upstream import ClientCertificate, Outside

from .clients import connect, read

REQUEST = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


@pytest.fixture(scope="module")
def issuer() -> trustme.CA:
    """A CA that the outside was not told of."""
    return trustme.CA(organization_name="clients")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, issuer: trustme.CA) -> Path:
    """A client's certificate and key, in one PEM file."""
    path = tmp_path_factory.mktemp("client") / "client.pem"
    leaf = issuer.issue_cert("client.example", organization_name="clients", common_name="me")
    leaf.private_key_and_cert_chain_pem.write_to_path(path)
    return path


def certificate_of(path: Path) -> str:
    """The certificate in a file that holds a key as well."""
    text = path.read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


def ask(outside: Outside, client: Path | None = None, name: str | None = "a.example") -> bytes:
    """Make a request over TLS 1.2, where a refused client learns of it in the handshake."""
    context = ssl.create_default_context(cafile=str(outside.ca_file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = name is not None
    if client is not None:
        context.load_cert_chain(client)
    place = outside.locate("203.0.113.10", 443, dedicated=True)
    with connect(place) as plain, context.wrap_socket(plain, server_hostname=name) as sock:
        sock.sendall(REQUEST)
        return read(sock, b"}")


def test_nobody_is_asked_without_reason(outside: Outside, client: Path) -> None:
    """A client that has a certificate keeps it to itself until it is asked."""
    assert b"200 OK" in ask(outside, client)
    assert outside.requests[0].client_certificate is None
    assert outside.requests[0].tls


def test_expected_certificate_is_asked_for_and_kept(outside: Outside, client: Path) -> None:
    """What a contract presents is trusted as it is, whoever issued it, and is not required."""
    outside.expect_client("a.example", certificate_of(client))
    assert b"200 OK" in ask(outside, client)
    assert b"200 OK" in ask(outside)
    first, second = outside.requests
    certificate = first.client_certificate
    assert certificate is not None
    der = ssl.PEM_cert_to_DER_cert(certificate_of(client).partition("\n-----BEGIN")[0])
    assert certificate == ClientCertificate(
        subject=certificate.subject,
        sans=("client.example",),
        issuer=certificate.issuer,
        fingerprint=hashlib.sha256(der).hexdigest(),
        der=der,
    )
    assert "CN=me" in certificate.subject
    assert "O=clients" in certificate.issuer
    assert second.client_certificate is None
    assert outside.connections[0].client_certificate == certificate


def test_expectation_is_for_its_host_and_ends(outside: Outside, client: Path) -> None:
    """Another host does not ask; after a reset, nobody does."""
    outside.expect_client("b.example", certificate_of(client))
    ask(outside, client)
    outside.expect_client("*.example", certificate_of(client))
    ask(outside, client)
    assert [bool(request.client_certificate) for request in outside.requests] == [False, True]
    outside.reset()
    ask(outside, client)
    assert outside.requests[0].client_certificate is None


def test_required(outside: Outside, client: Path, tmp_path: Path) -> None:
    """Without a certificate, or with one that nobody knows, the handshake fails."""
    upstream = outside.host("a.example").client_certificate()
    for presented in (None, client):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(outside, presented)
    upstream._stage.wait(lambda: not any(it.open for it in outside.connections), 5)
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in outside.connections[0].problem
    assert "CERTIFICATE_VERIFY_FAILED" in outside.connections[1].problem
    outside.expect_client("b.example", certificate_of(client))
    assert b"200 OK" in ask(outside, client)
    upstream.client_certificate(required=False)
    assert b"200 OK" in ask(outside)


def test_required_of_one_issuer(
    outside: Outside, issuer: trustme.CA, client: Path, tmp_path: Path
) -> None:
    """With ``ca_file``, what that CA issued passes and what is known otherwise does not."""
    mine, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    issuer.cert_pem.write_to_path(mine)
    trustme.CA().cert_pem.write_to_path(other)
    outside.expect_client("a.example", certificate_of(client))
    upstream = outside.host("a.example").client_certificate(ca_file=mine)
    assert b"200 OK" in ask(outside, client)
    upstream.client_certificate(ca_file=str(other))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(outside, client)


@pytest.mark.parametrize("content", [None, "no PEM", ""])
def test_bad_issuers(outside: Outside, tmp_path: Path, content: str | None) -> None:
    """What cannot be trusted is refused when it is told, not at the handshake."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"expected a PEM file of certificates, got .*ca\.pem"):
        outside.host("a.example").client_certificate(ca_file=path)


def shown(outside: Outside, name: str | None) -> set[str]:
    """The names in the certificate that the server at 203.0.113.10 shows."""
    context = ssl.create_default_context(cafile=str(outside.ca_file))
    context.check_hostname = False
    place = outside.locate("203.0.113.10", 443, dedicated=True)
    with connect(place) as plain, context.wrap_socket(plain, server_hostname=name) as sock:
        certificate = sock.getpeercert()
    assert isinstance(certificate, dict)
    return {str(item[1]) for item in certificate["subjectAltName"]}


def test_certificate_is_for_the_server_name_and_who_stands_there(outside: Outside) -> None:
    """Its own name alone; with another's, what it has; without any, its hosts and address."""
    outside.host("a.example").addresses("203.0.113.10")
    assert shown(outside, "a.example") == {"a.example"}
    assert shown(outside, "c.example") == {"c.example", "a.example"}
    assert shown(outside, None) == {"a.example", "203.0.113.10"}


def test_certificate_with_names_of_ones_own(outside: Outside) -> None:
    """A test can say which names the real server's certificate has."""
    upstream = outside.host("a.example").addresses("203.0.113.10")
    upstream.certificate(names=["*.b.example", "203.0.113.9"])
    assert shown(outside, "a.example") == {"*.b.example", "203.0.113.9"}
    upstream.certificate()
    assert shown(outside, "a.example") == {"a.example"}
    for bad in ("a.example", ["https://a.example"]):
        with pytest.raises(ValueError, match="expected"):
            upstream.certificate(names=bad)
