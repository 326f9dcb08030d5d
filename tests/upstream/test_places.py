"""Places on loopback: which address and port stands for which, and how they listen."""

from __future__ import annotations

import ipaddress
import socket
import time
from pathlib import Path

import pytest

from pytest_egress.errors import BackendError
from pytest_egress.upstream import Outside

from .clients import connect, exchange, resolve

PROBE = b"EGRESS-PROBE " + b"0" * 32 + b"\r\n"


def answers(outside: Outside, place: tuple[str, int]) -> bool:
    """Whether the outside signs a probe's nonce there."""
    signature = outside.sign("0" * 32).encode()
    return exchange(place, PROBE, b"\r\n") == b"EGRESS-UPSTREAM " + signature + b"\r\n"


def test_port_is_the_same_on_every_place(outside: Outside) -> None:
    """A proxy knows one port per cluster, so it must hold wherever the name resolves to."""
    number = outside.port_for(443)
    places = {outside.locate(f"203.0.113.{n}", 443, dedicated=True) for n in range(1, 4)}
    assert {port for _, port in places} == {number}
    assert len({ip for ip, _ in places}) == 3


def test_everything_is_bound_on_loopback(outside: Outside) -> None:
    """Nothing of a simulated run can be reached from elsewhere."""
    outside.declare(["a.example"], [443])
    ips = [outside.locate("8.8.8.8", 53)[0], outside.original("8.8.8.8", 53)]
    ips += [outside.pod_dns[0], outside.proxy_dns[0]]
    assert all(ipaddress.ip_address(ip).is_loopback for ip in ips)


def test_located_place_answers_when_located(outside: Outside) -> None:
    """Locate returns once the place listens: no waiting by the caller."""
    assert answers(outside, outside.locate("203.0.113.10", 5432))
    assert answers(outside, outside.locate("2001:db8::10", 5432, dedicated=True))


def test_unscripted_addresses_share_one_place(outside: Outside) -> None:
    """Thousands of addresses cost one socket per port."""
    assert outside.locate("203.0.113.1", 80) == outside.locate("203.0.113.2", 80)
    assert outside.real(*outside.locate("203.0.113.1", 80)) is None


def test_places_made_for_a_proxy_leave_it_as_it_is(outside: Outside) -> None:
    """Only a place that it was told to share and that is shared no more makes it stale."""
    before = outside.dns_generation
    outside.locate("203.0.113.1", 80, dedicated=True)
    assert outside.dns_generation == before
    outside.locate("203.0.113.2", 80)
    outside.locate("203.0.113.2", 80, dedicated=True)
    assert outside.dns_generation == before + 1


def test_real_is_the_way_back(outside: Outside) -> None:
    """Reports name the simulated address, not the loopback one."""
    assert outside.real(*outside.locate("203.0.113.9", 443, dedicated=True)) == ("203.0.113.9", 443)
    assert outside.real("127.0.0.1", 1) is None


def test_scripted_host_answers_on_ports_asked_for_later(outside: Outside) -> None:
    """A port that a later contract names is open on the places that exist already."""
    outside.host("db.example.com").addresses("203.0.113.10").delay(0)
    number = outside.port_for(5432)
    ip, _ = outside.locate("203.0.113.10", 5432)
    assert answers(outside, (ip, number))


def test_located_endpoint_becomes_the_hosts_place(outside: Outside) -> None:
    """An address that a STATIC endpoint and a scripted name share is one place, on every port."""
    before = outside.locate("203.0.113.10", 80, dedicated=True)
    outside.host("a.example").addresses("203.0.113.10")
    outside.port_for(81)
    assert outside.locate("203.0.113.10", 80) == before
    assert answers(outside, (before[0], outside.port_for(81)))


def test_refuse_and_back(outside: Outside) -> None:
    """A refusing place gives ECONNREFUSED at connect, and answers again when cleared."""
    upstream = outside.host("203.0.113.10")
    upstream.refuse()
    place = outside.locate("203.0.113.10", 80)
    with pytest.raises(ConnectionRefusedError):
        connect(place)
    upstream.clear()
    assert answers(outside, place)


def test_hang_and_back(outside: Outside) -> None:
    """A hanging place never completes connect, for the second client as for the first."""
    upstream = outside.host("203.0.113.10").hang()
    place = outside.locate("203.0.113.10", 80)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            connect(place, timeout=0.1)
    upstream.clear()
    assert answers(outside, place)


def test_refuse_one_port_only(outside: Outside) -> None:
    """A script for one port leaves the others of that host alone."""
    outside.host("203.0.113.10", 81).refuse()
    assert answers(outside, outside.locate("203.0.113.10", 80))
    with pytest.raises(ConnectionRefusedError):
        connect(outside.locate("203.0.113.10", 81))


