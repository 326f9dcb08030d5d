"""The TLS stage: handshakes that succeed, and each way they fail, told apart."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import h2.connection
import pytest
import trustme

from pytest_egress.probe import Attempt, Options, ProbeOptionError, Prober, Target
from pytest_egress.probe.x509 import Certificate, matches, parse

from .servers import (
    H2Request,
    Handler,
    answer,
    close,
    drain,
    h2_server,
    over_tls,
    reset,
    serve,
    server_context,
    timed,
)

_HOST = "api.weather.com"
_HELLO = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """A throw-away CA."""
    return trustme.CA()


@pytest.fixture(scope="module")
def leaf(ca: trustme.CA) -> trustme.LeafCert:
    """Its certificate for the weather host and for an address."""
    return ca.issue_cert(_HOST, "*.wild.example", "127.0.0.1", common_name="weather")


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The CA's certificate as a file."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


def _attempt(
    handler: Handler,
    ca_file: str | None,
    *,
    scheme: str = "https",
    host: str = _HOST,
    **options: Any,
) -> Attempt:
    with serve(handler) as port:
        return Prober(ca_file=ca_file).attempt(
            Target(scheme, host, port, "" if scheme == "tls" else "/"),
            Options(**{"address": "127.0.0.1", **options}),
        )


def _failure(attempt: Attempt, stage: str = "tls") -> tuple[str, str]:
    assert not attempt.completed
    assert attempt.failure is not None
    assert attempt.stage == stage
    return attempt.failure.kind, attempt.failure.message


def test_a_whole_exchange(leaf: trustme.LeafCert, ca_file: str) -> None:
    """Version, cipher, ALPN and the certificate are recorded with the response."""
    context = server_context(leaf, "http/1.1")
    attempt = _attempt(over_tls(context, _HELLO), ca_file)
    assert attempt.failure is None
    assert attempt.response is not None
    assert attempt.response.body == b"hello"
    assert set(attempt.timings) == {"tcp", "tls", "http"}
    assert attempt.tls is not None
    assert (attempt.tls.version, attempt.tls.alpn) == ("TLSv1.3", "http/1.1")
    assert attempt.tls.verified
    assert attempt.tls.cipher
    assert attempt.tls.sans == (_HOST, "*.wild.example", "127.0.0.1")
    assert "CN=weather" in attempt.tls.subject
    assert attempt.tls.issuer.startswith("O=trustme v")
    assert attempt.tls.certificate == ssl.PEM_cert_to_DER_cert(
        leaf.cert_chain_pems[0].bytes().decode()
    )


def test_a_handshake_alone(leaf: trustme.LeafCert, ca_file: str) -> None:
    """The tls scheme ends with the handshake unless there is a payload."""
    attempt = _attempt(over_tls(server_context(leaf), drain), ca_file, scheme="tls")
    assert (attempt.stage, attempt.completed, attempt.received) == ("tls", True, b"")


def test_a_payload_over_tls(leaf: trustme.LeafCert, ca_file: str) -> None:
    """A payload is exchanged inside TLS, with the token's rules."""

    def handler(sock: socket.socket) -> None:
        assert sock.recv(100) == b"ping"
        sock.sendall(b"EGRESS-UPSTREAM 00\r\n")
        drain(sock)

    context = server_context(leaf)
    attempt = _attempt(over_tls(context, handler), ca_file, scheme="tls", payload=b"ping")
    assert (attempt.stage, attempt.received) == ("tls", b"EGRESS-UPSTREAM 00\r\n")


@pytest.mark.parametrize(
    ("options", "host", "sni"),
    [
        ({}, _HOST, _HOST),
        ({}, f"{_HOST}.", _HOST),
        ({"sni": "front.example"}, _HOST, "front.example"),
        ({"sni": ""}, _HOST, None),
        ({}, "127.0.0.1", None),
        ({"verify_name": _HOST}, "other.example", "other.example"),
        ({"sni": "a.example", "verify_name": "x.wild.example"}, "b.example", "a.example"),
    ],
)
def test_sni_and_the_verified_name_are_two_things(
    leaf: trustme.LeafCert, ca_file: str, options: dict[str, Any], host: str, sni: str | None
) -> None:
    """SNI is sent as asked, or not at all; the certificate is checked for the host."""
    seen: list[str | None] = []
    context = server_context(leaf)
    context.sni_callback = lambda _sock, name, _context: seen.append(name)
    attempt = _attempt(over_tls(context, _HELLO), ca_file, host=host, **options)
    assert attempt.failure is None
    assert attempt.tls is not None
    assert attempt.tls.verified
    assert seen == [sni]


