"""Scripts: which of several holds, what is refused, and what reset leaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_egress.errors import CapabilityError
from pytest_egress.upstream import Outside, Upstream, Upstreams

from .clients import exchange, resolve


def status(outside: Outside, host: str, port: int = 80, address: str = "203.0.113.99") -> int:
    """The status that a request for ``host`` is answered with."""
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    answer = exchange(outside.locate(address, port), request, b"never")
    return int(answer.split()[1])


def test_calls_chain(outside: Outside) -> None:
    """Each call returns the upstream it was made on."""
    upstream = outside.host("a.example")
    assert upstream.addresses("203.0.113.10").delay(0).respond(201).fail(503) is upstream


def test_narrower_scopes_win(outside: Outside) -> None:
    """Port over host, name over wildcard, longer wildcard over shorter."""
    outside.host("*.example").respond(201)
    outside.host("*.a.example").respond(202)
    outside.host("x.a.example").respond(203)
    outside.host("x.a.example", 81).respond(207)
    got = [status(outside, host) for host in ("b.example", "y.a.example", "x.a.example")]
    assert [*got, status(outside, "x.a.example", 81)] == [201, 202, 203, 207]


def test_scopes_combine_aspect_by_aspect(outside: Outside) -> None:
    """A narrow script that says nothing of answers leaves those to the wider one."""
    outside.host("*.example").respond(201)
    outside.host("a.example").fail(503)
    assert [status(outside, "a.example") for _ in range(2)] == [503, 201]


def test_later_conduct_replaces_earlier(outside: Outside) -> None:
    """A host that was down and is told to answer is up again."""
    upstream = outside.host("203.0.113.10").refuse()
    upstream.respond(201)
    assert status(outside, "a.example", address="203.0.113.10") == 201
    upstream.hang().fail(502)
    assert status(outside, "a.example", address="203.0.113.10") == 502


def test_clear_forgets_one_scope(outside: Outside) -> None:
    """Other scopes of the same host keep what they were told."""
    outside.host("a.example").respond(201)
    narrow = outside.host("a.example", 81).respond(202)
    narrow.clear()
    assert status(outside, "a.example", 81) == 201


def test_the_last_of_two_hosts_at_one_address_speaks_for_raw_connections(outside: Outside) -> None:
    """Two names on one address (a CDN): without a name in sight, the last scripted one holds."""
    outside.host("a.example").addresses("203.0.113.10").banner(b"a")
    outside.host("b.example").addresses("203.0.113.10").banner(b"b")
    place = outside.locate("203.0.113.10", 25)
    assert exchange(place, b"", b"b") == b"b"
    outside.host("a.example").delay(0)
    assert exchange(place, b"", b"a") == b"a"


def test_reset_drops_scripts_and_records(outside: Outside) -> None:
    """After a test, the outside is as it was, apart from places that are kept."""
    outside.host("a.example").respond(201)
    assert status(outside, "a.example") == 201
    place = resolve(outside.proxy_dns, "a.example").addresses
    outside.reset()
    assert outside.requests == []
    assert outside.connections == []
    assert resolve(outside.proxy_dns, "a.example").addresses == place
    assert status(outside, "a.example") == 200


def test_upstreams_reset_at_their_end(outside: Outside) -> None:
    """The object that a test holds: by host, by host and port, and gone with the test."""
    with Upstreams(outside) as upstreams:
        upstreams["a.example"].respond(201)
        upstreams["a.example", 81].respond(202)
        assert [status(outside, "a.example", port) for port in (80, 81)] == [201, 202]
        assert len(upstreams.requests) == len(upstreams.connections) == 2
    assert status(outside, "a.example") == 200


def test_upstreams_of_the_real_outside(outside: Outside) -> None:
    """With --egress-live there is nothing to script, and the error says why."""
    with Upstreams(None) as upstreams, pytest.raises(CapabilityError, match="--egress-live"):
        _ = upstreams["a.example"]


def test_records_of_one_address(outside: Outside) -> None:
    """What arrived at one address of several can be told apart."""
    upstream = outside.host("a.example").addresses("203.0.113.10", "203.0.113.11")
    status(outside, "a.example", address="203.0.113.11")
    assert len(upstream.address("203.0.113.11").requests) == 1
    assert upstream.address("203.0.113.10").requests == []
    assert len(upstream.connections) == 1


def test_names_that_are_not_ascii(outside: Outside) -> None:
    """A name may be written as people write it; on the wire it is in A-labels."""
    outside.host("Bücher.example").nxdomain()
    assert resolve(outside.pod_dns, "xn--bcher-kva.example").rcode == 3


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("https://api.example.com/x", "did you mean 'api.example.com'?"),
        ("db.example.com:5432", "did you mean host('db.example.com', 5432)?"),
        ("a b", "expected a host such as"),
        ("*", "expected a host such as"),
        ("a.*.example", "expected a host such as"),
        ("", "expected a host such as"),
        ("a..b", "expected a host such as"),
        ("x" * 64 + ".example", "expected a host such as"),
        (None, "expected a host such as"),
    ],
)
def test_bad_hosts(outside: Outside, name: str, hint: str) -> None:
    """What is no host is refused at once, with the nearest thing that is one."""
    with pytest.raises(ValueError, match="expected a host") as caught:
        outside.host(name)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda u: u.addresses(), "expected one IPv4 address or more"),
        (lambda u: u.addresses("a.example"), "expected an IPv4 address such as '203.0.113.10'"),
        (lambda u: u.addresses("2001:db8::1"), "expected an IPv4 address"),
        (lambda u: u.lookups("203.0.113.10"), "expected lists of IPv4 addresses"),
        (lambda u: u.lookups(), "expected lists of IPv4 addresses"),
        (lambda u: u.address("203.0.113.77"), "has no address '203.0.113.77'"),
        (lambda u: u.delay(-1), "expected a number of seconds"),
        (lambda u: u.delay("1"), "expected a number of seconds"),
        (lambda u: u.delay(float("inf")), "expected a number of seconds"),
        (lambda u: u.respond(99), "expected an HTTP status"),
        (lambda u: u.respond("200"), "expected an HTTP status"),
        (lambda u: u.respond(200, {"a b": "c"}), "expected header fields"),
        (lambda u: u.respond(200, {"a": "b\r\nc: d"}), "expected header fields"),
        (lambda u: u.respond(200, {"Content-Length": "3"}), "set by the outside itself"),
        (lambda u: u.respond(200, {}, {"a": 1}), "expected a body of bytes or str"),
        (lambda u: u.fail(503, times=0), "expected how many times"),
        (lambda u: u.fail(20), "expected an HTTP status"),
        (lambda u: u.certificate("expird"), "did you mean 'expired'?"),
        (lambda u: u.grpc_status("UNAVAILABEL"), "did you mean 'UNAVAILABLE'?"),
        (lambda u: u.grpc_status(17), "expected a gRPC status"),
        (lambda u: u.banner(b""), "expected bytes such as"),
        (lambda u: u.to("8080"), "expected '127.0.0.1:8080'"),
        (lambda u: u.to("127.0.0.1:http"), "expected '127.0.0.1:8080'"),
        (lambda u: u.to(("127.0.0.1", 0)), "expected a port"),
        (lambda u: u.to(object()), "a server with .host and .port"),
    ],
)
def test_bad_arguments(outside: Outside, call: Callable[[Upstream], object], message: str) -> None:
    """Each wrong argument is a ValueError that says what was expected, and changes nothing."""
    with pytest.raises(ValueError, match=r"expected|set by the outside") as caught:
        call(outside.host("a.example"))
    assert message in str(caught.value)
    assert status(outside, "a.example") == 200


def test_lookups_belong_to_whole_names(outside: Outside) -> None:
    """A name server knows no ports, and an address is not looked up."""
    with pytest.raises(ValueError, match=r"expected host\('a.example'\)"):
        outside.host("a.example", 80).nxdomain()
    with pytest.raises(ValueError, match="is an address"):
        outside.host("203.0.113.10").addresses("203.0.113.11")


def test_repr_is_how_it_was_written(outside: Outside) -> None:
    """In a failing assertion, an upstream looks like the call that made it."""
    upstream = outside.host("a.example", 80)
    assert repr(upstream) == "host('a.example', 80)"
    outside.host("a.example").addresses("203.0.113.10")
    part = outside.host("a.example").address("203.0.113.10")
    assert repr(part) == "host('a.example').address('203.0.113.10')"
