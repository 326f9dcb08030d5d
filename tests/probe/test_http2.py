"""HTTP/2: whole exchanges with the h2 library's server, and frames that break the rules."""

from __future__ import annotations

import socket
import threading
from typing import Any

import h2.connection
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_egress.probe import Attempt, Options, Prober, Target
from pytest_egress.probe.hpack import encode

from .servers import H2Request, Handler, close, drain, h2_server, reset, serve

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def _attempt(handler: Handler, **options: Any) -> Attempt:
    with serve(handler) as port:
        return Prober().attempt(
            Target("http", "127.0.0.1", port, "/v3?x=1"),
            Options(**{"http_version": "2", **options}),
        )


def test_a_whole_exchange() -> None:
    """Request fields arrive as given; status, fields, content and trailers come back."""
    seen: list[H2Request] = []

    def respond(connection: h2.connection.H2Connection, _request: H2Request) -> None:
        connection.send_headers(1, [(":status", "103"), ("link", "x")])
        connection.send_headers(1, [(b":status", b"200"), (b"x-a", b"\xe9")])
        connection.ping(b"12345678")
        connection.send_data(1, b"hel", pad_length=7)
        connection.send_data(1, b"lo")
        connection.send_headers(1, [("x-sum", "9")], end_stream=True)

    attempt = _attempt(
        h2_server(respond, seen),
        method="PUT",
        body=b"abc",
        host_header="api.weather.com",
        headers=(("X-Upper", "1"), ("Connection", "close"), ("TE", "gzip"), ("Host", "no")),
    )
    assert attempt.failure is None
    assert attempt.stage == "http"
    assert attempt.response is not None
    assert (attempt.response.status, attempt.response.http_version) == (200, "2")
    assert attempt.response.headers.get("X-A") == "\u00e9"
    assert attempt.response.body == b"hello"
    assert attempt.response.trailers == (("x-sum", "9"),)
    assert seen[0].body == b"abc"
    assert seen[0].headers == {
        ":method": "PUT",
        ":scheme": "http",
        ":authority": "api.weather.com",
        ":path": "/v3?x=1",
        "user-agent": "pytest-egress",
        "accept": "*/*",
        "content-length": "3",
        "x-upper": "1",
    }


def test_large_bodies_pass_the_windows() -> None:
    """Bodies of several windows go out and come back under flow control."""
    body = bytes(range(256)) * 2000

    def echo(connection: h2.connection.H2Connection, request: H2Request) -> bytes:
        connection.send_headers(1, [(":status", "200")])
        return request.body

    attempt = _attempt(h2_server(echo), method="POST", body=body)
    assert attempt.failure is None
    assert attempt.response is not None
    assert attempt.response.body == body
    assert not attempt.response.truncated


def test_a_body_is_bounded() -> None:
    """More content than max_body is cut off and the stream cancelled."""

    def respond(connection: h2.connection.H2Connection, _request: H2Request) -> None:
        connection.send_headers(1, [(":status", "200")])
        connection.send_data(1, b"0123456789")

    attempt = _attempt(h2_server(respond), max_body=4)
    assert attempt.completed
    assert attempt.response is not None
    assert (attempt.response.body, attempt.response.truncated) == (b"0123", True)


def test_large_header_fields_are_continued() -> None:
    """Fields beyond one frame cross in CONTINUATION frames, both ways."""
    seen: list[H2Request] = []
    large = "x" * 20_000

    def respond(connection: h2.connection.H2Connection, _request: H2Request) -> None:
        connection.send_headers(1, [(":status", "200"), ("x-large", large * 2)], end_stream=True)

    attempt = _attempt(h2_server(respond, seen), headers=(("x-large", large),))
    assert attempt.failure is None
    assert attempt.response is not None
    assert attempt.response.headers.get("x-large") == large * 2
    assert seen[0].headers["x-large"] == large


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


_SETTINGS = _frame(4, 0, 0)
_OK = encode([(":status", "200")])
_HEAD = _SETTINGS + _frame(1, 4, 1, _OK)


def _frames(data: bytes, then: Handler = drain) -> Handler:
    def handler(sock: socket.socket) -> None:
        received = b""
        while len(received) < len(_PREFACE) + 9:
            received += sock.recv(65536)
        assert received.startswith(_PREFACE)
        sock.sendall(data)
        then(sock)

    return handler