def test_a_wrong_name(leaf: trustme.LeafCert, ca_file: str) -> None:
    """A certificate for another host is refused, and recorded."""
    attempt = _attempt(over_tls(server_context(leaf), _HELLO), ca_file, host="evil.example")
    kind, message = _failure(attempt)
    assert kind == "tls-verify"
    assert message == (
        f"certificate refused: it is for {_HOST}, *.wild.example, 127.0.0.1, not for evil.example"
    )
    assert attempt.tls is not None
    assert (attempt.tls.verified, attempt.tls.sans[0]) == (False, _HOST)
    assert attempt.response is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_unknown_ca(leaf: trustme.LeafCert, tmp_path: Path, version: ssl.TLSVersion) -> None:
    """A chain to a CA that is not trusted is refused, and recorded as far as OpenSSL knows it."""
    path = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    context = server_context(leaf)
    context.maximum_version = version
    attempt = _attempt(over_tls(context, _HELLO), str(path))
    kind, message = _failure(attempt)
    assert kind == "tls-verify"
    assert "unable to get local issuer" in message
    if ssl.OPENSSL_VERSION_INFO >= (3, 0):
        assert attempt.tls is not None
        assert (attempt.tls.sans[0], attempt.tls.version) == (_HOST, None)
    else:
        assert attempt.tls is None or not attempt.tls.verified


def test_an_expired_certificate(ca: trustme.CA, ca_file: str) -> None:
    """A certificate of last year is refused for that reason."""
    now = dt.datetime.now(dt.timezone.utc)
    days = dt.timedelta(days=1)
    expired = ca.issue_cert(_HOST, not_before=now - 400 * days, not_after=now - 30 * days)
    kind, message = _failure(_attempt(over_tls(server_context(expired), _HELLO), ca_file))
    assert (kind, message) == ("tls-verify", "certificate refused: certificate has expired")


def test_without_verification(leaf: trustme.LeafCert) -> None:
    """Nothing is verified, nothing is called verified, the certificate is recorded."""
    attempt = _attempt(
        over_tls(server_context(leaf), _HELLO), None, host="evil.example", verify=False
    )
    assert attempt.failure is None
    assert attempt.tls is not None
    assert (attempt.tls.verified, attempt.tls.sans[0]) == (False, _HOST)


def test_a_large_body_over_tls(leaf: trustme.LeafCert, ca_file: str) -> None:
    """A body of many records arrives whole, and an early answer ends the sending here, too."""
    done = threading.Event()
    sizes: list[int] = []

    def whole(sock: socket.socket) -> None:
        size = 0
        while size < 3_000_000:
            size += len(sock.recv(1 << 20))
        sizes.append(size)
        sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        drain(sock)

    def early(sock: socket.socket) -> None:
        sock.recv(1)
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        done.wait(10)

    options = Options(method="POST", body=b"x" * 3_000_000, address="127.0.0.1")
    prober = Prober(ca_file=ca_file)
    with serve(over_tls(server_context(leaf), whole)) as port:
        attempt = prober.attempt(Target("https", _HOST, port, "/"), options)
    assert attempt.completed
    assert sizes[0] > 3_000_000
    options = Options(method="POST", body=b"x" * 20_000_000, address="127.0.0.1")
    with serve(over_tls(server_context(leaf), early)) as port:
        attempt = prober.attempt(Target("https", _HOST, port, "/"), options)
        done.set()
    assert attempt.response is not None
    assert attempt.response.status == 403
    assert attempt.timings["http"] < 2


