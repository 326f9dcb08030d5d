"""gRPC: the health check, other unary calls, and answers that are not gRPC."""

from __future__ import annotations

from typing import Any

import h2.connection
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_egress.probe import Attempt, Options, Prober, Target
from pytest_egress.probe.grpc import health_request, serving_status

from .servers import H2Request, Handler, answer, h2_server, serve

_GRPC = [(":status", "200"), ("content-type", "application/grpc")]


def _attempt(handler: Handler, path: str = "/", **options: Any) -> Attempt:
    with serve(handler) as port:
        return Prober().attempt(
            Target("grpc", "127.0.0.1", port, path),
            Options(**options),
        )


def _unary(message: bytes, *trailers: tuple[str, str]) -> Handler:
    def respond(connection: h2.connection.H2Connection, _request: H2Request) -> None:
        connection.send_headers(1, _GRPC)
        connection.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message)
        connection.send_headers(1, list(trailers), end_stream=True)

    return h2_server(respond)


@pytest.mark.parametrize(
    ("message", "serving"),
    [
        (b"\x08\x01", "SERVING"),
        (b"\x08\x02", "NOT_SERVING"),
        (b"\x08\x03", "SERVICE_UNKNOWN"),
        (b"", "UNKNOWN"),
        (b"\x08\x07", "7"),
        (b"\x12\x01x\x1d\0\0\0\0\x21\0\0\0\0\0\0\0\0\x08\x01", "SERVING"),
        (b"\x0b\x08\x01", None),
        (b"\x08", None),
        (b"\x12\x05x", None),
    ],
)
def test_the_serving_status(message: bytes, serving: str | None) -> None:
    """The health check's answer is decoded, unknown fields are skipped."""
    attempt = _attempt(_unary(message, ("grpc-status", "0")))
    assert attempt.failure is None
    assert (attempt.stage, attempt.completed) == ("grpc", True)
    assert attempt.response is not None
    assert (attempt.response.grpc_status, attempt.response.serving) == (0, serving)


def test_the_call_as_sent() -> None:
    """Method, fields and message are those of grpc.health.v1.Health/Check."""
    seen: list[H2Request] = []

    def respond(connection: h2.connection.H2Connection, _request: H2Request) -> None:
        connection.send_headers(1, [*_GRPC, ("grpc-status", "0")], end_stream=True)

    attempt = _attempt(
        h2_server(respond, seen), grpc_service="p.S", host_header="a.example", headers=(("x", "1"),)
    )
    assert attempt.completed
    assert seen[0].body == b"\0\0\0\0\x05\x0a\x03p.S"
    assert seen[0].headers == {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "a.example",
        ":path": "/grpc.health.v1.Health/Check",
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "pytest-egress",
        "x": "1",
    }


def test_a_method_of_its_own() -> None:
    """A path names another unary method, whose message is the body as given."""
    seen: list[H2Request] = []

    def respond(connection: h2.connection.H2Connection, request: H2Request) -> None:
        connection.send_headers(1, _GRPC)
        connection.send_data(1, request.body)
        connection.send_headers(1, [("grpc-status", "0")], end_stream=True)

    attempt = _attempt(h2_server(respond, seen), "/p.S/Echo", body=b"abc")
    assert seen[0].headers[":path"] == "/p.S/Echo"
    assert attempt.response is not None
    assert attempt.response.body == b"\0\0\0\0\x03abc"
    assert attempt.response.serving is None


def test_a_status_without_a_message() -> None:
    """Trailers-only, as Envoy's local replies are: the status stands among the fields."""

    def respond(connection: h2.connection.H2Connection, _request: H2Request) -> None:
        fields = [("grpc-status", "14"), ("grpc-message", "no healthy upstream%21 %C3%A9 %zz")]
        connection.send_headers(1, _GRPC + fields, end_stream=True)

    attempt = _attempt(h2_server(respond))
    assert attempt.completed
    assert attempt.response is not None
    assert attempt.response.grpc_status == 14
    assert attempt.response.grpc_message == "no healthy upstream! \u00e9 %zz"
    assert attempt.response.serving is None


def test_another_http_status_is_an_answer() -> None:
    """A gateway's 502 has no grpc-status and is a completed exchange all the same."""

    def respond(connection: h2.connection.H2Connection, _request: H2Request) -> None:
        connection.send_headers(1, [(":status", "502")], end_stream=True)

    attempt = _attempt(h2_server(respond))
    assert attempt.completed
    assert attempt.response is not None
    assert (attempt.response.status, attempt.response.grpc_status) == (502, None)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ([(":status", "200"), ("content-type", "text/html")], "content-type text/html"),
        ([*_GRPC, ("grpc-status", "zero")], "'zero' is not a number"),
    ],
)
def test_answers_that_are_not_grpc(fields: list[tuple[str, str]], problem: str) -> None:
    """A web server's 200 and a nonsensical status are protocol failures, with their response."""

    def respond(connection: h2.connection.H2Connection, _request: H2Request) -> None:
        connection.send_headers(1, fields, end_stream=True)

    attempt = _attempt(h2_server(respond))
    assert attempt.failure is not None
    assert attempt.failure.kind == "protocol"
    assert problem in attempt.failure.message
    assert attempt.response is not None
    assert attempt.response.status == 200


def test_a_server_of_http_1() -> None:
    """An HTTP/1 answer ends the attempt at the grpc stage at once."""
    attempt = _attempt(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert attempt.failure is not None
    assert (attempt.stage, attempt.failure.kind) == ("grpc", "protocol")
    assert "HTTP/1" in attempt.failure.message


def test_long_service_names() -> None:
    """A name beyond 127 bytes has a length of two bytes."""
    assert health_request("s" * 200) == b"\x0a\xc8\x01" + b"s" * 200


@given(st.binary(max_size=30))
def test_any_message_is_read_or_given_up(message: bytes) -> None:
    """Arbitrary bytes never raise."""
    status = serving_status(message)
    assert status is None or status
