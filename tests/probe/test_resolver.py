"""Name lookups: a DNS server that answers in every wrong way, and the system's resolver."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_egress.probe import DnsResolver, SystemResolver
from pytest_egress.probe.dns import DnsFormatError, encode_query, parse_answer

from .servers import dns_reply, dns_server, free_port, timed

_NAME = "api.weather.com"


def _lookup(
    *records: str, rcode: str = "NOERROR", family: int = socket.AF_UNSPEC
) -> tuple[str, tuple[str, ...], tuple[str, ...], int | None]:
    with dns_server(lambda query: [dns_reply(query, *records, rcode=rcode)]) as server:
        answer = DnsResolver(server).lookup(_NAME, family, 5)
    assert answer.name == _NAME
    assert 0 < answer.elapsed < 5
    return answer.rcode, answer.addresses, answer.cnames, answer.ttl


_ZONE = (f"{_NAME} 60 A 203.0.113.1", f"{_NAME} 30 A 203.0.113.2", f"{_NAME} 90 AAAA 2001:db8::1")


@pytest.mark.parametrize(
    ("family", "addresses", "ttl"),
    [
        (socket.AF_UNSPEC, ("203.0.113.1", "203.0.113.2", "2001:db8::1"), 30),
        (socket.AF_INET, ("203.0.113.1", "203.0.113.2"), 30),
        (socket.AF_INET6, ("2001:db8::1",), 90),
    ],
)
def test_addresses_by_family(family: int, addresses: tuple[str, ...], ttl: int) -> None:
    """A and AAAA are asked for as the family says; the least time to live is reported."""
    assert _lookup(*_ZONE, family=family) == ("NOERROR", addresses, (), ttl)


def test_aliases_are_followed() -> None:
    """A chain of CNAMEs (compressed, in any case) leads to the addresses at its end alone."""
    chain = (
        f"{_NAME.upper()} 60 CNAME edge.cdn.example",
        "edge.cdn.example 20 CNAME e1.CDN.example",
        "e1.cdn.example 40 A 203.0.113.9",
        "other.example 40 A 198.51.100.1",
    )
    found = ("NOERROR", ("203.0.113.9",), ("edge.cdn.example", "e1.cdn.example"), 20)
    assert _lookup(*chain) == found


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"])
def test_response_codes(rcode: str) -> None:
    """The server's refusal is reported by its name."""
    assert _lookup(rcode=rcode) == (rcode, (), (), None)


def test_no_data() -> None:
    """A name without addresses is NOERROR with none, not NXDOMAIN."""
    assert _lookup() == ("NOERROR", (), (), None)


def test_silence_times_out_exactly() -> None:
    """A server that does not answer costs the timeout and not more."""
    with dns_server(lambda _query: []) as server:
        resolver = DnsResolver(server)
        answer, elapsed = timed(0.25, lambda: resolver.lookup(_NAME, socket.AF_INET, 0.2))
    assert answer.rcode == "TIMEOUT"
    assert 0.2 <= elapsed < 0.25


def test_one_silent_family_does_not_hold_the_other_up() -> None:
    """With A answered and AAAA not, the addresses are there long before the timeout."""

    def respond(query: bytes) -> list[bytes]:
        return [dns_reply(query, *_ZONE)] if query[-4:] == b"\0\x01\0\x01" else []

    with dns_server(respond) as server:
        answer = DnsResolver(server).lookup(_NAME, socket.AF_UNSPEC, 5)
    assert (answer.rcode, answer.addresses) == ("NOERROR", ("203.0.113.1", "203.0.113.2"))
    assert answer.elapsed < 1


def test_a_closed_port_is_unreachable() -> None:
    """The kernel's word that no server is there is not mistaken for an answer."""
    answer = DnsResolver(("127.0.0.1", free_port())).lookup(_NAME, socket.AF_INET, 5)
    assert answer.rcode == "UNREACHABLE"


def test_foreign_answers_are_ignored() -> None:
    """Packets with another id or question do not count; the real answer after them does."""

    def respond(query: bytes) -> list[bytes]:
        other_id = bytes([query[0] ^ 1]) + query[1:]
        other_name = query.replace(b"weather", b"leather")
        forged = f"{_NAME} 60 A 198.51.100.66"
        return [
            b"",
            dns_reply(other_id, forged),
            dns_reply(other_name, forged.replace("weather", "leather")),
            query,
            dns_reply(query, *_ZONE),
        ]

    with dns_server(respond) as server:
        answer = DnsResolver(server).lookup(_NAME, socket.AF_INET, 5)
    assert answer.addresses == ("203.0.113.1", "203.0.113.2")


def _truncated(query: bytes) -> list[bytes]:
    return [dns_reply(query, truncated=True)]


def test_a_truncated_answer_is_asked_for_over_tcp() -> None:
    """TC leads to the same question over TCP."""
    many = [f"{_NAME} 60 A 203.0.113.{nth}" for nth in range(1, 255)]

    def over_tcp(query: bytes) -> bytes:
        reply = dns_reply(query, *many)
        return len(reply).to_bytes(2, "big") + reply

    with dns_server(_truncated, over_tcp) as server:
        answer = DnsResolver(server).lookup(_NAME, socket.AF_INET, 5)
    assert answer.rcode == "NOERROR"
    assert len(answer.addresses) == 254


