"""`egress.capture`: the process's own connections in the pod, judged, and left alone afterwards."""

from __future__ import annotations

import asyncio
import ctypes.util
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from pytest_egress.backends.local import LocalBackend
from pytest_egress.capture import interceptor
from pytest_egress.capture.stack import STACK
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import CapturedCallError, ProbeError, UncapturedProcessWarning
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict

CONTRACT = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: weather}
spec:
  hosts: [api.weather.com]
  location: MESH_EXTERNAL
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: https, protocol: HTTPS}
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: database}
spec:
  hosts: [db.example.com]
  addresses: [203.0.113.9]
  location: MESH_EXTERNAL
  ports:
  - {number: 5432, name: tcp, protocol: TCP}
  resolution: DNS
"""

PATCHED = (
    *((socket.socket, name) for name in ("connect", "connect_ex", "getpeername", "setsockopt")),
    *((socket.socket, name) for name in ("getsockname", "getsockopt", "sendto", "sendmsg")),
    *((socket, name) for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex")),
    *((ssl.SSLContext, name) for name in ("load_default_certs", "load_verify_locations")),
    *((ssl.SSLContext, name) for name in ("wrap_socket", "wrap_bio", "set_default_verify_paths")),
    (os, "fork"),
    (subprocess.Popen, "__init__"),
)


def _standing() -> dict[tuple[Any, str], Any]:
    return {(owner, name): vars(owner).get(name) for owner, name in PATCHED}


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Each test leaves every function, the environment and the import system as they were."""
    before, environment, finders = _standing(), dict(os.environ), list(sys.meta_path)
    yield
    changed = [
        f"{owner.__name__}.{name}"
        for (owner, name), function in _standing().items()
        if function is not before[owner, name]
    ]
    assert not changed
    assert not interceptor.capturing()
    assert {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"} == {
        k: v for k, v in environment.items() if k != "PYTEST_CURRENT_TEST"
    }
    assert sys.meta_path == finders


@pytest.fixture
def pod(backend: LocalBackend) -> Egress:
    """A pod under the contract."""
    return Egress(backend, loads(CONTRACT), test="the test")


@pytest.fixture
def upstreams(backend: LocalBackend) -> Iterator[Upstreams]:
    """Scripts for the outside."""
    with backend.upstreams() as scripts:
        yield scripts


def test_requests_are_calls_with_all_that_is_known_of_them(pod: Egress) -> None:
    """One call per request, also on a kept connection; one per connection where it is encrypted."""
    with pod.capture() as calls, requests.Session() as session:
        session.get("http://api.weather.com/a", timeout=5)
        session.get("http://api.weather.com/b?c=d", timeout=5)
        session.get("https://api.weather.com/e", timeout=5)
        assert len(calls) == 3
    assert [call.target for call in calls] == [
        "http://api.weather.com:80/a",
        "http://api.weather.com:80/b?c=d",
        "tls://api.weather.com:443",
    ]
    assert [call.verdict for call in calls] == [Verdict.REACHABLE] * 3
    first, _, encrypted = calls
    assert (first.method, first.path, first.status, first.test) == ("GET", "/a", 200, "the test")
    assert encrypted.sni == "api.weather.com"
    assert str(first.declared_by[0]).startswith("<string>:5:")
    assert first.where is not None
    assert first.where.file == __file__
    assert first.where.function == "test_requests_are_calls_with_all_that_is_known_of_them"
    assert first.bytes_received > 0
    assert 0 <= first.started < 60
    assert calls.hosts == {"api.weather.com"}
    calls.assert_only("api.weather.com")
    assert "GET http://api.weather.com:80/a at " in repr(calls)


def test_blocked_call_fails_although_it_was_swallowed(pod: Egress) -> None:
    """The failure names the line that made it, what decided, and what would allow it."""

    def application() -> None:
        with pytest.raises(requests.ConnectionError):
            requests.get("https://evil.example/", timeout=5)

    with pytest.raises(CapturedCallError) as caught, pod.capture() as calls:
        application()
    message = str(caught.value)
    assert message.startswith("1 call outside of the contract:")
    assert "target    tls://evil.example:443" in message
    assert "BLOCKED" in message
    assert "in application" in message
    assert calls.blocked.hosts == {"evil.example"}
    with pytest.raises(AssertionError, match=r"\+ BLOCKED tls://evil\.example:443"):
        calls.assert_only("api.weather.com")


def test_blocked_call_wins_over_the_error_that_the_test_expects(pod: Egress) -> None:
    """``pytest.raises`` around a capture does not hide a blocked call."""
    with pytest.raises(CapturedCallError), pod.capture():
        urllib.request.urlopen("http://evil.example/")
    with pytest.raises(urllib.error.HTTPError, match="502"), pod.capture(on_blocked="allow"):
        urllib.request.urlopen("http://evil.example/")


