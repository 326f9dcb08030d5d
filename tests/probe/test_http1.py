"""HTTP/1.x: requests as written, and responses of every framing, whole and broken."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from pytest_egress.probe import Attempt, Options, Prober, Response, Target

from .servers import Handler, answer, close, drain, free_port, read_head, reset, serve, timed


def _attempt(handler: Handler, **options: Any) -> Attempt:
    with serve(handler) as port:
        return Prober().attempt(
            Target("http", "127.0.0.1", port, "/v3?x=1"),
            Options(**{"timeout": 5.0, **options}),
        )


def _response(data: bytes, *, then: Handler = drain, **options: Any) -> Response:
    attempt = _attempt(answer(data, then=then), **options)
    assert attempt.failure is None
    assert attempt.completed
    assert attempt.response is not None
    return attempt.response


def _failure(data: bytes, *, then: Handler = drain, **options: Any) -> tuple[str, str]:
    attempt = _attempt(answer(data, then=then), **options)
    assert attempt.stage == "http"
    assert not attempt.completed
    assert attempt.failure is not None
    return attempt.failure.kind, attempt.failure.message


def test_the_request_as_sent() -> None:
    """Request line, Host with a port that is not the default, own fields, then the caller's."""
    seen: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        seen.append(read_head(sock))
        sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        drain(sock)

    with serve(handler) as port:
        Prober().attempt(Target.parse(f"http://127.0.0.1:{port}/v3?x=1"), Options(method="DELETE"))
        Prober().attempt(
            Target("http", "api.weather.com", port, "/"),
            Options(
                address="127.0.0.1",
                http_version="1.0",
                host_header="evil.example",
                headers=(("user-agent", "x"), ("Host", "ignored"), ("X-A", "\u00e9")),
            ),
        )
        Prober().attempt(
            Target("http", "127.0.0.1", port, "/"), Options(headers=(("host", "given"),))
        )
    assert seen == [
        f"DELETE /v3?x=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: pytest-egress\r\n"
        "Accept: */*\r\n\r\n".encode(),
        (
            b"GET / HTTP/1.0\r\nHost: evil.example\r\nAccept: */*\r\nuser-agent: x\r\n"
            b"X-A: \xe9\r\n\r\n"
        ),
        b"GET / HTTP/1.1\r\nhost: given\r\nUser-Agent: pytest-egress\r\nAccept: */*\r\n\r\n",
    ]


def test_a_body_is_sent_with_its_length() -> None:
    """A large body arrives whole; POST without one says so."""
    bodies: list[int] = []

    def handler(sock: socket.socket) -> None:
        head, _, body = read_head(sock).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        size = len(body)
        while size < length:
            size += len(sock.recv(65536))
        bodies.append(size)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        drain(sock)

    for body in (b"x" * 3_000_000, None):
        attempt = _attempt(handler, method="POST", body=body)
        assert attempt.completed
    assert bodies == [3_000_000, 0]


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, more", 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.0 404 Not Found\nContent-Length: 2\n\nno", 404, b"no"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw", 101, b""),
        (
            (
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            ),
            200,
            b"ok",
        ),
        (
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n"
                b'5;name="a;b"\r\nhello\r\n00a \r\n, a world.\r\n0\r\n\r\n'
            ),
            200,
            b"hello, a world.",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n0;x\r\n\r\n",
            200,
            b"",
        ),
    ],
)
def test_a_message_ends_where_it_says(data: bytes, status: int, body: bytes) -> None:
    """Each framing is read to its end and no further: the server never closes here."""
    started = time.monotonic()
    response = _response(data)
    assert (response.status, response.body, response.truncated) == (status, body, False)
    assert time.monotonic() - started < 4.5  # the timeout is 5


def test_fields_and_trailers() -> None:
    """Names compare without case, values keep their order, folds become a space."""
    response = _response(
        b"HTTP/1.1 503 Service  Unavailable \r\nServer: envoy\r\nSet-Cookie: a\r\nset-cookie:b \r\n"
        b"X-Fold: one\r\n\t two\r\nEmpty:\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\nx\r\n0\r\nX-Sum: \xe9\r\n\r\n"
    )
    assert (response.status, response.reason, response.http_version) == (
        503,
        "Service  Unavailable",
        "1.1",
    )
    assert response.headers.get("SERVER") == "envoy"
    assert response.headers.get_all("Set-Cookie") == ("a", "b")
    assert response.headers.get("x-fold") == "one two"
    assert response.headers.get("empty") == ""
    assert response.headers.get("absent", "default") == "default"
    assert response.trailers == (("X-Sum", "\u00e9"),)


def test_head_has_no_body() -> None:
    """The length in an answer to HEAD is not waited for."""
    assert _response(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method="HEAD").body == b""