@pytest.mark.parametrize(
    ("data", "kind", "problem"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol", "answers in HTTP/1"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "protocol", "does not speak HTTP/2"),
        (_frame(1, 4, 1, _OK), "protocol", "does not speak HTTP/2"),
        (_SETTINGS + b"\xff\xff\xff" + bytes(6), "protocol", "above what is allowed"),
        (_SETTINGS + _frame(3, 0, 1, b"\0\0\0\x07"), "reset", "REFUSED_STREAM"),
        (_SETTINGS + _frame(3, 0, 1, b"\0\0\0\x63"), "reset", "error 0x63"),
        (_SETTINGS + _frame(7, 0, 0, bytes(8) + b"drain"), "reset", "NO_ERROR (b'drain')"),
        (_SETTINGS + _frame(7, 0, 0, b"\0\0\0\x01\0\0\0\x0b"), "reset", "ENHANCE_YOUR_CALM"),
        (_SETTINGS + _frame(7, 0, 0, b"\0"), "protocol", "too short"),
        (_SETTINGS + _frame(7, 0, 1, bytes(8)), "protocol", "on a stream"),
        (_SETTINGS + _frame(0, 1, 1, b"x"), "protocol", "before the header"),
        (_SETTINGS + _frame(1, 4, 3, _OK), "protocol", "on stream 3"),
        (_SETTINGS + _frame(1, 0, 1, _OK) + _frame(6, 0, 0, bytes(8)), "protocol", "interrupted"),
        (_SETTINGS + _frame(9, 4, 1, _OK), "protocol", "a continuation of nothing"),
        (_SETTINGS + _frame(1, 4, 1, b"\x80"), "protocol", "header compression"),
        (_SETTINGS + _frame(1, 0x2C, 1, b"\x01"), "protocol", "padding"),
        (_SETTINGS + _frame(1, 0x24, 1, b"\x01"), "protocol", "too short"),
        (_SETTINGS + _frame(1, 4, 1, encode([("a", "b")])), "protocol", "one :status"),
        (_SETTINGS + _frame(1, 4, 1, _OK + _OK), "protocol", "one :status"),
        (_SETTINGS + _frame(1, 4, 1, encode([("a", "b")]) + _OK), "protocol", "one :status"),
        (_SETTINGS + _frame(1, 4, 1, encode([(":status", "2x0")])), "protocol", "status code"),
        (_SETTINGS + _frame(1, 4, 1, encode([(":status", "101")])), "protocol", "final answer"),
        (_SETTINGS + _frame(1, 5, 1, encode([(":status", "100")])), "protocol", "final answer"),
        (_SETTINGS + _frame(1, 4, 1, _OK + encode([("A", "b")])), "protocol", "header field"),
        (_SETTINGS + _frame(1, 4, 1, _OK + encode([("a", "b\n")])), "protocol", "header field"),
        (_HEAD + _frame(1, 4, 1, encode([("a", "b")])), "protocol", "trailers"),
        (_HEAD + _frame(1, 5, 1, _OK), "protocol", "trailers"),
        (_HEAD + _frame(5, 4, 1, bytes(4)), "protocol", "pushed"),
        (_HEAD + _frame(8, 0, 1, bytes(4)), "protocol", "window update of nothing"),
        (_HEAD + _frame(8, 0, 0, b"\x7f\xff\xff\xff"), "protocol", "window that is too large"),
        (_HEAD + _frame(6, 0, 0, b"x"), "protocol", "wrong length"),
        (_HEAD + _frame(4, 0, 0, b"x"), "protocol", "wrong length"),
        (_HEAD + _frame(4, 0, 0, b"\0\x04\xff\xff\xff\xff"), "protocol", "initial window"),
        (_HEAD + _frame(4, 0, 0, b"\0\x05\0\0\0\x01"), "protocol", "maximum frame size"),
        (
            _SETTINGS
            + _frame(1, 0, 1, b"\0" * 16384)
            + b"".join(_frame(9, 0, 1, b"\0" * 16384) for _ in range(4)),
            "protocol",
            "larger than 65536",
        ),
    ],
)
def test_frames_that_break_the_rules(data: bytes, kind: str, problem: str) -> None:
    """Each breach, refusal and shutdown is named at once, without waiting for the stream's end."""
    attempt = _attempt(_frames(data))
    assert attempt.failure is not None
    assert attempt.stage == "http"
    assert attempt.failure.kind == kind
    assert problem in attempt.failure.message