def test_blocked_call_can_warn_or_be_allowed(pod: Egress) -> None:
    """``on_blocked`` leaves the judgement to the test."""
    with (
        pytest.warns(UserWarning, match=r"tcp://db\.example\.com:1"),
        pod.capture(on_blocked="warn"),
    ):
        assert _exchange(("db.example.com", 1)) == b""
    with pod.capture(on_blocked="allow") as calls:
        assert _exchange(("db.example.com", 1)) == b""
    assert calls.blocked == list(calls)
    with pytest.raises(ProbeError, match="'fail', 'warn' or 'allow'"):
        pod.capture(on_blocked="ignore")  # type: ignore[arg-type]


def _exchange(address: tuple[str, int], data: bytes = b"hello\n") -> bytes:
    with socket.create_connection(address, timeout=5) as connection:
        try:
            connection.sendall(data)
            return connection.recv(100)
        except ConnectionError:
            return b""


def test_each_verdict(pod: Egress, upstreams: Upstreams) -> None:
    """Reachable, unreachable, unresolved, undeclared: told by the proxy's records."""
    upstreams["db.example.com"].echo()
    upstreams["gone.example.com"].nxdomain()
    with pod.capture() as calls:
        assert _exchange(("db.example.com", 5432)) == b"hello\n"
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("gone.example.com", 443)
        upstreams["db.example.com"].refuse()
        assert _exchange(("203.0.113.9", 5432)) == b""
    assert [call.verdict.value for call in calls] == ["REACHABLE", "UNRESOLVED", "UNREACHABLE"]
    assert calls.to("DB.example.com.", 5432).reachable
    assert calls.unresolved[0].target == "gone.example.com"
    assert calls.unreachable[0].host == "db.example.com"
    open_mesh = pod.with_policy("ALLOW_ANY")
    with open_mesh.capture() as calls:
        requests.get("https://evil.example/", timeout=5)
    assert calls.undeclared.hosts == {"evil.example"}


def test_connections_that_stay_open_are_judged(pod: Egress, upstreams: Upstreams) -> None:
    """A pooled connection has its record when its upstream has been connected."""
    upstreams["db.example.com"].echo()
    with pod.capture() as calls:
        connection = socket.create_connection(("db.example.com", 5432), timeout=5)
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        assert [call.verdict for call in calls] == [Verdict.REACHABLE]
    with connection:
        connection.sendall(b"y")  # and it goes on when the capture has ended
        assert connection.recv(1) == b"y"


def test_client_that_leaves_in_the_middle_of_an_answer_has_reached_it(
    pod: Egress, upstreams: Upstreams
) -> None:
    """Who has heard enough is no failure of the upstream's."""
    upstreams["api.weather.com"].respond(200, body=b"x" * 20_000_000)
    with pod.capture() as calls:
        with (
            socket.create_connection(("api.weather.com", 443), timeout=5) as plain,
            ssl.create_default_context().wrap_socket(
                plain, server_hostname="api.weather.com"
            ) as connection,
        ):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: api.weather.com\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"
        deadline = time.monotonic() + 10
        while any(it.open for it in upstreams.connections if it.tls):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (call,) = calls
        assert call.verdict is Verdict.REACHABLE, call


def test_silence_is_no_proof(pod: Egress) -> None:
    """A connection on which nothing was said has decided nothing, and that fails."""
    with (
        pytest.raises(CapturedCallError, match="INCONCLUSIVE"),
        pod.capture(),
        socket.create_connection(("api.weather.com", 80), timeout=5),
    ):
        pass


def test_sockets_look_like_those_they_stand_for(pod: Egress) -> None:
    """Names, options and blocking modes are those of a TCP socket."""
    with pod.capture(on_blocked="allow"):
        sock = socket.create_connection(("203.0.113.9", 5432), timeout=3)
        with sock:
            assert sock.getpeername() == ("203.0.113.9", 5432)
            assert sock.getsockname()[1] > 0
            assert sock.gettimeout() == 3
            assert not os.get_blocking(sock.fileno())
            assert not sock.get_inheritable()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert len(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 4)) == 4
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert sock.connect_ex(("203.0.113.9", 5432)) != 0
            assert sock.family is socket.AF_INET


