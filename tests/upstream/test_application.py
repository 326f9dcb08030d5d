"""WSGI and ASGI applications that stand for upstreams."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import threading
import wsgiref.validate
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from pytest_egress.bystander import BYSTANDER
from pytest_egress.upstream import Outside

from .clients import H2Client, connect, tls

HOST = {"Host": "a.example"}


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    """Say what was asked, in two parts."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("201 Made", [("Content-Type", "application/json"), ("X-Mine", "1")])
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_HOST", "SERVER_PORT", "HTTP_X_A")
    told = {name: environ.get(name) for name in names}
    yield json.dumps({**told, "scheme": environ["wsgi.url_scheme"]}).encode()
    yield b" " + str(len(body)).encode()


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Say what was asked, in two parts; know nothing of lifespans."""
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    message = await receive()
    headers = [(b"content-type", b"application/json"), (b"x-mine", b"1")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    names = ("method", "path", "scheme", "http_version")
    told = {name: scope[name] for name in names} | {"query": scope["query_string"].decode()}
    body = json.dumps(told | {"host": dict(scope["headers"])[b"host"].decode()}).encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b" %d" % len(message["body"])})


def url(outside: Outside, path: str = "/") -> str:
    """A URL of a.example on loopback; its Host header is the caller's to set."""
    return "http://{}:{}{}".format(*outside.locate("203.0.113.99", 80), path)


def ask(outside: Outside, path: str = "/", method: str = "GET", **options: Any) -> Any:
    """A request to a.example."""
    headers = HOST | options.pop("headers", {})
    return requests.request(method, url(outside, path), headers=headers, timeout=10, **options)


def test_wsgi_application_answers(outside: Outside) -> None:
    """Status, headers and body are its own, and the request is recorded."""
    outside.host("a.example").to(wsgiref.validate.validator(wsgi))
    answer = ask(outside, "/v1/caf%C3%A9?q=1", "POST", data=b"x" * 3, headers={"X-A": "2"})
    assert (answer.status_code, answer.headers["x-mine"]) == (201, "1")
    assert answer.headers["x-egress-upstream"] == outside.token
    told, _, size = answer.text.rpartition(" ")
    assert json.loads(told) == {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/caf\xc3\xa9",  # bytes as Latin-1 (PEP 3333)
        "QUERY_STRING": "q=1",
        "HTTP_HOST": "a.example",
        "SERVER_PORT": "80",
        "HTTP_X_A": "2",
        "scheme": "http",
    }
    assert size == "3"
    (request,) = outside.host("a.example").requests
    assert (request.method, request.path, request.body) == ("POST", "/v1/caf%C3%A9?q=1", b"xxx")


def test_asgi_application_answers(outside: Outside) -> None:
    """The same of a coroutine function."""
    outside.host("a.example").to(asgi)
    answer = ask(outside, "/v1/caf%C3%A9?q=1", "POST", data=b"x" * 3)
    assert (answer.status_code, answer.headers["x-mine"]) == (201, "1")
    told, _, size = answer.text.rpartition(" ")
    assert json.loads(told) == {
        "method": "POST",
        "path": "/v1/café",
        "query": "q=1",
        "scheme": "http",
        "http_version": "1.1",
        "host": "a.example",
    }
    assert size == "3"
    assert outside.host("a.example").count == 1


@pytest.mark.parametrize("application", [wsgi, asgi])
def test_over_tls(outside: Outside, application: object) -> None:
    """The outside's certificate is shown; the application is told that it is https."""
    outside.host("a.example").to(application)
    with tls(outside.locate("203.0.113.99", 443), outside.ca_file, "a.example") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert b'"scheme": "https"' in answer


@pytest.mark.parametrize("application", [wsgi, asgi])
def test_over_http2(outside: Outside, application: object) -> None:
    """A request of HTTP/2 is like any other; it names its host in a field of its own."""
    outside.host("a.example").to(application)
    with connect(outside.locate("203.0.113.99", 80)) as sock:
        client = H2Client(sock)
        stream = client.send("/x", method="POST", authority="a.example", body=b"y" * 5)
        answer = client.receive(stream)
    assert answer.headers[":status"] == "201"
    assert b'"a.example"' in answer.body
    assert answer.body.endswith(b" 5")


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_requests_of_one_http2_connection_do_not_wait_for_each_other(
    outside: Outside, kind: str
) -> None:
    """An application that answers the first only when the second has come."""
    second = threading.Event()

    def waiting(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/2":
            second.set()
        assert second.wait(10)
        start_response("200 OK", [])
        return [b"both"]

    async def waiting_too(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/2":
            second.set()
        assert await asyncio.to_thread(second.wait, 10)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"both"})

    outside.host("a.example").to(waiting if kind == "wsgi" else waiting_too)
    with connect(outside.locate("203.0.113.99", 80), 20) as sock:
        client = H2Client(sock)
        streams = [client.send(path, authority="a.example") for path in ("/1", "/2")]
        assert [client.receive(stream).body for stream in streams] == [b"both"] * 2


@pytest.mark.parametrize("application", [wsgi, asgi])
def test_large_body_is_whole(outside: Outside, application: object) -> None:
    """More than a record keeps otherwise."""
    outside.host("a.example").to(application)
    assert ask(outside, method="POST", data=b"z" * (3 << 20)).text.endswith(f" {3 << 20}")


