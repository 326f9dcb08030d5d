"""Lookups of the captured process: ``getaddrinfo`` and its older relatives, as in the pod."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams
from tests.capture.test_capture import CONTRACT

INET, STREAM, DGRAM = socket.AF_INET, socket.SOCK_STREAM, socket.SOCK_DGRAM


@pytest.fixture
def upstreams(backend: LocalBackend) -> Iterator[Upstreams]:
    """A host with two addresses, one that fails, one that does not exist."""
    with backend.upstreams() as scripts:
        scripts["two.example.com"].addresses("203.0.113.21", "203.0.113.22")
        scripts["fails.example.com"].servfail()
        scripts["none.example.com"].nxdomain()
        yield scripts


@pytest.fixture
def captured(backend: LocalBackend, upstreams: Upstreams) -> Iterator[None]:
    """Lookups are captured."""
    with Egress(backend, loads(CONTRACT)).capture():
        yield


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("two.example.com", 443, 0, STREAM),
            [
                (INET, STREAM, 6, "", ("203.0.113.21", 443)),
                (INET, STREAM, 6, "", ("203.0.113.22", 443)),
            ],
        ),
        (
            (b"two.example.com", "https", INET, STREAM, 6, socket.AI_CANONNAME),
            [
                (INET, STREAM, 6, "two.example.com", ("203.0.113.21", 443)),
                (INET, STREAM, 6, "", ("203.0.113.22", 443)),
            ],
        ),
        (
            ("TWO.example.com.", "53", INET, DGRAM),
            [
                (INET, DGRAM, 17, "", ("203.0.113.21", 53)),
                (INET, DGRAM, 17, "", ("203.0.113.22", 53)),
            ],
        ),
        (
            ("two.example.com", None, socket.AF_INET6, STREAM, 0, socket.AI_V4MAPPED),
            [
                (socket.AF_INET6, STREAM, 6, "", ("::ffff:203.0.113.21", 0, 0, 0)),
                (socket.AF_INET6, STREAM, 6, "", ("::ffff:203.0.113.22", 0, 0, 0)),
            ],
        ),
    ],
)
def test_getaddrinfo(captured: None, arguments: tuple[object, ...], expected: list[object]) -> None:
    """Family, kind, protocol, service names and flags count as they do for socket's own."""
    assert socket.getaddrinfo(*arguments) == expected  # type: ignore[arg-type]


def test_every_kind_is_given_where_none_is_asked_for(captured: None) -> None:
    """Without a kind there is an entry for each of the three, as glibc does."""
    found = socket.getaddrinfo("two.example.com", 80)
    assert [entry[1] for entry in found[:3]] == [STREAM, DGRAM, socket.SOCK_RAW]
    assert len(found) == 6


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("none.example.com", socket.EAI_NONAME),
        ("fails.example.com", socket.EAI_AGAIN),
    ],
)
def test_failures_are_those_of_a_resolver(captured: None, name: str, code: int) -> None:
    """A name without address and a failing name server are told apart."""
    for ask in (socket.gethostbyname, socket.gethostbyname_ex):
        with pytest.raises(socket.gaierror) as caught:
            ask(name)
        assert caught.value.errno == code
    with socket.socket() as sock, pytest.raises(socket.gaierror):
        sock.connect_ex((name, 80))
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("two.example.com", 80, socket.AF_INET6)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("two.example.com", "no-such-service")


def test_older_relatives(captured: None) -> None:
    """``gethostbyname`` gives the first address, its ``_ex`` all of them."""
    assert socket.gethostbyname("two.example.com") == "203.0.113.21"
    assert socket.gethostbyname_ex("two.example.com") == (
        "two.example.com",
        [],
        ["203.0.113.21", "203.0.113.22"],
    )


def test_addresses_and_local_names_are_not_looked_up(captured: None) -> None:
    """Numbers need no resolver, localhost is this machine."""
    assert socket.getaddrinfo("192.0.2.1", 80, type=STREAM)[0][4] == ("192.0.2.1", 80)
    assert socket.getaddrinfo("localhost", 80, INET, STREAM)[0][4] == ("127.0.0.1", 80)
    assert socket.getaddrinfo(None, 0, INET, STREAM)[0][4][0] == "127.0.0.1"
    assert socket.gethostbyname("127.0.0.1") == "127.0.0.1"