@pytest.mark.parametrize(
    "reply", [b"", b"\0", b"\0\x40abc"], ids=["closed", "half a length", "half a message"]
)
def test_a_broken_answer_over_tcp(reply: bytes) -> None:
    """A TCP answer that ends too early is malformed."""
    with dns_server(_truncated, lambda _query: reply) as server:
        answer = DnsResolver(server).lookup(_NAME, socket.AF_INET, 5)
    assert answer.rcode == "MALFORMED"


_QUERY = encode_query(0x1234, "a.example", 1)
_HEADER = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0"
_QUESTION = _QUERY[12:]
_A = b"\0\x01\0\x01\0\0\0\x3c\0\x04\xcb\0\x71\x01"


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"\x12\x34\x81", "shorter than its header"),
        (b"\x12\x34\x81\x80" + bytes(8), "0 questions"),
        (_HEADER + _QUESTION, "runs past"),
        (_HEADER + _QUESTION + b"\xc0\x0c" + _A[:-1], "past the message"),
        (_HEADER + _QUESTION + b"\xc0\x1b" + _A, "does not point back"),
        (_HEADER + _QUESTION + b"\xc0\xff" + _A, "does not point back"),
        (_HEADER + _QUESTION + b"\x80" + _A, "unknown kind"),
        (_HEADER + _QUESTION + b"\x3f" + b"a" * 20, "too long"),
        (_HEADER + _QUESTION + b"\xc0\x0c" + _A[:8] + b"\0\x03abc", "address of 3 bytes"),
        (
            _HEADER + _QUESTION + b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x05\xc0\x0cabc",
            "does not fill",
        ),
        (_HEADER + _QUESTION + b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\xc0\x0c", "does not end"),
    ],
)
def test_malformed_answers(message: bytes, problem: str) -> None:
    """Truncation, pointer loops, alias loops and wrong lengths are refused by name."""
    with pytest.raises(DnsFormatError, match=problem):
        parse_answer(message, _QUERY)


def test_a_malformed_answer_is_reported_at_once() -> None:
    """A broken answer with the right id ends the lookup as MALFORMED."""
    with dns_server(lambda query: [query[:2] + b"\x81\x80\0\x01\0\x01"]) as server:
        answer = DnsResolver(server).lookup(_NAME, socket.AF_INET, 5)
    assert (answer.rcode, answer.addresses) == ("MALFORMED", ())
    assert answer.elapsed < 1


@given(st.binary(max_size=60), st.booleans())
def test_any_answer_is_read_or_refused(tail: bytes, asked: bool) -> None:
    """Arbitrary bytes end in a message, in None or in a DnsFormatError."""
    try:
        message = parse_answer(_HEADER + (_QUESTION if asked else b"") + tail, _QUERY)
    except DnsFormatError:
        return
    assert message is None or message.rcode == "NOERROR"


@pytest.mark.parametrize("name", ["a..b", "a" * 64, ".".join(["a" * 60] * 5)])
def test_a_name_that_no_query_can_carry(name: str) -> None:
    """Over-long or empty labels never reach the server."""
    answer = DnsResolver(("127.0.0.1", 9)).lookup(name, socket.AF_INET, 5)
    assert answer.rcode == "MALFORMED"


def test_odd_label_bytes_are_escaped() -> None:
    """A dot inside a label cannot pass for a separator (RFC 1035 5.1)."""
    alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x05\x03x.y\0"
    message = parse_answer(_HEADER + _QUESTION + alias, _QUERY)
    assert message is not None
    assert message.cnames == ("x\\046y",)


def test_the_system_knows_localhost() -> None:
    """The system's resolver answers by the hosts file, too."""
    answer = SystemResolver().lookup("localhost", socket.AF_INET, 5)
    assert (answer.rcode, answer.addresses) == ("NOERROR", ("127.0.0.1",))


@pytest.mark.parametrize(
    ("error", "rcode"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "NXDOMAIN"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "SERVFAIL"),
        (socket.gaierror(socket.EAI_FAIL, "x"), "SERVFAIL"),
        (socket.gaierror(getattr(socket, "EAI_NODATA", socket.EAI_NONAME), "x"), None),
        (UnicodeError("label too long"), "FORMERR"),
        (OSError(24, "x"), "SERVFAIL"),
    ],
)
def test_system_errors_become_response_codes(
    monkeypatch: pytest.MonkeyPatch, error: Exception, rcode: str | None
) -> None:
    """Each way getaddrinfo fails has a response code of its own."""

    def fail(*_args: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    expected = rcode or ("NOERROR" if hasattr(socket, "EAI_NODATA") else "NXDOMAIN")
    assert SystemResolver().lookup(_NAME, socket.AF_INET, 5).rcode == expected


def test_the_system_resolver_times_out_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A getaddrinfo that hangs is left alone after the timeout."""
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args: released.wait(10) and [])
    resolver = SystemResolver()
    answer, elapsed = timed(0.25, lambda: resolver.lookup(_NAME, socket.AF_INET, 0.2))
    released.set()
    assert answer.rcode == "TIMEOUT"
    assert 0.2 <= elapsed < 0.25
