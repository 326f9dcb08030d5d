"""The PROXY header before all else, in both versions."""

from __future__ import annotations

import socket
import ssl
import struct

import pytest

from pytest_egress.upstream import Outside

from .clients import connect, read
from .test_raw import PROBE, signed

V2 = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(family: int, kind: socket.AddressFamily, source: str, *, command: int = 0x21) -> bytes:
    """A header of version 2 from ``source`` port 5000."""
    address = socket.inet_pton(kind, source)
    body = address * 2 + struct.pack("!HH", 5000, 443)
    return V2 + struct.pack("!BBH", command, family, len(body)) + body


HEADERS = [
    (b"PROXY TCP4 192.0.2.7 203.0.113.9 5000 443\r\n", "192.0.2.7:5000"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::9 5000 443\r\n", "2001:db8::7:5000"),
    (b"PROXY UNKNOWN\r\n", ""),
    (v2(0x11, socket.AF_INET, "192.0.2.7"), "192.0.2.7:5000"),
    (v2(0x21, socket.AF_INET6, "2001:db8::7"), "2001:db8::7:5000"),
    (V2 + struct.pack("!BBH", 0x20, 0, 0), ""),
]


@pytest.mark.parametrize(("header", "source"), HEADERS)
def test_header_is_taken_off(outside: Outside, header: bytes, source: str) -> None:
    """What follows is answered as if it came alone; who is calling is in the record."""
    with connect(outside.locate("203.0.113.9", 443)) as sock:
        sock.sendall(header + PROBE)
        assert read(sock, b"\r\n") == signed(outside)
    (connection,) = outside.connections
    assert connection.proxied_for == source
    assert connection.received == PROBE


def test_tls_after_a_header(outside: Outside) -> None:
    """The handshake begins behind it."""
    context = ssl.create_default_context(cafile=outside.ca_file)
    with connect(outside.locate("203.0.113.9", 443)) as sock:
        sock.sendall(HEADERS[0][0])
        with context.wrap_socket(sock, server_hostname="a.example.com") as secured:
            secured.sendall(PROBE)
            assert read(secured, b"\r\n") == signed(outside)
    assert outside.connections[0].proxied_for == "192.0.2.7:5000"


@pytest.mark.parametrize("data", [b"PROXY", b"PROXY nonsense", b"\r\nhello", b"PUSH"])
def test_what_only_looks_like_a_header(outside: Outside, data: bytes) -> None:
    """It is echoed like anything else."""
    with connect(outside.locate("203.0.113.9", 443)) as sock:
        sock.sendall(data)
        assert read(sock, data) == data
    assert outside.connections[0].proxied_for == ""