def test_refuse_one_address_only(outside: Outside) -> None:
    """Of several addresses behind a name, one can be down."""
    upstream = outside.host("a.example").addresses("203.0.113.10", "203.0.113.11")
    upstream.address("203.0.113.10").refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(outside.locate("203.0.113.10", 80))
    assert answers(outside, outside.locate("203.0.113.11", 80))


def test_refuse_ends_open_connections(outside: Outside) -> None:
    """A proxy's idle pooled connection must not outlive the listener it came from."""
    outside.declare(["a.example"], [80])
    upstream = outside.host("a.example").addresses("203.0.113.10")
    with connect(outside.locate("203.0.113.10", 80)) as sock:
        sock.sendall(PROBE)
        assert sock.recv(100)
        upstream.refuse()
        assert sock.recv(100) == b""


def test_answers_on_open_connections_change_without_closing(outside: Outside) -> None:
    """What is told of HTTP requests acts on the next one, also on an open connection."""
    upstream = outside.host("a.example").addresses("203.0.113.10")
    request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    with connect(outside.locate("203.0.113.10", 80)) as sock:
        sock.sendall(request)
        assert b"200 OK" in sock.recv(65536)
        upstream.respond(404)
        sock.sendall(request)
        assert b"404 Not Found" in sock.recv(65536)


def test_original_destination_has_an_address_for_each_port(outside: Outside) -> None:
    """One loopback port serves every original destination, so addresses tell ports apart."""
    number = outside.original_port()
    http, https = outside.original("203.0.113.10", 80), outside.original("203.0.113.10", 443)
    assert http != https
    assert outside.original("203.0.113.10", 80) == http
    assert outside.real(https, number) == ("203.0.113.10", 443)
    assert answers(outside, (https, number))


def test_original_destination_with_another_port(outside: Outside) -> None:
    """upstream_port_override of an ORIGINAL_DST cluster dials that port in its place."""
    ip = outside.original("203.0.113.10", 443)
    number = outside.original_port(8443)
    assert number != outside.original_port()
    assert outside.real(ip, number) == ("203.0.113.10", 8443)
    assert answers(outside, (ip, number))


def test_original_destination_obeys_the_host_behind_it(outside: Outside) -> None:
    """A script for a name holds where the pod dials the address that the name resolved to."""
    outside.host("a.example").addresses("203.0.113.10")
    number = outside.original_port()
    place = (outside.original("203.0.113.10", 443), number)
    assert answers(outside, place)
    outside.host("a.example", 443).refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(place)
    outside.reset()
    assert answers(outside, place)


def test_original_destinations_are_reused_when_there_are_many(outside: Outside) -> None:
    """A scan of addresses cannot use up the process's files."""
    number = outside.original_port()
    first = outside.original("203.0.113.1", 1)
    ips = {outside.original("203.0.113.2", port) for port in range(1, 129)}
    assert len(ips) == 128
    assert first in ips
    assert outside.real(first, number) == ("203.0.113.2", 128)


def test_accepted_tells_of_the_connection(outside: Outside) -> None:
    """The proxy's record names its end of the connection; the outside says what was behind it."""
    outside.host("a.example").addresses("203.0.113.10").delay(0)
    place = outside.locate("203.0.113.10", 443)
    with connect(place) as sock:
        client = "{}:{}".format(*sock.getsockname())
        proof = outside.accepted(client, "{}:{}".format(*place))
    assert proof is not None
    assert (proof.host, proof.address, proof.port) == ("a.example", "203.0.113.10", 443)
    assert not proof.forwarded
    assert outside.accepted("127.0.0.1:1") is None


def test_accepted_of_a_shared_place_names_nobody(outside: Outside) -> None:
    """Where several hosts share a place, the address proves nothing about one of them."""
    with connect(outside.locate("203.0.113.10", 443)) as sock:
        proof = outside.accepted("{}:{}".format(*sock.getsockname()))
    assert proof is not None
    assert (proof.host, proof.address, proof.port) == ("", "", 443)


def test_declared_hosts_are_limited(outside: Outside) -> None:
    """A contract of thousands of hosts does not open sockets for each."""
    outside.declare((f"h{n}.example" for n in range(5000)), [443])
    outside.declare(["*.example", "not a name", "203.0.113.1"], [])
    shared = outside.locate("203.0.113.1", 443)[0]
    ips = [resolve(outside.proxy_dns, f"h{n}.example").addresses[0] for n in range(70)]
    assert [n for n, ip in enumerate(ips) if ip != shared] == list(range(64))