def test_non_blocking_connect_with_select_and_epoll(pod: Egress, upstreams: Upstreams) -> None:
    """A socket may be registered before it is connected."""
    upstreams["db.example.com"].banner(b"220 ready\r\n")
    with pod.capture() as calls, socket.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex(("203.0.113.9", 5432)) in {0, 115}
        assert select.select([], [sock], [], 5)[1] == [sock]
        assert select.select([sock], [], [], 5)[0] == [sock]
        assert sock.recv(100) == b"220 ready\r\n"
    assert calls.reachable.hosts == {"203.0.113.9"}


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")
def test_epoll_registration_outlives_the_connect(pod: Egress, upstreams: Upstreams) -> None:
    """What an application registered before it connected is registered afterwards."""
    upstreams["db.example.com"].banner(b"220 ready\r\n")
    with pod.capture(), socket.socket() as sock, select.epoll() as poll:
        sock.setblocking(False)
        poll.register(sock, select.EPOLLIN)
        sock.connect_ex(("203.0.113.9", 5432))
        assert (sock.fileno(), select.EPOLLIN) in poll.poll(5)


def test_asyncio_streams(pod: Egress) -> None:
    """The event loop's own connect and lookup, many at once, with TLS."""

    async def fetch(path: str) -> bytes:
        reader, writer = await asyncio.open_connection("api.weather.com", 443, ssl=True)
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: api.weather.com\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    async def fetch_all() -> list[bytes]:
        return await asyncio.gather(*(fetch(str(i)) for i in range(10)))

    with pod.capture() as calls:
        assert set(asyncio.run(fetch_all())) == {b"HTTP/1.1 200 OK\r\n"}
    assert len(calls.reachable) == 10


def test_threads(pod: Egress) -> None:
    """Connections of every thread are captured, each tied to its own record."""

    def fetch(number: int) -> int:
        url = f"http://api.weather.com/{number}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)

    with pod.capture() as calls, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fetch, range(40))) == {200}
    assert {call.path for call in calls.reachable} == {f"/{number}" for number in range(40)}


def test_loopback_and_exclusions_stay_out(pod: Egress) -> None:
    """A server of this machine is reached directly; so is what is excluded."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=_answer_twice, args=(server,))
        thread.start()
        with pod.capture() as calls:
            assert _exchange(("localhost", port)) == b"direct"
            assert _exchange(("127.0.0.1", port)) == b"direct"
        thread.join(5)
    assert not calls
    with pod.capture(exclude=["203.0.113.0/24", "*.internal"]) as calls:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.bind(("127.0.0.1", 0))
            with pytest.raises(OSError, match=r"\[Errno (22|101)\]"):  # not ours: the kernel's
                sock.connect(("203.0.113.1", 9))
    assert not calls
    with pytest.raises(ProbeError, match="expected a host"):
        pod.capture(exclude=["http://x.example"])


def _answer_twice(server: socket.socket) -> None:
    for _ in range(2):
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"direct")


def test_udp_is_refused_and_recorded(pod: Egress) -> None:
    """A sidecar captures no UDP, and nothing of a test may leave the machine."""
    with (
        pod.capture(on_blocked="allow") as calls,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        with pytest.raises(PermissionError, match="does not capture UDP"):
            sock.sendto(b"x", ("203.0.113.5", 443))
        with pytest.raises(PermissionError, match="does not capture UDP"):
            sock.connect(("203.0.113.5", 53))
        with pytest.raises(PermissionError, match="does not capture UDP"):
            sock.sendmsg([b"x"], [], 0, ("203.0.113.5", 443))
    assert [call.target for call in calls] == [
        "udp://203.0.113.5:443",
        "udp://203.0.113.5:53",
        "udp://203.0.113.5:443",
    ]


def test_captures_nest(pod: Egress) -> None:
    """The innermost capture takes the calls; the outer one goes on after it."""
    with pod.capture() as outer:
        with pod.without("api.weather.com").capture(on_blocked="allow") as inner:
            assert _exchange(("api.weather.com", 80)) == b""
        urllib.request.urlopen("http://api.weather.com/", timeout=5).close()
    assert [call.verdict for call in inner] == [Verdict.BLOCKED]
    assert [call.verdict for call in outer] == [Verdict.REACHABLE]


def test_child_process_is_told(pod: Egress) -> None:
    """What a child process calls is not seen, and the warning says so."""
    with (
        pytest.warns(UncapturedProcessWarning, match="what a child process calls"),
        pod.capture() as calls,
    ):
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert not calls


def test_python_s_own_looks_at_the_machine_are_no_children(pod: Egress) -> None:
    """Libraries ask for the C library or the platform when they are imported."""
    with warnings.catch_warnings(), pod.capture() as calls:
        warnings.simplefilter("error")
        ctypes.util.find_library("c")
    assert not calls


def test_certificates_are_trusted_and_only_then(pod: Egress, upstreams: Upstreams) -> None:
    """Contexts of any age trust the outside's CA, a wrong certificate fails; nothing stays."""
    before = ssl.create_default_context()
    with pod.capture():
        for context in (before, ssl.create_default_context(), None):
            with urllib.request.urlopen("https://api.weather.com/", context=context) as answer:
                assert answer.status == 200
        assert requests.get("https://api.weather.com/", timeout=5).status_code == 200
        upstreams["api.weather.com"].certificate("wrong-name")
        with pytest.raises(requests.exceptions.SSLError):
            requests.get("https://api.weather.com/", timeout=5)
    assert len(ssl.create_default_context().get_ca_certs()) < len(before.get_ca_certs())
    with pod.capture(trust=False), pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY"):
        urllib.request.urlopen("https://api.weather.com/")