@pytest.mark.parametrize(("then", "kind"), [(close, "eof"), (reset, "reset"), (drain, "timeout")])
@pytest.mark.parametrize("after", [0, 1])
def test_handshakes_that_break_off(ca_file: str, then: Handler, kind: str, after: int) -> None:
    """What a mesh's block looks like: the connection ends during the handshake, or hangs."""

    def handler(sock: socket.socket) -> None:
        # Either way the hello is there: an earlier reset could end the tcp stage already.
        sock.recv(65536, 0 if after else socket.MSG_PEEK)
        then(sock)

    timeout = 0.3 if kind == "timeout" else 5.0
    options = Options(timeout=timeout, address="127.0.0.1")
    with serve(handler) as port:
        prober, target = Prober(ca_file=ca_file), Target("https", _HOST, port, "/")
        attempt, elapsed = timed(timeout + 0.05, lambda: prober.attempt(target, options))
    found, _ = _failure(attempt)
    # Closing with the hello unread is a reset to the client.
    assert found == kind or (kind == "eof" and not after and found == "reset")
    assert elapsed < timeout + 0.05


@pytest.mark.parametrize(
    ("alert", "name"),
    [(40, "handshake failure"), (70, "protocol version"), (112, "unrecognized name")],
)
def test_alerts(ca_file: str, alert: int, name: str) -> None:
    """A fatal alert is told from a closed connection and named."""

    def handler(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(bytes([21, 3, 3, 0, 2, 2, alert]))
        drain(sock)

    kind, message = _failure(_attempt(handler, ca_file))
    assert (kind, name in message) == ("tls-alert", True)


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_a_server_that_does_not_speak_tls(ca_file: str, data: bytes) -> None:
    """A plain-text answer to the hello is a breach of the protocol."""

    def handler(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(data)
        drain(sock)

    assert _failure(_attempt(handler, ca_file))[0] == "protocol"


def test_a_missing_client_certificate(
    ca: trustme.CA, leaf: trustme.LeafCert, ca_file: str, tmp_path: Path
) -> None:
    """TLS 1.3 refuses the client only after the handshake; with a certificate it is let in."""
    context = server_context(leaf)
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)

    def refuse(sock: socket.socket) -> None:
        # The second descriptor keeps the connection open: a close with the request unread
        # would be a reset, which may overtake the alert.
        with sock.dup() as raw:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(sock, server_side=True)
            drain(raw)

    kind, message = _failure(_attempt(refuse, ca_file), "http")
    assert (kind, "certificate required" in message) == ("tls-alert", True)
    path = tmp_path / "client.pem"
    ca.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(str(path))
    attempt = _attempt(over_tls(context, _HELLO), ca_file, client_cert=str(path))
    assert attempt.completed


def test_http2_by_alpn(leaf: trustme.LeafCert, ca_file: str) -> None:
    """Version 2 offers h2 and speaks it; so does an own offer that the server takes up."""

    def respond(connection: h2.connection.H2Connection, _request: H2Request) -> None:
        connection.send_headers(1, [(":status", "204")], end_stream=True)

    for options in ({"http_version": "2"}, {"alpn": ("h2", "http/1.1")}):
        handler = over_tls(server_context(leaf, "h2"), h2_server(respond))
        attempt = _attempt(handler, ca_file, **options)
        assert attempt.failure is None
        assert attempt.tls is not None
        assert attempt.tls.alpn == "h2"
        assert attempt.response is not None
        assert attempt.response.http_version == "2"


@pytest.mark.parametrize(
    ("scheme", "stage", "options"),
    [("https", "http", {"http_version": "2"}), ("grpcs", "grpc", {})],
)
def test_http2_that_is_not_agreed_to(
    leaf: trustme.LeafCert, ca_file: str, scheme: str, stage: str, options: dict[str, Any]
) -> None:
    """Without h2 by ALPN nothing is sent, and the failure says why."""
    context = server_context(leaf)
    attempt = _attempt(over_tls(context, drain), ca_file, scheme=scheme, **options)
    kind, message = _failure(attempt, stage)
    assert (kind, message) == ("protocol", "the peer did not agree to HTTP/2: ALPN none")


def test_grpc_over_tls(leaf: trustme.LeafCert, ca_file: str) -> None:
    """The grpcs scheme goes through all its stages."""

    def respond(connection: h2.connection.H2Connection, _request: H2Request) -> None:
        fields = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "12")]
        connection.send_headers(1, fields, end_stream=True)

    handler = over_tls(server_context(leaf, "h2"), h2_server(respond))
    attempt = _attempt(handler, ca_file, scheme="grpcs")
    assert attempt.completed
    assert list(attempt.timings) == ["tcp", "tls", "grpc"]
    assert attempt.response is not None
    assert attempt.response.grpc_status == 12