def test_dedicated_endpoints_are_limited_by_open_files(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a quarter of the limit of open files, endpoints share the default place."""
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    ips = [outside.locate(f"203.0.113.{n}", 80, dedicated=True)[0] for n in range(1, 30)]
    assert len(set(ips)) < 20
    assert ips[-1] == outside.locate("198.51.100.1", 80)[0]


def test_folded_places_differ_by_port(folded: Outside) -> None:
    """Where only 127.0.0.1 can be bound, endpoints are still told apart."""
    one = folded.locate("203.0.113.10", 80, dedicated=True)
    two = folded.locate("203.0.113.11", 80, dedicated=True)
    assert one[0] == two[0] == "127.0.0.1"
    assert one[1] != two[1]
    folded.host("203.0.113.10").refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(one)
    assert answers(folded, two)
    assert folded.real(*two) == ("203.0.113.11", 80)


def test_folded_original_destinations_answer(folded: Outside) -> None:
    """Where only 127.0.0.1 can be bound, one place stands for all original destinations."""
    place = (folded.original("203.0.113.10", 80), folded.original_port())
    assert answers(folded, place)
    assert folded.real(*place) is None


def test_folded_refusal_by_name_is_a_reset(folded: Outside) -> None:
    """A shared socket cannot refuse one host; its connections are reset once it is known."""
    folded.host("a.example").refuse()
    request = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n"
    place = ("127.0.0.1", folded.port_for(80))
    with pytest.raises(ConnectionResetError):
        exchange(place, request % b"a.example", b"}")
    assert b"200 OK" in exchange(place, request % b"b.example", b"}")


@pytest.mark.parametrize(
    ("address", "port"), [("example.com", 80), ("203.0.113.10", 0), ("203.0.113.10", 65536)]
)
def test_bad_places_are_refused(outside: Outside, address: str, port: int) -> None:
    """What is not an address or a port is a ValueError, not a socket error later."""
    with pytest.raises(ValueError, match="expected"):
        outside.locate(address, port)
    with pytest.raises(ValueError, match="expected"):
        outside.original(address, port)


def test_two_outsides_do_not_meet(outside: Outside, tmp_path: Path) -> None:
    """Parallel runs (xdist) share 127.88.0.1, but no port on it."""
    with Outside(tmp_path / "other") as other:
        mine, theirs = outside.locate("203.0.113.10", 80), other.locate("203.0.113.10", 80)
        assert mine[1] != theirs[1]
        assert answers(outside, mine)
        assert answers(other, theirs)


def test_port_held_by_another_program_is_explained(outside: Outside) -> None:
    """A loopback port that cannot be bound is a BackendError that names it."""
    number = outside.port_for(80)
    taken = socket.socket()
    with taken:
        # A connection of an earlier test may have left the place in TIME_WAIT.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.88.0.2", number))
        taken.listen()
        with pytest.raises(BackendError, match=f"cannot listen on 127.88.0.2:{number}"):
            outside.host("a.example").delay(0)


def test_connections_are_served_at_the_same_time(outside: Outside) -> None:
    """One slow upstream does not hold up the others."""
    outside.host("203.0.113.10").delay(5)
    outside.host("203.0.113.11").delay(0)
    began = time.monotonic()
    with connect(outside.locate("203.0.113.10", 80)) as slow:
        slow.sendall(PROBE)
        assert answers(outside, outside.locate("203.0.113.11", 80))
    assert time.monotonic() - began < 4


def test_whoever_watches_is_told_of_every_place(outside: Outside) -> None:
    """Those that answer already, those to come, and none after the end."""
    first = outside.locate("203.0.113.10", 443, dedicated=True)
    seen: list[tuple[str, int]] = []
    end = outside.watch(lambda ip, port: seen.append((ip, port)))
    assert first in seen
    second = outside.locate("203.0.113.11", 8443, dedicated=True)
    assert second in seen
    end()
    end()
    third = outside.locate("203.0.113.12", 9443, dedicated=True)
    assert third not in seen


def test_whoever_watches_connects_is_told_where_they_fail(outside: Outside) -> None:
    """The narrower first; what holds now, each change, and nothing after the end."""
    told: list[list[tuple[str, int, str]]] = []
    outside.host("a.example").addresses("203.0.113.10").refuse()
    end = outside.watch_connects(lambda found: told.append(list(found)))
    assert told == [[("203.0.113.10", 0, "refuse")]]
    outside.host("a.example", 80).respond(204)
    assert told[-1] == [("203.0.113.10", 80, "listen"), ("203.0.113.10", 0, "refuse")]
    outside.host("203.0.113.20", 443).hang()
    assert told[-1] == [
        ("203.0.113.10", 80, "listen"),
        ("203.0.113.20", 443, "hang"),
        ("203.0.113.10", 0, "refuse"),
    ]
    outside.serve({"203.0.113.30": ("a.example",)})
    assert ("203.0.113.30", 0, "refuse") in told[-1]
    outside.reset()
    assert told[-1] == []
    end()
    end()
    count = len(told)
    outside.host("a.example").refuse()
    assert len(told) == count
