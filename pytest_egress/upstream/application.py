"""Applications of the user's that answer an upstream's requests in this process: WSGI here."""

from __future__ import annotations

import contextvars
import functools
import inspect
import io
import logging
import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from pytest_egress.bystander import BYSTANDER
from pytest_egress.received import Request
from pytest_egress.upstream.conduct import Answering, Respond

__all__ = [
    "LOGGER",
    "WsgiApplication",
    "as_bystander",
    "as_fields",
    "failed",
    "kind_of",
    "place_of",
]

LOGGER = logging.getLogger("pytest_egress.upstream")
# What the outside says itself of a message, or what is about one connection only.
_OURS = {"content-length", "transfer-encoding", "connection", "keep-alive", "x-egress-upstream"}


def kind_of(application: object) -> str:
    """Return ``wsgi`` or ``asgi``; empty if it can be neither.

    An ASGI application is a coroutine function, or takes three arguments; a WSGI application takes
    two.
    """
    if not callable(application):
        return ""
    function: Any = application
    while isinstance(function, functools.partial):
        function = function.func
    called = getattr(function, "__call__", None)  # noqa: B004 - its own method is looked at
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
        return "asgi"
    for kind, arguments in (("wsgi", 2), ("asgi", 3)):
        try:
            inspect.signature(application).bind(*range(arguments))
        except (TypeError, ValueError):  # it takes others, or says nothing of them
            continue
        return kind
    return ""


def as_bystander(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function as one of the outside: what it calls itself is not captured."""

    def call() -> Any:
        BYSTANDER.set(True)
        return function(*args)

    return contextvars.copy_context().run(call)


def as_fields(
    headers: Iterable[tuple[str, str]], *, keep_length: bool = False
) -> tuple[tuple[str, str], ...]:
    """Return the header fields of an answer, less those that the outside sends itself.

    Args:
        headers: what the application said.
        keep_length: keep the length, which an answer to HEAD tells without a body.
    """
    dropped = _OURS - {"content-length"} if keep_length else _OURS
    return tuple((name, value) for name, value in headers if name.lower() not in dropped)


def failed(request: Request, error: BaseException) -> Respond:
    """Return the answer to a request on which the application failed; the log has the traceback."""
    LOGGER.error("%s %s failed behind to()", request.method, request.path, exc_info=error)
    text = f"the application behind to() failed: {type(error).__name__}: {error}\n"
    return Respond(
        HTTPStatus.INTERNAL_SERVER_ERROR, (("content-type", "text/plain"),), text.encode()
    )


def place_of(request: Request) -> tuple[str, str, int]:
    """Return the scheme, host and port that a request is for."""
    scheme = "https" if request.tls else "http"
    return scheme, request.host, request.port or (443 if request.tls else 80)


class WsgiApplication(Answering):
    """A WSGI application (PEP 3333); its answer is gathered before it is sent.

    Args:
        application: called in a thread of the outside's, several at once for several connections.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    def answer(self, request: Request) -> Respond:
        """Return what the application answers; 500 if it fails."""
        try:
            found: Respond = as_bystander(self._run, request)
        except Exception as error:  # noqa: BLE001 - a server outlives its application's failures
            return failed(request, error)
        return found

    def _run(self, request: Request) -> Respond:
        started: list[tuple[str, list[tuple[str, str]]]] = []
        written = io.BytesIO()

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            if started and not exc_info:
                raise AssertionError("start_response() was called twice, without exc_info")
            started[:] = [(status, headers)]
            return written.write

        parts = self._application(_environ(request), start_response)
        try:
            for part in parts:
                written.write(part)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        if not started:
            raise AssertionError("start_response() was not called")
        status, headers = started[0]
        fields = as_fields(headers, keep_length=request.method == "HEAD")
        return Respond(int(status.split()[0]), fields, written.getvalue())


def _environ(request: Request) -> dict[str, Any]:
    scheme, host, port = place_of(request)
    target = request.path
    if "://" in target:  # absolute-form
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.0" if request.http_version == "HTTP/1.0" else "HTTP/1.1",
        "REMOTE_ADDR": request.client.rpartition(":")[0],
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name in request.headers:
        if name == "content-type":
            environ["CONTENT_TYPE"] = request.headers[name]
        elif name not in {"content-length", "transfer-encoding"} and "_" not in name:
            joint = "; " if name == "cookie" else ", "  # RFC 9113, 8.2.3
            key = f"HTTP_{name.upper().replace('-', '_')}"
            environ[key] = joint.join(request.headers.all(name))
    # HTTP/2 has the host in a field of its own.
    environ.setdefault("HTTP_HOST", host if port in {80, 443} else f"{host}:{port}")
    return environ
