"""Raw connections: probes, echo, servers that speak first, and those that never do."""

from __future__ import annotations

import hmac
import time

import pytest

from pytest_egress.upstream import Outside

from .clients import connect, exchange, read

NONCE = "0123456789abcdef" * 2
PROBE = f"EGRESS-PROBE {NONCE}\r\n".encode()


def signed(outside: Outside) -> bytes:
    """The answer to PROBE."""
    return f"EGRESS-UPSTREAM {outside.sign(NONCE)}\r\n".encode()


def test_signature_is_hmac_sha256(outside: Outside) -> None:
    """Whoever holds the secret can check an answer."""
    expected = hmac.new(outside.secret, NONCE.encode(), "sha256").hexdigest()
    assert outside.sign(NONCE) == expected
    assert len(outside.token) == 32


def test_probe_is_signed_then_echoed(outside: Outside) -> None:
    """After the signature, the connection is an echo."""
    with connect(outside.locate("203.0.113.10", 5432)) as sock:
        sock.sendall(PROBE + b"more")
        assert read(sock, b"more") == signed(outside) + b"more"
        sock.sendall(b"and more")
        assert read(sock, b"and more") == b"and more"
    assert outside.connections[0].protocol == "tcp"
    assert outside.connections[0].received == PROBE + b"moreand more"


def test_probe_in_two_segments(outside: Outside) -> None:
    """A line that has begun like a probe's is waited for."""
    with connect(outside.locate("203.0.113.10", 5432)) as sock:
        sock.sendall(PROBE[:20])
        sock.sendall(PROBE[20:])
        assert read(sock, b"\r\n") == signed(outside)


@pytest.mark.parametrize(
    "data", [b"hello", b"\x00\x01", b"EGRESS-PROBE short\r\n", b"PING", b"*1\r\n$4\r\nPING\r\n"]
)
def test_anything_else_is_echoed(outside: Outside, data: bytes) -> None:
    """A protocol that is not known is not left without an answer."""
    assert exchange(outside.locate("203.0.113.10", 6379), data, data) == data


def test_banner_comes_first(outside: Outside) -> None:
    """A server-first protocol, which can still be probed."""
    outside.host("203.0.113.10", 25).banner("220 mail\r\n")
    with connect(outside.locate("203.0.113.10", 25)) as sock:
        assert sock.recv(100) == b"220 mail\r\n"
        sock.sendall(PROBE)
        assert read(sock, b"\r\n") == signed(outside)


def test_echo_speaks_no_protocol(outside: Outside) -> None:
    """With echo(), even HTTP comes back as it is."""
    outside.host("203.0.113.10").echo()
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert exchange(outside.locate("203.0.113.10", 80), data, data) == data
    assert exchange(outside.locate("203.0.113.10", 80), PROBE, b"\r\n") == signed(outside)


def test_silent_accepts_and_says_nothing(outside: Outside) -> None:
    """Connect succeeds, bytes are taken, nothing comes."""
    outside.host("203.0.113.10").silent()
    with connect(outside.locate("203.0.113.10", 80), timeout=0.2) as sock:
        sock.sendall(PROBE)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    assert outside.host("203.0.113.10").connections[0].received == PROBE


def test_reset_after_the_first_bytes(outside: Outside) -> None:
    """The client sees RST, not the end of the stream."""
    outside.host("203.0.113.10").reset()
    with pytest.raises(ConnectionResetError):
        exchange(outside.locate("203.0.113.10", 80), PROBE, b"never")


def test_reset_of_a_client_that_waits(outside: Outside) -> None:
    """A client that sends nothing is reset as well."""
    outside.host("203.0.113.10").reset()
    with (
        connect(outside.locate("203.0.113.10", 80)) as sock,
        pytest.raises(ConnectionResetError),
    ):
        sock.recv(1)


def test_delay_of_a_raw_answer(outside: Outside) -> None:
    """The signature waits as an HTTP answer does."""
    outside.host("203.0.113.10").delay(0.15)
    began = time.monotonic()
    assert exchange(outside.locate("203.0.113.10", 80), PROBE, b"\r\n") == signed(outside)
    assert time.monotonic() - began >= 0.15


def test_client_that_leaves_at_once_is_no_error(outside: Outside) -> None:
    """A connect without a byte, as health checks make it, is recorded and that is all."""
    with connect(outside.locate("203.0.113.10", 80)) as sock:
        client = "{}:{}".format(*sock.getsockname())
    assert outside.accepted(client) is not None
    assert outside.connections[0].protocol == ""
