"""The stages in their order: lookups, connections, deadlines, and what an attempt records."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from pytest_egress.probe import (
    Attempt,
    DnsAnswer,
    Options,
    Prober,
    Target,
    attempt,
    connect,
)

from .servers import answer, free_port, serve, timed

_OK = answer(b"HTTP/1.1 204 No Content\r\n\r\n")


class _Names:
    """A resolver that answers as told and remembers what it was asked."""

    def __init__(self, rcode: str, *addresses: str) -> None:
        self.rcode = rcode
        self.addresses = addresses
        self.asked: list[tuple[str, int]] = []

    def lookup(self, name: str, family: int, timeout: float) -> DnsAnswer:
        """Answer at once."""
        assert 0 < timeout <= 5
        self.asked.append((name, family))
        return DnsAnswer(name, self.rcode, self.addresses)


def _raising(error: Exception) -> Callable[[str, int, float], socket.socket]:
    def dial(_address: str, _port: int, _timeout: float) -> socket.socket:
        raise error

    return dial


def _kind(made: Attempt) -> tuple[str, str | None]:
    assert made.completed is (made.failure is None)
    return made.stage, made.failure.kind if made.failure else None


@pytest.mark.parametrize(
    ("rcode", "kind", "message"),
    [
        ("NXDOMAIN", "rcode", "NXDOMAIN looking up a.example"),
        ("SERVFAIL", "rcode", "SERVFAIL looking up a.example"),
        ("NOERROR", "rcode", "NOERROR without addresses looking up a.example"),
        ("MALFORMED", "rcode", "MALFORMED looking up a.example"),
        ("TIMEOUT", "timeout", "timed out looking up a.example"),
    ],
)
def test_a_name_without_addresses(rcode: str, kind: str, message: str) -> None:
    """The attempt ends at dns, with the answer, and nothing is dialled."""
    dialled = _raising(AssertionError("dialled"))
    made = attempt(Target.parse("http://a.example/"), dial=dialled, resolver=_Names(rcode))
    assert made.failure is not None
    assert (made.stage, made.failure.kind, made.failure.message) == ("dns", kind, message)
    assert made.dns == DnsAnswer("a.example", rcode)
    assert made.address is None
    assert set(made.timings) == {"dns"}


@pytest.mark.parametrize(
    ("family", "asked"),
    [("any", socket.AF_UNSPEC), ("ipv4", socket.AF_INET), ("ipv6", socket.AF_INET6)],
)
def test_the_family_is_asked_for(family: str, asked: int) -> None:
    """The option reaches the resolver, and the name keeps its trailing dot."""
    names = _Names("NXDOMAIN")
    Prober(resolver=names).attempt(Target.parse("tcp://a.example.:1"), Options(family=family))
    assert names.asked == [("a.example.", asked)]


def test_no_lookup_for_an_address() -> None:
    """A literal and the address option skip the dns stage; the name stays in Host."""
    names = _Names("NXDOMAIN")
    with serve(_OK) as port:
        prober = Prober(resolver=names)
        literal = prober.attempt(Target("http", "127.0.0.1", port, "/"))
        given = prober.attempt(Target("http", "a.example", port, "/"), Options(address="127.0.0.1"))
    assert literal.completed
    assert given.completed
    assert (literal.dns, given.dns, names.asked) == (None, None, [])
    assert given.address == ("127.0.0.1", port)
    assert set(given.timings) == {"tcp", "http"}


def test_the_next_address_is_tried() -> None:
    """A refused address is followed by the next, as ordinary clients do."""
    with serve(_OK) as port:
        made = Prober(resolver=_Names("NOERROR", "127.0.0.2", "127.0.0.1")).attempt(
            Target("http", "a.example", port, "/")
        )
    assert made.completed
    assert made.address == ("127.0.0.1", port)
    assert list(made.timings) == ["dns", "tcp", "http"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "refused"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "reset"),
        (BrokenPipeError(errno.EPIPE, "x"), "reset"),
        (OSError(errno.ENOTCONN, "x"), "reset"),
        (TimeoutError("x"), "timeout"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "unreachable"),
        (OSError(errno.ENETUNREACH, "x"), "unreachable"),
        (PermissionError(errno.EACCES, "Permission denied"), "os"),
        (FileNotFoundError(errno.ENOENT, "x"), "os"),
        (OSError("no number"), "os"),
    ],
)
def test_what_a_dial_raises_is_recorded(error: OSError, kind: str) -> None:
    """Each system error has its kind, and says where it was going."""
    made = attempt(Target.parse("http://203.0.113.1/"), dial=_raising(error))
    assert _kind(made) == ("tcp", kind)
    assert made.failure is not None
    assert "connecting to 203.0.113.1:80" in made.failure.message


def test_a_bug_in_a_dial_is_not_a_network_failure() -> None:
    """Anything but an OSError is somebody's bug and is raised."""
    with pytest.raises(ZeroDivisionError):
        attempt(Target.parse("http://203.0.113.1/"), dial=_raising(ZeroDivisionError()))