@pytest.mark.parametrize("application", [wsgi, asgi])
def test_faults_go_along(outside: Outside, application: object) -> None:
    """A failure comes before the application, and is recorded as well."""
    upstream = outside.host("a.example").to(application).fail(503, times=2)
    assert [ask(outside).status_code for _ in range(3)] == [503, 503, 201]
    assert upstream.count == 3


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_failure_is_a_500_and_logged(
    outside: Outside, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """As any server does; the traceback is the log's."""

    def broken(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise KeyError("price")

    async def broken_too(scope: dict[str, Any], receive: Any, send: Any) -> None:
        raise KeyError("price")

    outside.host("a.example").to(broken if kind == "wsgi" else broken_too)
    with caplog.at_level(logging.ERROR, "pytest_egress.upstream"):
        answer = ask(outside, "/prices")
    assert answer.status_code == 500
    assert answer.text == "the application behind to() failed: KeyError: 'price'\n"
    assert "GET /prices failed behind to()" in caplog.text
    assert "Traceback" in caplog.text


def test_application_that_says_nothing(outside: Outside) -> None:
    """An answer that never begins is its failure."""

    async def silent(scope: dict[str, Any], receive: Any, send: Any) -> None:
        return

    outside.host("a.example").to(lambda environ, start_response: [])
    assert "start_response() was not called" in ask(outside).text
    outside.host("a.example").to(silent)
    assert "returned before its answer was complete" in ask(outside).text


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_head_tells_the_length(outside: Outside, kind: str) -> None:
    """Of an answer to HEAD the length is the application's own."""

    def sized(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "42")])
        return []

    async def sized_too(scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"42")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    outside.host("a.example").to(sized if kind == "wsgi" else sized_too)
    assert ask(outside, method="HEAD").headers["content-length"] == "42"


class Lifespan:
    """An application with a start, an end, a task after each answer, and a loop it is bound to."""

    def __init__(self, *, fails: bool = False) -> None:
        self.events: list[str] = []
        self.fails = fails
        self.lock: asyncio.Lock | None = None
        self.bystander = False

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Take part in the lifespan, answer with what its start has left in the state."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        assert self.lock is not None
        self.bystander = BYSTANDER.get()
        async with self.lock:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["state"]["word"]})
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        self.events.append("after")

    async def _live(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        if self.fails:
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        self.lock = asyncio.Lock()
        self.forever = asyncio.create_task(asyncio.sleep(3600))
        scope["state"]["word"] = b"ready"
        self.events.append("started")
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        self.events.append("stopped")
        await send({"type": "lifespan.shutdown.complete"})


def _loops() -> list[threading.Thread]:
    return [it for it in threading.enumerate() if it.name == "pytest-egress-application"]


def test_lifespan(outside: Outside) -> None:
    """It starts with the first request, and is shut down when something else stands there."""
    application = Lifespan()
    upstream = outside.host("a.example").to(application)
    assert application.events == []
    assert [ask(outside).text for _ in range(2)] == ["ready", "ready"]
    assert application.bystander
    upstream.respond(204)
    assert application.events[0] == "started"
    assert application.events[-1] == "stopped"
    assert application.events.count("after") == 2
    assert not _loops()


def test_reset_and_stop_shut_down(outside: Outside) -> None:
    """So do the end of a test and that of the outside; a later request starts it again."""
    application = Lifespan()
    for number in (1, 2):
        outside.host("a.example").to(application)
        ask(outside)
        outside.reset()
        assert application.events.count("stopped") == number
    outside.host("a.example").to(application)
    ask(outside)
    outside.stop()
    assert application.events.count("stopped") == 3
    assert not _loops()


def test_start_that_fails(outside: Outside) -> None:
    """Each request says why; no loop is left."""
    outside.host("a.example").to(Lifespan(fails=True))
    assert "its start failed: no database" in ask(outside).text
    assert not _loops()


def test_end_while_it_answers(outside: Outside) -> None:
    """A request that is being answered when the application goes is reset."""
    entered = threading.Event()

    async def forever(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            entered.set()
            await asyncio.Event().wait()

    outside.host("a.example").to(forever)
    raised: list[BaseException] = []

    def call() -> None:
        with pytest.raises(requests.ConnectionError) as caught:
            ask(outside)
        raised.append(caught.value)

    thread = threading.Thread(target=call)
    thread.start()
    assert entered.wait(10)
    outside.reset()
    thread.join(10)
    assert raised


class _Called:
    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"called"]

    async def asynchronous(self, prefix: bytes, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": prefix + b"called"})

    def wrapped(self, scope: Any, receive: Any, send: Any) -> Any:
        return self.asynchronous(b"", scope, receive, send)


@pytest.mark.parametrize(
    "application",
    [
        _Called(),
        functools.partial(_Called().asynchronous, b""),
        _Called().wrapped,
        _Called().__call__,
    ],
    ids=["wsgi object", "asgi partial", "asgi by arguments", "wsgi method"],
)
def test_kind_is_told_from_the_callable(outside: Outside, application: object) -> None:
    """Objects, partials, methods, and functions that return what a coroutine function would."""
    outside.host("a.example").to(application)
    assert ask(outside).text == "called"


@pytest.mark.parametrize("wrong", [len, lambda: None, object(), 80, ("127.0.0.1",), "http://x/"])
def test_neither_server_nor_application(outside: Outside, wrong: object) -> None:
    """One error that says what is expected."""
    with pytest.raises(ValueError, match=r"expected .* a WSGI or ASGI application, or the path"):
        outside.host("a.example").to(wrong)
