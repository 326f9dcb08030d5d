"""Servers of the user's own behind a simulated name."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading

import pytest
import requests
from pytest_httpserver import HTTPServer

from pytest_egress.upstream import Outside, forward
from pytest_egress.upstream.conduct import Forward

from .clients import connect, exchange, read, tls


@pytest.fixture
def server(httpserver: HTTPServer) -> HTTPServer:
    """A server that answers /x with "mine"."""
    httpserver.expect_request("/x").respond_with_data("mine")
    return httpserver


GET = b"GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("spelling", ["object", "string", "pair"])
def test_to_a_server(outside: Outside, server: HTTPServer, spelling: str) -> None:
    """The server is named by itself, by host:port, or by a pair."""
    target: object = {
        "object": server,
        "string": f"{server.host}:{server.port}",
        "pair": (server.host, server.port),
    }[spelling]
    outside.host("203.0.113.10").to(target)
    host, port = outside.locate("203.0.113.10", 80)
    assert requests.get(f"http://{host}:{port}/x", timeout=5).text == "mine"
    (connection,) = outside.connections
    assert connection.forwarded
    proof = outside.accepted(connection.client)
    assert proof is not None
    assert proof.forwarded


def test_to_by_host_on_a_shared_place(outside: Outside, server: HTTPServer) -> None:
    """Without a place of its own, the Host header says whose request it is."""
    outside.host("a.example").to(server)
    place = outside.locate("203.0.113.99", 80)
    assert exchange(place, GET, b"mine").endswith(b"mine")
    assert outside.token.encode() in exchange(place, GET.replace(b"a.ex", b"b.ex"), b"}")


def test_tls_terminated(outside: Outside, server: HTTPServer) -> None:
    """With tls_terminate, a plain server is behind the throw-away certificate."""
    outside.host("a.example").to(server, tls_terminate=True)
    with tls(outside.locate("203.0.113.99", 443), outside.ca_file, "a.example") as sock:
        sock.sendall(GET)
        assert read(sock, b"mine").endswith(b"mine")


def test_tls_untouched(outside: Outside) -> None:
    """Without tls_terminate, the server's own certificate is what the client sees."""
    import trustme

    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("a.example").configure_cert(context)
    with HTTPServer(ssl_context=context) as server:
        server.expect_request("/x").respond_with_data("mine")
        outside.host("a.example").to(server)
        trust = ssl.create_default_context()
        ca.configure_trust(trust)
        raw = connect(outside.locate("203.0.113.99", 443))
        with trust.wrap_socket(raw, server_hostname="a.example") as sock:
            sock.sendall(GET)
            assert read(sock, b"mine").endswith(b"mine")


def test_bytes_pass_both_ways_without_deadlock(outside: Outside) -> None:
    """A peer that sends much before it reads holds nothing up; the end of one side is passed on."""
    listener = socket.create_server(("127.0.0.1", 0))
    size = 8 << 20
    received = []

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.sendall(b"s" * size)
            sock.shutdown(socket.SHUT_WR)
            received.append(sum(len(data) for data in iter(lambda: sock.recv(65536), b"")))

    thread = threading.Thread(target=serve)
    thread.start()
    outside.host("203.0.113.10").to(listener.getsockname())
    with connect(outside.locate("203.0.113.10", 80)) as sock:
        sock.sendall(b"c" * (1 << 20))
        sock.shutdown(socket.SHUT_WR)
        got = sum(len(data) for data in iter(lambda: sock.recv(65536), b""))
    thread.join(5)
    listener.close()
    assert received == [1 << 20]
    assert got == size


def test_server_that_speaks_first(outside: Outside) -> None:
    """Nothing is awaited from the client before the server is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        outside.host("203.0.113.10").to(listener.getsockname())
        with connect(outside.locate("203.0.113.10", 25)) as sock:
            server, _ = listener.accept()
            with server:
                server.sendall(b"220 mine\r\n")
                assert sock.recv(100) == b"220 mine\r\n"


def test_server_that_is_gone(outside: Outside) -> None:
    """A server that does not answer is told of in the record; the client is reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = listener.getsockname()
    outside.host("203.0.113.10").to(target)
    with pytest.raises(ConnectionResetError):
        exchange(outside.locate("203.0.113.10", 80), b"x", b"never")
    assert "does not answer" in outside.connections[0].problem


def test_end_that_comes_while_connecting(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is ended before its other half is known does not wait for that one."""
    connect_really = forward._connect

    def connect_late(conduct: Forward) -> socket.socket | None:
        server = connect_really(conduct)
        outside._workers.abort(lambda _: True)
        return server

    monkeypatch.setattr(forward, "_connect", connect_late)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        upstream = outside.host("203.0.113.10").to(listener.getsockname())
        with connect(outside.locate("203.0.113.10", 80)) as sock:
            server, _ = listener.accept()
            with server:
                assert sock.recv(1) == b""
                assert server.recv(1) == b""
                assert upstream._stage.wait(lambda: not outside.connections[0].open, 5)


def test_stop_ends_forwarding(outside: Outside) -> None:
    """A connection that is being passed on does not hold up the end of the run."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        outside.host("203.0.113.10").to(listener.getsockname())
        with connect(outside.locate("203.0.113.10", 80)) as sock:
            server, _ = listener.accept()
            with server:
                outside.stop()
                assert sock.recv(1) == b""
                assert server.recv(1) == b""


def test_end_that_meets_a_server_that_has_gone() -> None:
    """A reset that came before the client's end is told as one, and not as a failed farewell."""
    client, ours = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        to_server = socket.create_connection(listener.getsockname(), 5)
        server, _ = listener.accept()
    with client, ours, to_server:
        client.close()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        arrived = select.poll()
        arrived.register(to_server, select.POLLHUP)
        assert arrived.poll(5000)
        with pytest.raises(ConnectionResetError):
            forward.relay(ours, to_server)