def test_a_refused_port() -> None:
    """The default dial reports a port that nothing listens on."""
    made = attempt(Target("tcp", "127.0.0.1", free_port()))
    assert _kind(made) == ("tcp", "refused")


def test_the_connect_timeout_is_exact() -> None:
    """A connection that hangs costs connect_timeout, well within the attempt's timeout."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        # Two pending connections fill the queue; the kernel then drops what comes.
        with connect("127.0.0.1", port, 1), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(("127.0.0.1", port))
            target, options = Target("tcp", "127.0.0.1", port), Options(connect_timeout=0.2)
            made, elapsed = timed(0.25, lambda: attempt(target, options))
    assert _kind(made) == ("tcp", "timeout")
    assert 0.2 <= elapsed < 0.25


def test_the_timeout_covers_all_stages() -> None:
    """A server that keeps sending a byte at a time cannot stretch the attempt."""

    def trickle(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.settimeout(0.05)
        while True:
            sock.sendall(b"H")
            try:
                if not sock.recv(1):
                    return
            except TimeoutError:
                continue

    def slow(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        sock.settimeout(0.05)
        while True:
            sock.sendall(b"x")
            try:
                if not sock.recv(1):
                    return
            except TimeoutError:
                continue

    for handler, kind in ((slow, "timeout"), (trickle, "protocol")):
        with serve(handler) as port:
            prober, target = Prober(), Target("http", "127.0.0.1", port, "/")
            made, elapsed = timed(0.45, partial(prober.attempt, target, Options(timeout=0.4)))
        assert _kind(made) == ("http", kind)
        assert elapsed < 0.45
        assert sum(made.timings.values()) <= elapsed


def test_a_server_that_does_not_read() -> None:
    """Sending is bounded by the deadline, too."""
    released = threading.Event()

    def deaf(sock: socket.socket) -> None:
        sock.recv(1)
        released.wait(10)

    with serve(deaf) as port:
        target = Target("http", "127.0.0.1", port, "/")
        options = Options(method="POST", body=b"x" * 20_000_000, timeout=0.4)
        made, elapsed = timed(0.45, lambda: attempt(target, options))
        released.set()
    assert _kind(made) == ("http", "timeout")
    assert elapsed < 0.45


def test_a_slow_resolver_leaves_no_time() -> None:
    """A lookup that eats the whole timeout ends the attempt before a connection is tried."""

    class Slow(_Names):
        """Answers when the time is over."""

        def lookup(self, name: str, family: int, timeout: float) -> DnsAnswer:
            """Use the whole timeout up."""
            until = time.monotonic() + timeout
            while time.monotonic() < until:
                pass
            return super().lookup(name, family, timeout)

    made = Prober(_raising(AssertionError("dialled")), Slow("NOERROR", "127.0.0.1")).attempt(
        Target.parse("http://a.example/"), Options(timeout=0.05)
    )
    assert _kind(made) == ("tcp", "timeout")
    assert made.address is None


def test_the_connection_is_closed() -> None:
    """However an attempt ends, its socket does not outlive it."""
    opened: list[socket.socket] = []

    def dial(address: str, port: int, timeout: float) -> socket.socket:
        opened.append(connect(address, port, timeout))
        return opened[-1]

    with serve(lambda sock: sock.sendall(b"SSH-2.0\r\n")) as port:
        for scheme in ("http", "https", "tcp", "grpc", "grpcs", "tls"):
            Prober(dial).attempt(
                Target(scheme, "127.0.0.1", port, "" if scheme in {"tcp", "tls"} else "/"),
                Options(verify=False, quiet=0.01),
            )
    assert [sock.fileno() for sock in opened] == [-1] * 6