def test_a_message_without_length_ends_with_the_stream() -> None:
    """Without a length the end of the stream is the end of the body."""
    response = _response(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it", then=close)
    assert (response.body, response.truncated) == (b"all of it", False)


@pytest.mark.parametrize(
    "head", ["Content-Length: 10", "Transfer-Encoding: chunked", "Connection: close"]
)
def test_a_body_is_bounded(head: str) -> None:
    """What exceeds max_body is cut off, at once, whatever the framing."""
    chunk = b"a\r\n0123456789\r\n" if "chunked" in head else b"0123456789"
    data = f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + chunk
    response = _response(data, max_body=4)
    assert (response.body, response.truncated) == (b"0123", True)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP: it begins with b'SSH-2'"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "not HTTP"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "not an HTTP/1.x status line"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "not an HTTP/1.x status line"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not an HTTP/1.x status line"),
        (b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n", "not an HTTP/1.x status line"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "out of bounds"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "not a header field"),
        (b"HTTP/1.1 200 OK\r\nName : x\r\n\r\n", "not a header field"),
        (b"HTTP/1.1 200 OK\r\n folded\r\n\r\n", "not a header field"),
        (b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", "not a header field"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello", "contradictory"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "contradictory or not a number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "not a number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n", "not a chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "not a chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "not a chunk size"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n",
            "not a chunk size",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcde\r\n", "longer than"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 5000,
            "longer than 4096",
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000 + b"\r\n\r\n", "header fields are larger"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 12000 + b"\r\n", "header fields are larger"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, "header fields are larger"),
    ],
)
def test_answers_that_are_not_http(data: bytes, problem: str) -> None:
    """Each breach of the protocol is named at once, without waiting for the stream's end."""
    started = time.monotonic()
    kind, message = _failure(data)
    assert kind == "protocol"
    assert problem in message
    assert time.monotonic() - started < 4.5  # the timeout is 5


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HT",
        b"HTTP/1.1 200 OK\r\nServer: x",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
)
@pytest.mark.parametrize(("then", "kind"), [(close, "eof"), (reset, "reset"), (drain, "timeout")])
def test_answers_that_break_off(data: bytes, then: Handler, kind: str) -> None:
    """The end of the stream, a reset and silence are told apart wherever they come."""
    found, message = _failure(data, then=then, timeout=0.3 if kind == "timeout" else 5.0)
    # A reset may overtake the data that was sent before it.
    assert found == kind
    assert "reading the response" in message


def test_a_partial_response_is_kept() -> None:
    """What was read before the stream ended is recorded with the failure."""
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
    attempt = _attempt(answer(data, then=close))
    assert attempt.failure is not None
    assert attempt.failure.kind == "eof"
    assert attempt.response is not None
    assert (attempt.response.status, attempt.response.body) == (200, b"hello")
    assert attempt.response.truncated


def test_an_early_answer_outlives_a_broken_request() -> None:
    """A server that answers 413 and closes while the body is still being sent is heard."""
    ours, theirs = socket.socketpair()

    def refuse() -> None:
        with theirs:
            theirs.recv(1)
            theirs.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    server = threading.Thread(target=refuse)
    server.start()
    attempt = Prober(dial=lambda *_where: ours).attempt(
        Target("http", "127.0.0.1", 80, "/"), Options(method="POST", body=b"x" * 30_000_000)
    )
    server.join()
    assert attempt.failure is None
    assert attempt.response is not None
    assert attempt.response.status == 413


def test_an_early_answer_ends_the_sending() -> None:
    """Envoy answers 403 in the midst of a body, reads no more and holds the connection."""
    done = threading.Event()

    def handler(sock: socket.socket) -> None:
        sock.recv(1)
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        done.wait(10)

    attempt = _attempt_until(done, handler, method="POST", body=b"x" * 20_000_000)
    assert attempt.response is not None
    assert (attempt.response.status, attempt.response.body) == (403, b"no")
    assert attempt.timings["http"] < 2


def _attempt_until(done: threading.Event, handler: Handler, **options: Any) -> Attempt:
    with serve(handler) as port:
        attempt = Prober().attempt(Target("http", "127.0.0.1", port, "/"), Options(**options))
        done.set()
    return attempt


def test_an_informational_answer_does_not_end_the_sending() -> None:
    """A 103 in the midst of a body is no reason to stop: the body arrives whole."""
    sizes: list[int] = []

    def handler(sock: socket.socket) -> None:
        head, _, body = read_head(sock).partition(b"\r\n\r\n")
        assert b"Content-Length: 20000000" in head
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        size = len(body)
        while size < 20_000_000:
            size += len(sock.recv(1 << 20))
        sizes.append(size)
        sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        drain(sock)

    attempt = _attempt(handler, method="POST", body=b"x" * 20_000_000)
    assert attempt.failure is None
    assert sizes == [20_000_000]


def test_a_stream_that_ends_while_we_send() -> None:
    """A server that ends its side without an answer is not sent to until the timeout."""
    done = threading.Event()

    def handler(sock: socket.socket) -> None:
        sock.recv(1)
        sock.shutdown(socket.SHUT_WR)
        done.wait(10)

    attempt = _attempt_until(done, handler, method="POST", body=b"x" * 20_000_000)
    assert attempt.failure is not None
    assert attempt.failure.kind == "eof"
    assert attempt.timings["http"] < 2


def test_a_refused_connection() -> None:
    """Nothing listens: the attempt ends at tcp, refused."""
    attempt = Prober().attempt(Target("http", "127.0.0.1", free_port(), "/"))
    assert attempt.failure is not None
    assert (attempt.stage, attempt.failure.kind) == ("tcp", "refused")
    assert attempt.response is None


def test_a_held_connection_is_not_waited_for() -> None:
    """Envoy's delayed close: a complete answer returns at once though nobody closes."""
    gone = threading.Event()

    def handler(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        drain(sock)
        gone.set()

    attempt, elapsed = timed(0.5, lambda: _attempt(handler))
    assert elapsed < 0.5
    assert attempt.response is not None
    assert attempt.response.body == b"no"
    assert gone.is_set()


def test_ipv6() -> None:
    """A bracketed literal is connected to over IPv6 and bracketed again in Host."""
    seen: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        seen.append(read_head(sock))
        sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        drain(sock)

    with serve(handler, socket.AF_INET6) as port:
        attempt = Prober().attempt(Target.parse(f"http://[::1]:{port}/"))
    assert attempt.completed
    assert attempt.address == ("::1", port)
    assert f"Host: [::1]:{port}\r\n".encode() in seen[0]