@pytest.mark.parametrize("data", [b"", _SETTINGS, _SETTINGS + b"\0\0", _HEAD])
@pytest.mark.parametrize(("then", "kind"), [(close, "eof"), (reset, "reset"), (drain, "timeout")])
def test_answers_that_break_off(data: bytes, then: Handler, kind: str) -> None:
    """The end of the stream, a reset and silence are told apart wherever they come."""
    attempt = _attempt(_frames(data, then), timeout=0.3 if kind == "timeout" else 5.0)
    assert attempt.failure is not None
    assert attempt.failure.kind == kind


def test_what_must_be_ignored_is_ignored() -> None:
    """Unknown frames and settings, priorities, and a graceful GOAWAY do not end the exchange."""
    data = (
        _frame(4, 0, 0, b"\0\x99\0\0\0\x01")
        + _frame(0xEE, 0xFF, 0, b"grease")
        + _frame(2, 0, 1, bytes(5))
        + _frame(4, 1, 0)
        + _frame(6, 1, 0, bytes(8))
        + _frame(7, 0, 0, b"\0\0\0\x01" + bytes(4))
        + _frame(1, 0x2C, 1, b"\x02" + bytes(5) + _OK + b"\0\0")
        + _frame(0, 0x9, 1, b"\x01ok\0")
    )
    attempt = _attempt(_frames(data))
    assert attempt.failure is None
    assert attempt.response is not None
    assert attempt.response.body == b"ok"


def test_a_refusal_outlives_a_broken_request() -> None:
    """GOAWAY sent before the connection is closed on a half-sent request is the reason given."""
    ours, theirs = socket.socketpair()

    def refuse() -> None:
        with theirs:
            theirs.recv(1)
            # Wide windows, so that the client is still sending when the connection ends.
            settings = _frame(4, 0, 0, b"\0\x04\x7f\xff\xff\xff")
            wide = _frame(8, 0, 0, b"\x7f\xff\0\0")
            theirs.sendall(settings + wide + _frame(7, 0, 0, bytes(4) + b"\0\0\0\x0b"))

    server = threading.Thread(target=refuse)
    server.start()
    attempt = Prober(dial=lambda *_where: ours).attempt(
        Target("http", "127.0.0.1", 80, "/"),
        Options(http_version="2", method="POST", body=b"x" * 30_000_000),
    )
    server.join()
    assert attempt.failure is not None
    assert (attempt.failure.kind, "CALM" in attempt.failure.message) == ("reset", True)


def test_an_early_answer_ends_the_sending() -> None:
    """An answer to a half-sent body is read although the server reads no more."""
    done = threading.Event()

    def handler(sock: socket.socket) -> None:
        sock.recv(1)
        wide = _frame(4, 0, 0, b"\0\x04\x7f\xff\xff\xff") + _frame(8, 0, 0, b"\x7f\xff\0\0")
        sock.sendall(wide)
        # Room for the start of the body only; then an answer in two pieces.
        sock.recv(200_000)
        sock.sendall(_frame(1, 4, 1, encode([(":status", "403")])))
        sock.sendall(_frame(0, 1, 1, b"no"))
        done.wait(120)

    with serve(handler) as port:
        attempt = Prober().attempt(
            Target("http", "127.0.0.1", port, "/"),
            Options(http_version="2", method="POST", body=b"x" * 20_000_000, timeout=60),
        )
        done.set()
    assert attempt.failure is None
    assert attempt.response is not None
    assert (attempt.response.status, attempt.response.body) == (403, b"no")
    assert attempt.timings["http"] < 30  # far from the timeout, with room for a busy machine


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_end_the_attempt(data: bytes, settled: bool) -> None:
    """Arbitrary frames end in a record, never in an exception or a hang."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall((_SETTINGS if settled else b"") + data)
        theirs.shutdown(socket.SHUT_WR)
        attempt = Prober(dial=lambda *_where: ours).attempt(
            Target("http", "127.0.0.1", 80, "/"), Options(http_version="2", timeout=2)
        )
    assert attempt.failure is not None
    assert attempt.failure.kind in {"eof", "protocol", "reset"}
