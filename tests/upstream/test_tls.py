"""TLS: certificates for every name, and what can be wrong with them."""

from __future__ import annotations

import ssl
import stat
import struct

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_egress.upstream import Outside
from pytest_egress.upstream.hello import server_name

from .clients import connect, exchange, read, tls


def names(certificate: object) -> set[str]:
    """The subject alternative names of a peer certificate."""
    assert isinstance(certificate, dict)
    return {value for _, value in certificate["subjectAltName"]}


def test_requests_verifies_the_chain(outside: Outside) -> None:
    """A client that trusts the throw-away CA and nothing else is content with any name."""
    host, port = outside.locate("203.0.113.10", 443)
    with requests.Session() as session:
        session.verify = str(outside.ca_file)
        # The place's own address stands in the URL, so it is the name that is verified.
        with pytest.raises(requests.exceptions.SSLError):
            session.get(f"https://{host}:{port}/", timeout=5)
    with tls((host, port), outside.ca_file, "api.example.com") as sock:
        assert names(sock.getpeercert()) == {"api.example.com"}
        sock.sendall(b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
        assert outside.token.encode() in read(sock, b"}")
    (request,) = outside.requests
    assert (request.sni, request.http_version) == ("api.example.com", "HTTP/1.1")
    assert outside.connections[-1].protocol == "tls+http/1.1"
    assert "alert" in outside.connections[0].problem


def test_issuer_has_a_recognisable_name(outside: Outside) -> None:
    """Whoever finds the CA in a trust store can tell where it comes from."""
    with tls(outside.locate("203.0.113.10", 443), outside.ca_file, "a.example") as sock:
        certificate = sock.getpeercert()
    assert certificate is not None
    name = "pytest-egress throw-away CA"
    fields = (("organizationName", name),), (("organizationalUnitName", name),)
    assert certificate["issuer"] == fields


def test_certificate_without_sni_is_for_the_place(outside: Outside) -> None:
    """A proxy that originates TLS without SNI still finds the host's name in it."""
    outside.host("a.example").addresses("203.0.113.10")
    with tls(outside.locate("203.0.113.10", 443), outside.ca_file, None) as sock:
        assert names(sock.getpeercert()) == {"a.example", "203.0.113.10"}
    with tls(outside.locate("203.0.113.99", 443), outside.ca_file, None) as sock:
        assert names(sock.getpeercert()) == {"no-sni.invalid"}


def test_certificate_for_a_name_that_no_certificate_can_hold(outside: Outside) -> None:
    """An underscore in an SNI is answered, with a certificate for nobody."""
    place = outside.locate("203.0.113.99", 443)
    with tls(place, outside.ca_file, "a_b.example", verify=False) as sock:
        sock.sendall(b"hello")
        assert sock.recv(5) == b"hello"
    assert outside.connections[0].sni == "a_b.example"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("expired", "certificate has expired"),
        ("wrong-name", "Hostname mismatch"),
        ("unknown-ca", "unable to get local issuer certificate|self.signed certificate"),
    ],
)
def test_bad_certificates(outside: Outside, kind: str, reason: str) -> None:
    """Each kind fails verification for its own reason, and valid mends it."""
    place = outside.locate("203.0.113.10", 443)
    upstream = outside.host("a.example").certificate(kind)
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        tls(place, outside.ca_file, "a.example")
    tls(place, outside.ca_file, "b.example").close()
    upstream.certificate("valid")
    tls(place, outside.ca_file, "a.example").close()


def test_certificate_change_ends_open_connections(outside: Outside) -> None:
    """A pooled connection would hide the new certificate."""
    with tls(outside.locate("203.0.113.10", 443), outside.ca_file, "a.example") as sock:
        outside.host("a.example").certificate("expired")
        assert sock.recv(1) == b""


def test_probe_line_inside_tls(outside: Outside) -> None:
    """What is not HTTP inside TLS is answered like on a raw connection."""
    with tls(outside.locate("203.0.113.10", 443), outside.ca_file, "a.example") as sock:
        sock.sendall(b"EGRESS-PROBE " + b"b" * 32 + b"\r\n")
        assert read(sock, b"\r\n") == f"EGRESS-UPSTREAM {outside.sign('b' * 32)}\r\n".encode()