def test_dead_proxy_is_inconclusive(backend: LocalBackend) -> None:
    """A proxy that has gone refuses connections, and its calls have no proof."""
    own = LocalBackend()
    try:
        pod = Egress(own, loads(CONTRACT))
        capture = pod.capture()
        with capture as calls:
            os.kill(pod.mesh.pid, 9)  # type: ignore[attr-defined]
            with pytest.raises(requests.ConnectionError):
                requests.get("http://api.weather.com/", timeout=5)
            assert "INCONCLUSIVE" in capture.finish()
        assert calls.inconclusive
    finally:
        own.close()


def test_what_an_upstream_calls_itself_is_not_captured(pod: Egress, upstreams: Upstreams) -> None:
    """An application that stands for an upstream runs in this process, but is the outside."""
    seen: list[object] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(STACK.top())
        start_response("200 OK", [])
        return [b"mine"]

    upstreams["api.weather.com"].to(application)
    with pod.capture() as calls:
        assert STACK.top() is not None
        assert requests.get("https://api.weather.com/", timeout=10).text == "mine"
    assert seen == [None]
    assert len(calls.reachable) == 1


def test_pool_that_outlives_a_capture(pod: Egress, upstreams: Upstreams) -> None:
    """What it has kept is not used again: each capture has its own calls, under its contract."""
    with requests.Session() as session:
        for scheme in ("https", "http", "https", "http"):
            with pod.capture() as calls:
                assert session.get(f"{scheme}://api.weather.com/", timeout=10).ok
            assert calls.reachable.hosts == {"api.weather.com"}
        without = pod.without("api.weather.com")
        with without.capture(on_blocked="allow") as calls:
            for scheme in ("https", "http"):
                with pytest.raises(requests.ConnectionError):
                    session.get(f"{scheme}://api.weather.com/", timeout=10)
        assert len(calls.blocked) == 2


def test_connection_can_be_closed_in_good_order_after_its_capture(pod: Egress) -> None:
    """A database's goes on under the same contract, and ends under another; HTTP's ends."""
    request = b"GET / HTTP/1.1\r\nHost: api.weather.com\r\n\r\n"
    with pod.capture():
        first, second = (socket.create_connection(("203.0.113.9", 5432), 10) for _ in range(2))
        web = socket.create_connection(("api.weather.com", 80), 10)
        for connection, said in ((first, b"hello\n"), (second, b"hello\n"), (web, request)):
            connection.sendall(said)
            assert connection.recv(65536)
    first.sendall(b"bye\n")
    assert first.recv(4) == b"bye\n"
    first.close()
    with socket.create_server(("127.0.0.1", 0)) as server:  # the number of the first, as a rule
        pod.close()
        assert web.recv(1) == b""
        with pod.capture():
            second.sendall(b"again\n")
            assert second.recv(6) == b"again\n"
        with pod.with_policy("ALLOW_ANY").capture():
            assert second.recv(1) == b""
        with socket.create_connection(server.getsockname(), 10) as third:
            third.sendall(b"x")
    second.close()
    web.close()


@pytest.mark.parametrize("port", [-1, 0, 65536, 123456, "80"])
def test_port_that_is_none(pod: Egress, port: object) -> None:
    """What Python and the C library say of it without a capture, they say inside one."""
    excluded = ["127.0.0.1"]

    def endings(host: str) -> list[object]:
        found: list[object] = []
        with socket.socket() as sock:
            for attempt in (sock.connect, sock.connect_ex):
                try:
                    found.append(attempt((host, port)))
                except (OSError, OverflowError, TypeError) as error:
                    found.append((type(error), str(error).replace("_ex", "")))
        try:
            infos: Any = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[arg-type]
            found.append([info[4][1] for info in infos])
        except socket.gaierror as error:
            found.append(error.errno)
        return found

    with pod.capture(exclude=excluded, on_blocked="allow"):
        assert endings("api.weather.com" if port != "80" else "203.0.113.9") == endings("127.0.0.1")
