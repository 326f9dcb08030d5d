"""The namespace's name server, message by message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_egress.capture.namespace.dns import answer
from pytest_egress.probe import DnsAnswer
from pytest_egress.probe.dns import TYPE_A, TYPE_AAAA, encode_query, parse_answer

NAME = "api.weather.com"


def lookup(rcode: str, *addresses: str) -> DnsAnswer:
    """What the pod's resolver says."""
    return DnsAnswer(NAME, rcode, addresses, ttl=7)


def test_addresses() -> None:
    """The query's own name, with the addresses and their time to live."""
    query = encode_query(99, NAME, TYPE_A)
    reply = answer(query, lambda name: lookup("NOERROR", "203.0.113.1", "203.0.113.2"))
    assert reply is not None
    message = parse_answer(reply, query)
    assert message is not None
    assert (message.rcode, message.addresses) == ("NOERROR", ("203.0.113.1", "203.0.113.2"))
    assert message.ttl == 7


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "SERVFAIL", "REFUSED", "NOERROR"])
def test_failures(rcode: str) -> None:
    """The pod's own code is passed on."""
    query = encode_query(1, NAME, TYPE_A)
    message = parse_answer(answer(query, lambda _: lookup(rcode)) or b"", query)
    assert message is not None
    assert (message.rcode, message.addresses) == (rcode, ())


def test_other_kinds_are_empty() -> None:
    """A name with an A record has no AAAA, and exists."""
    query = encode_query(1, NAME, TYPE_AAAA)
    reply = answer(query, lambda _: lookup("NOERROR", "203.0.113.1"))
    message = parse_answer(reply or b"", query)
    assert message is not None
    assert (message.rcode, message.addresses) == ("NOERROR", ())


@pytest.mark.parametrize("rcode", ["TIMEOUT", "UNREACHABLE", "MALFORMED"])
def test_silence(rcode: str) -> None:
    """Where the pod's server says nothing, neither does this one."""
    assert answer(encode_query(1, NAME, TYPE_A), lambda _: lookup(rcode)) is None


@given(st.binary(max_size=80))
def test_garbage_is_ignored(data: bytes) -> None:
    """Whatever comes, there is an answer or none, and no exception."""
    reply = answer(data, lambda name: DnsAnswer(name, "NXDOMAIN"))
    assert reply is None or reply[:2] == data[:2]