@pytest.mark.parametrize("conduct", ["silent", "reset"])
def test_handshake_that_fails(outside: Outside, conduct: str) -> None:
    """A host can be silent or reset once its name is known from the ClientHello."""
    getattr(outside.host("a.example"), conduct)()
    place = outside.locate("203.0.113.10", 443)
    with connect(place, timeout=0.3) as sock:
        context = ssl.create_default_context(cafile=str(outside.ca_file))
        with pytest.raises(TimeoutError if conduct == "silent" else ConnectionResetError):
            context.wrap_socket(sock, server_hostname="a.example")
    assert outside.connections[0].sni == "a.example"


def test_hello_in_two_segments(outside: Outside) -> None:
    """A ClientHello that comes in pieces is waited for."""
    context = ssl.create_default_context(cafile=str(outside.ca_file))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
    with connect(outside.locate("203.0.113.10", 443)) as sock:
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        for part in (hello[:1], hello[1:4], hello[4:100], hello[100:]):
            sock.sendall(part)
        while True:
            incoming.write(sock.recv(65536))
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                continue
            break
        sock.sendall(outgoing.read())
    assert names(client.getpeercert()) == {"a.example"}


def test_broken_handshake_is_recorded(outside: Outside) -> None:
    """Bytes that begin like TLS but are none end the connection, with the reason kept."""
    exchange(outside.locate("203.0.113.10", 443), b"\x16\x03\x01\x00\x04abcd", b"never")
    assert outside.connections[0].problem.startswith("SSLError")


def test_private_directory(outside: Outside) -> None:
    """Keys are in memory only once they are loaded, and nobody else can look meanwhile."""
    directory = outside.ca_file.parent
    outside.locate("203.0.113.10", 443)
    tls(outside.locate("203.0.113.10", 443), outside.ca_file, "a.example").close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [path.name for path in directory.iterdir()] == ["ca.pem"]
    assert "PRIVATE" not in outside.ca_file.read_text()


def test_warm_up_prepares_in_the_background(outside: Outside) -> None:
    """After it, the CA is there."""
    outside.warm_up()
    assert outside.ca_file.read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_server_name_of_a_real_hello() -> None:
    """OpenSSL's own ClientHello is read."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), outgoing, server_hostname="API.Example.com"
    )
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    assert server_name(outgoing.read()) == "api.example.com"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_server_name_survives_any_bytes(data: bytes) -> None:
    """A malformed hello has no server name; it does not raise."""
    record = b"\x16\x03\x01" + struct.pack("!H", len(data)) + b"\x01" + data
    assert isinstance(server_name(record), str)


def test_tunnel_inside_tls(outside: Outside) -> None:
    """A proxy may be spoken to over TLS; what is tunnelled may itself be TLS, or plain."""
    outer = ssl.create_default_context(cafile=outside.ca_file)
    for tunnelled in (True, False):
        with (
            connect(outside.locate("203.0.113.10", 3128)) as sock,
            outer.wrap_socket(sock, server_hostname="proxy.example") as proxy,
        ):
            proxy.sendall(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 Connection established" in read(proxy, b"\r\n\r\n")
            answer = _over_tls(proxy, outer) if tunnelled else _plain(proxy)
            assert answer == f"EGRESS-UPSTREAM {outside.sign('a' * 32)}\r\n".encode()
        assert outside.connections[-1].asked == "api.example.com"


_NONCE = b"EGRESS-PROBE " + b"a" * 32 + b"\r\n"


def _plain(sock: ssl.SSLSocket) -> bytes:
    sock.sendall(_NONCE)
    return read(sock, b"\r\n")


def _over_tls(sock: ssl.SSLSocket, context: ssl.SSLContext) -> bytes:
    """The answer to a probe in a second TLS connection that is made of the first one's bytes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    inner = context.wrap_bio(incoming, outgoing, server_hostname="api.example.com")
    for step in (inner.do_handshake, lambda: inner.write(_NONCE), lambda: inner.read(100)):
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                data = sock.recv(65536)
                assert data, "the tunnel has ended"
                incoming.write(data)
                continue
            sock.sendall(outgoing.read())
            break
    assert isinstance(result, bytes)
    return result