def test_over_a_unix_socket(leaf: trustme.LeafCert, ca_file: str) -> None:
    """A dial may return a socket of another family."""
    ours, theirs = socket.socketpair()

    def accept() -> None:
        with theirs:
            theirs.settimeout(10)
            over_tls(server_context(leaf), _HELLO)(theirs)

    server = threading.Thread(target=accept)
    server.start()
    prober = Prober(lambda *_where: ours, ca_file=ca_file)
    attempt = prober.attempt(Target("https", _HOST, 443, "/"), Options(address="203.0.113.1"))
    server.join(10)
    assert attempt.completed
    assert attempt.address == ("203.0.113.1", 443)


def test_contexts_are_made_once(
    leaf: trustme.LeafCert, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same settings share a context; other settings do not."""
    made: list[object] = []
    original = ssl.SSLContext.load_verify_locations

    def counted(context: ssl.SSLContext, *args: str) -> None:
        made.append(context)
        original(context, *args)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    prober = Prober(ca_file=ca_file)
    with serve(over_tls(server_context(leaf), _HELLO)) as port:
        target = Target("https", _HOST, port, "/")
        for sni in (None, "", "front.example"):
            assert prober.attempt(target, Options(address="127.0.0.1", sni=sni)).completed
        assert len(made) == 1
        assert prober.attempt(target, Options(address="127.0.0.1", alpn=())).completed
    assert len(made) == 2


def test_a_rewritten_ca_file_is_read_again(
    leaf: trustme.LeafCert, ca_file: str, tmp_path: Path
) -> None:
    """A context does not outlive the file that it was made from."""
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    prober = Prober(ca_file=str(path))
    with serve(over_tls(server_context(leaf), _HELLO)) as port:
        target, options = Target("https", _HOST, port, "/"), Options(address="127.0.0.1")
        assert not prober.attempt(target, options).completed
        path.write_bytes(Path(ca_file).read_bytes() + b"\n")
        assert prober.attempt(target, options).completed


@pytest.mark.parametrize("content", [None, "not PEM"])
def test_a_ca_file_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    """A missing or empty CA file is the caller's error, raised before anything is sent."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ProbeOptionError, match=r"ca\.pem: .*expected"):
        Prober(ca_file=str(path)).attempt(Target("https", _HOST, 443, "/"))


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("a.example", True),
        ("A.Example.", True),
        ("b.example", False),
        ("x.wild.example", True),
        ("x.y.wild.example", False),
        ("wild.example", False),
        ("203.0.113.7", True),
        ("203.0.113.8", False),
        ("2001:db8:0:0::1", True),
        ("com", False),
        ("a.com", False),
    ],
)
def test_which_names_match(name: str, good: bool) -> None:
    """RFC 9525: exact names, one wildcard label, addresses only as addresses."""
    names = ("a.example", "*.wild.example", "*.com", "203.0.113.8")
    certificate = Certificate("CN=com", "", names, ("203.0.113.7", "2001:db8::1"), ())
    assert matches(certificate, name) is good


def test_certificates_are_read_or_refused(ca: trustme.CA) -> None:
    """A certificate cut short anywhere is an error and never another exception."""
    issued = ca.issue_cert("a.example", "user@a.example", "2001:db8::1")
    der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
    assert parse(der).sans == ("a.example", "2001:db8::1", "user@a.example")
    for length in range(len(der)):
        with pytest.raises(ValueError, match=r"DER|certificate|name|address"):
            parse(der[:length])
