"""What happens a number of times, and what is counted: failures, delays, attempts, endpoints."""

from __future__ import annotations

import threading
import time

import pytest

from pytest_egress.upstream import Outside
from pytest_egress.upstream.tenants import Tenants

from .clients import H2Client, connect, exchange, read

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
HEALTH = "/grpc.health.v1.Health/Check"


def ask(outside: Outside, host: str = "a.example", address: str = "203.0.113.10") -> bytes:
    """The answer to a request, empty when the connection is reset."""
    place = outside.locate(address, 80, dedicated=True)
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    try:
        return exchange(place, request, b"never")
    except ConnectionResetError:
        return b""


def test_reset_a_number_of_times(outside: Outside) -> None:
    """The request is seen, its connection reset; the next one is answered."""
    outside.host("a.example").reset(times=2)
    assert [bool(ask(outside)) for _ in range(3)] == [False, False, True]
    assert outside.host("a.example").count == 3


def test_grpc_status_a_number_of_times(outside: Outside) -> None:
    """A call that is repeated finds the service serving."""
    outside.host("a.example").grpc_status("UNAVAILABLE", "busy", times=1)
    headers = {"content-type": "application/grpc"}
    with connect(outside.locate("203.0.113.10", 80)) as sock:
        client = H2Client(sock)
        for status in ("14", "0"):
            stream = client.send(
                HEALTH, authority="a.example", method="POST", headers=headers, body=b"\0\0\0\0\0"
            )
            reply = client.receive(stream)
            assert (reply.headers | reply.trailers)["grpc-status"] == status


def test_delay_a_number_of_times(outside: Outside) -> None:
    """Only so many answers are slow, of whatever protocol."""
    outside.host("203.0.113.10").delay(0.2, times=1)
    began = time.monotonic()
    ask(outside)
    assert time.monotonic() - began >= 0.2
    outside.host("203.0.113.10").delay(3600, times=1).delay(0.2, times=1)
    with connect(outside.locate("203.0.113.10", 25)) as sock:
        began = time.monotonic()
        for _ in range(2):
            sock.sendall(b"hello\n")
            assert read(sock, b"\n") == b"hello\n"
        assert time.monotonic() - began >= 0.2


def test_failures_of_one_address(outside: Outside) -> None:
    """Each endpoint of a host fails, and is counted, on its own."""
    outside.serve({"203.0.113.10": ("a.example",), "203.0.113.11": ("a.example",)})
    upstream = outside.host("a.example").respond(201)
    upstream.address("203.0.113.11").fail(503, times=2)
    got = [ask(outside, address=f"203.0.113.{n}").split()[1] for n in (11, 10, 11, 10, 11)]
    assert got == [b"503", b"201", b"503", b"201", b"201"]
    assert upstream.count == 5
    assert upstream.count_by_address == {"203.0.113.10": 2, "203.0.113.11": 3}
    assert upstream.address("203.0.113.10").count == 2


def test_endpoint_that_is_a_name(outside: Outside) -> None:
    """What is told of a host holds at the names behind it, and what is told of those as well."""
    outside.declare(["b.example"], [80])
    outside.serve({"b.example": ("a.example",)})
    (address,) = outside.host("b.example")._stage.addresses_of("b.example")
    assert address in outside.host("a.example")._stage.addresses_of("a.example")
    outside.host("a.example").respond(201)
    assert ask(outside, address=address).split()[1] == b"201"
    outside.host("b.example").fail(502)
    assert ask(outside, address=address).split()[1] == b"502"
    assert outside.host("a.example").count == outside.host("b.example").count == 2
    outside.serve({})
    assert ask(outside, address=address).split()[1] == b"200"


def test_scripts_hold_at_endpoints_that_are_said_later(outside: Outside) -> None:
    """A host that refuses does so at the endpoints of the contract that comes into force."""
    outside.host("a.example").refuse()
    place = outside.locate("203.0.113.10", 80, dedicated=True)
    connect(place).close()
    outside.serve({"203.0.113.10": ("a.example",)})
    with pytest.raises(ConnectionRefusedError):
        connect(place)


@pytest.mark.parametrize(
    ("tenants", "asked", "meant"),
    [
        (Tenants(), ("a", "b", "a", ""), ("a", "b")),
        (Tenants(("a",)), ("b",), ("a",)),
        (Tenants(("a", "b")), ("b",), ("b",)),
        (Tenants(("a", "b")), ("c",), ("a", "b")),
        (Tenants((), ("a", "b")), ("b", "c"), ("b",)),
        (Tenants(("n",), ("a", "b")), ("b",), ("b", "n")),
        (Tenants(("n",), ("a",)), ("n",), ("n", "a")),
        (Tenants(("*.x",)), ("y.x",), ("y.x",)),
    ],
)
def test_who_is_meant(tenants: Tenants, asked: tuple[str, ...], meant: tuple[str, ...]) -> None:
    """Names of one kind exclude each other; an endpoint's name and its host's go together."""
    assert tenants.meant(*asked) == meant


def test_request_tells_its_attempt_and_id(outside: Outside) -> None:
    """The proxy's own marks, 0 and empty where there is no proxy."""
    marked = GET[:-2] + b"X-Request-Id: 7\r\nX-Envoy-Attempt-Count: 3\r\n\r\n"
    with connect(outside.locate("203.0.113.10", 80)) as sock:
        for request in (GET, marked):
            sock.sendall(request)
            read(sock, b"}")
        client = "{}:{}".format(*sock.getsockname())
    plain, second = outside.requests
    assert (plain.id, plain.attempt, plain.tls) == ("", 0, False)
    assert (second.id, second.attempt) == ("7", 3)
    assert plain.client == second.client == client


def test_wait_for_requests(outside: Outside) -> None:
    """Waiting ends with the request that was waited for, or tells how many there were."""
    upstream = outside.host("a.example")
    with pytest.raises(TimeoutError, match=r"host\('a.example'\) has seen 0 of 1 HTTP requests"):
        upstream.wait_for_requests(timeout=0.05)
    sender = threading.Timer(0.05, ask, (outside,))
    sender.start()
    (request,) = upstream.wait_for_requests()
    assert request.host == "a.example"
    sender.join()


def test_open_connections_stay_known_after_a_reset(outside: Outside) -> None:
    """A proxy keeps its pool from one test to the next: what comes over it is attributed."""
    outside.host("a.example").addresses("203.0.113.10")
    place = outside.locate("203.0.113.10", 80)
    with connect(place) as sock:
        client = "{}:{}".format(*sock.getsockname())
        sock.sendall(GET)
        read(sock, b"}")
        outside.reset()
        assert outside.connections == []
        sock.sendall(GET)
        read(sock, b"}")
        (connection,) = outside.connections
        proof = outside.accepted(client, "{}:{}".format(*place))
        assert connection.open
        assert proof is not None
        assert (proof.address, proof.port) == ("203.0.113.10", 80)
    outside.reset()
    assert outside.connections == []
