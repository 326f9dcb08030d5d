"""What a pod's programs have looked up."""

from __future__ import annotations

import struct

from pytest_egress.backends.agent.heard import tell
from pytest_egress.capture.namespace.dns import answer
from pytest_egress.probe import DnsAnswer

_QUESTION = b"\x03api\x07example\x03com\x00" + struct.pack(">HH", 1, 1)
# What c-ares and Go's resolver add: how long an answer may be (EDNS).
_OPTIONS = b"\x00" + struct.pack(">HHIH", 41, 1232, 0, 0)


def _query(more: bytes = b"") -> bytes:
    return struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 1 if more else 0) + _QUESTION + more


def _told(query: bytes, *, silent: bool = False) -> list[tuple[str, DnsAnswer]]:
    found = DnsAnswer("api.example.com", "NOERROR", ("203.0.113.10",))
    heard: list[tuple[str, DnsAnswer]] = []
    reply = None if silent else answer(query, lambda _: found)
    tell(lambda name, told: heard.append((name, told)), query, reply)
    return heard


def test_answer_with_and_without_options() -> None:
    """A query may have more than its question."""
    for query in (_query(), _query(_OPTIONS)):
        ((name, told),) = _told(query)
        assert (name, told.rcode, told.addresses) == (
            "api.example.com",
            "NOERROR",
            ("203.0.113.10",),
        )


def test_no_answer() -> None:
    """That is a time-out for who asked."""
    ((_, told),) = _told(_query(_OPTIONS), silent=True)
    assert told.rcode == "TIMEOUT"
