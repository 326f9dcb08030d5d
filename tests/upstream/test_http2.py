"""HTTP/2 and gRPC, with prior knowledge and over TLS."""

from __future__ import annotations

import json
import struct

import pytest

from pytest_egress.upstream import Outside

from .clients import H2Client, Reply, connect, exchange, tls

CHECK = "/grpc.health.v1.Health/Check"
GRPC = {"content-type": "application/grpc", "te": "trailers"}
EMPTY_MESSAGE = b"\0\0\0\0\0"


def ask(outside: Outside, path: str = "/", **options: object) -> Reply:
    """Make one request on a new connection with prior knowledge."""
    with connect(outside.locate("203.0.113.10", 80, dedicated=True)) as sock:
        client = H2Client(sock)
        return client.receive(client.send(path, **options))  # type: ignore[arg-type]


def test_prior_knowledge(outside: Outside) -> None:
    """The preface tells HTTP/2 from HTTP/1.1 on one port."""
    reply = ask(outside, "/a?b", method="POST", body=b"hello")
    assert reply.headers[":status"] == "200"
    assert reply.headers["x-egress-upstream"] == outside.token
    assert json.loads(reply.body) == {
        "upstream": "api.example.com",
        "address": "203.0.113.10",
        "port": 80,
        "method": "POST",
        "path": "/a?b",
        "http_version": "HTTP/2",
    }
    (request,) = outside.host("api.example.com").requests
    assert (request.body, request.http_version) == (b"hello", "HTTP/2")
    assert list(request.headers) == []


def test_over_tls(outside: Outside) -> None:
    """ALPN h2 leads to HTTP/2 inside TLS."""
    place = outside.locate("203.0.113.10", 443)
    with tls(place, outside.ca_file, "api.example.com", alpn=("h2", "http/1.1")) as sock:
        assert sock.selected_alpn_protocol() == "h2"
        client = H2Client(sock)
        assert client.receive(client.send("/")).headers[":status"] == "200"
    assert outside.requests[0].sni == "api.example.com"
    assert outside.connections[0].protocol == "tls+h2"


def test_streams_do_not_wait_for_each_other(outside: Outside) -> None:
    """A delayed answer holds up its own stream only."""
    outside.host("slow.example").delay(0.3)
    with connect(outside.locate("203.0.113.10", 80)) as sock:
        client = H2Client(sock)
        slow = client.send("/", authority="slow.example")
        fast = client.send("/", authority="fast.example")
        client.receive(slow)
        assert client.order == [fast, slow]


def test_large_bodies_respect_flow_control(outside: Outside) -> None:
    """An answer larger than the window comes in parts, and whole."""
    body = bytes(range(256)) * 2000
    outside.host("api.example.com").respond(200, {"Connection": "close"}, body)
    reply = ask(outside)
    assert reply.body == body
    assert "connection" not in reply.headers


def test_large_request_body(outside: Outside) -> None:
    """A request larger than the window is acknowledged as it comes."""
    with connect(outside.locate("203.0.113.10", 80)) as sock:
        client = H2Client(sock)
        client.connection.send_headers(
            1, [(":method", "PUT"), (":path", "/"), (":scheme", "http"), (":authority", "a")]
        )
        client.replies[1] = Reply()
        left = 200_000
        while left:
            room = min(client.connection.local_flow_control_window(1), 16384, left)
            if room:
                client.connection.send_data(1, b"x" * room, end_stream=room == left)
                left -= room
            sock.sendall(client.connection.data_to_send())
            if not room:
                client.connection.receive_data(sock.recv(65536))
        client.receive(1)
    assert len(outside.requests[0].body) == 200_000


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204)])
def test_answers_without_a_body(outside: Outside, method: str, status: int) -> None:
    """HEAD and 204 end with their headers."""
    outside.host("api.example.com").respond(status, body=b"ignored")
    reply = ask(outside, method=method)
    assert (reply.headers[":status"], reply.body) == (str(status), b"")


def test_reset_and_silent(outside: Outside) -> None:
    """A scripted reset ends the connection; silence leaves one stream without an answer."""
    outside.host("quiet.example").silent()
    outside.host("rude.example").reset()
    with connect(outside.locate("203.0.113.10", 80)) as sock:
        client = H2Client(sock)
        quiet = client.send("/", authority="quiet.example")
        client.receive(client.send("/", authority="fast.example"))
        assert not client.replies[quiet].ended
        rude = client.send("/", authority="rude.example")
        with pytest.raises(ConnectionResetError):
            client.receive(rude)


def test_garbage_after_the_preface(outside: Outside) -> None:
    """What is no HTTP/2 ends with GOAWAY and is told of, not raised."""
    data_frame_on_stream_0 = b"\0\0\1\0\0\0\0\0\0x"
    data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + data_frame_on_stream_0
    assert exchange(outside.locate("203.0.113.10", 80), data, b"never")
    assert "not HTTP/2" in outside.connections[0].problem


def test_grpc_health_is_serving(outside: Outside) -> None:
    """grpc.health.v1: the message says SERVING, the trailers OK."""
    reply = ask(outside, CHECK, method="POST", headers=GRPC, body=EMPTY_MESSAGE)
    assert reply.headers[":status"] == "200"
    assert reply.headers["content-type"] == "application/grpc"
    assert reply.headers["x-egress-upstream"] == outside.token
    assert reply.body == b"\0" + struct.pack("!I", 2) + b"\x08\x01"
    assert reply.trailers == {"grpc-status": "0"}


def test_other_grpc_methods_are_unimplemented(outside: Outside) -> None:
    """An unknown method ends with trailers only."""
    reply = ask(outside, "/weather.v1.Api/Get", method="POST", headers=GRPC, body=EMPTY_MESSAGE)
    assert reply.headers["grpc-status"] == "12"
    assert reply.headers["grpc-message"] == "UNIMPLEMENTED: /weather.v1.Api/Get"
    assert reply.body == b""


@pytest.mark.parametrize("status", ["UNAVAILABLE", 14])
def test_grpc_status_is_scriptable(outside: Outside, status: str | int) -> None:
    """The status and its message, percent-encoded as gRPC wants it."""
    outside.host("api.example.com").grpc_status(status, "50 % down")
    reply = ask(outside, CHECK, method="POST", headers=GRPC, body=EMPTY_MESSAGE)
    assert reply.headers["grpc-status"] == "14"
    assert reply.headers["grpc-message"] == "50 %25 down"


def test_grpc_call_can_fail_as_http(outside: Outside) -> None:
    """A gateway in front of a gRPC server answers in plain HTTP."""
    outside.host("api.example.com").fail(503)
    first, second = (
        ask(outside, CHECK, method="POST", headers=GRPC, body=EMPTY_MESSAGE) for _ in range(2)
    )
    assert (first.headers[":status"], first.trailers) == ("503", {})
    assert second.trailers == {"grpc-status": "0"}
