"""ASGI applications that answer an upstream's requests, on an event loop of their own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, Future
from typing import Any
from urllib.parse import unquote

from pytest_egress.received import Request
from pytest_egress.upstream.application import (
    LOGGER,
    as_bystander,
    as_fields,
    failed,
    place_of,
)
from pytest_egress.upstream.conduct import Answering, Respond

__all__ = ["AsgiApplication"]

_VERSIONS = {"version": "3.0", "spec_version": "2.3"}
_STARTING = 60.0  # seconds that an application may take to start
_PATIENCE = 5.0  # seconds that it may take to shut down
_FINISHING = 1.0  # seconds that may pass in what it does after its answers


class AsgiApplication(Answering):
    """An ASGI 3 application: HTTP and lifespan; its answer is gathered before it is sent.

    Its loop starts with the first request, and again with one that comes after `close`.
    """

    def __init__(self, application: Any) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._running: _Running | None = None

    def answer(self, request: Request) -> Respond | None:
        """Return what the application answers, 500 if it fails, None if it was closed meanwhile."""
        try:
            with self._lock:
                if self._running is None:
                    self._running = _Running(self._application)
                pending = self._running.ask(request)
            return pending.result()
        except CancelledError:
            return None
        except Exception as error:  # noqa: BLE001 - a server outlives its application's failures
            return failed(request, error)

    def close(self) -> None:
        """Shut the application down and end its loop. Twice is once."""
        with self._lock:
            if self._running is not None:
                self._running.close()
                self._running = None


class _Running:
    """The application, started."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._loop = asyncio.new_event_loop()
        self._exchanges: dict[asyncio.Task[None], Future[Respond]] = {}
        self._state: dict[str, Any] = {}
        self._thread = threading.Thread(
            target=self._run, name="pytest-egress-application", daemon=True
        )
        self._thread.start()
        self._lifespan = _Lifespan(application, self._state)
        try:
            self._here(self._lifespan.start(), _STARTING)
        except BaseException:
            self._end()
            raise

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(_cancel_the_rest())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    def ask(self, request: Request) -> Future[Respond]:
        """Have the application answer; the future is cancelled if it is closed before that."""
        answered: Future[Respond] = Future()
        # A callback has the context of whoever asks for it.
        as_bystander(self._loop.call_soon_threadsafe, self._begin, request, answered)
        return answered

    def close(self) -> None:
        """Cancel what is being answered, shut down, end the loop."""
        try:
            self._here(self._cancel())
            self._here(self._lifespan.stop())
        except Exception as error:  # noqa: BLE001 - the end of a test comes all the same
            LOGGER.error("the shutdown failed behind to()", exc_info=error)
        finally:
            self._end()

    def _begin(self, request: Request, answered: Future[Respond]) -> None:
        exchange = _Exchange(request, self._state, answered)
        task = self._loop.create_task(exchange.run(self._application))
        self._exchanges[task] = answered
        task.add_done_callback(self._exchanges.pop)

    async def _cancel(self) -> None:
        for task, answered in self._exchanges.items():
            if not answered.done():
                task.cancel()
        if self._exchanges:
            await asyncio.wait(set(self._exchanges), timeout=_FINISHING)
        late = list(self._exchanges)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _here(self, coroutine: Any, patience: float = _PATIENCE) -> None:
        asked: Future[None] = as_bystander(asyncio.run_coroutine_threadsafe, coroutine, self._loop)
        asked.result(patience)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)


async def _cancel_the_rest() -> None:
    """End the tasks that the application began itself, and let go."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class _Exchange:
    """One request and its answer."""

    def __init__(self, request: Request, state: dict[str, Any], answered: Future[Respond]) -> None:
        self._request = request
        self._state = state
        self._answered = answered
        self._asked = False
        self._over = asyncio.Event()
        self._start: dict[str, Any] = {}
        self._body = bytearray()

    async def run(self, application: Any) -> None:
        """Call the application; what it does after its answer (background tasks) goes on."""
        try:
            await application(_scope(self._request, self._state), self._receive, self._send)
        except asyncio.CancelledError:
            self._answered.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - told by whoever waits, or by the log
            if self._answered.done():
                what = f"{self._request.method} {self._request.path}"
                LOGGER.error("%s failed after its answer, behind to()", what, exc_info=error)
            else:
                self._answered.set_exception(error)
        else:
            if not self._answered.done():
                missing = RuntimeError("it returned before its answer was complete")
                self._answered.set_exception(missing)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body" and not self._answered.done():
            if not self._start:
                raise RuntimeError("http.response.body came before http.response.start")
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                self._over.set()
                self._answered.set_result(self._complete())

    def _complete(self) -> Respond:
        headers = [
            (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
            for name, value in self._start.get("headers", ())
        ]
        fields = as_fields(headers, keep_length=self._request.method == "HEAD")
        return Respond(int(self._start["status"]), fields, bytes(self._body))


def _scope(request: Request, state: dict[str, Any]) -> dict[str, Any]:
    scheme, host, port = place_of(request)
    target = request.path
    if "://" in target:  # absolute-form
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name in request.headers
        for value in request.headers.all(name)
    ]
    if "host" not in request.headers:
        headers.insert(0, (b"host", request.host.encode("latin-1")))
    client, _, client_port = request.client.rpartition(":")
    return {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": request.http_version.removeprefix("HTTP/"),
        "method": request.method,
        "scheme": scheme,
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": headers,
        "client": (client, int(client_port or 0)),
        "server": (host, port),
        "state": dict(state),
    }


class _Lifespan:
    """The application's start and end, where it takes part in them."""

    def __init__(self, application: Any, state: dict[str, Any]) -> None:
        self._application = application
        self._state = state
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it up.

        Raises:
            RuntimeError: it says that it cannot start.
        """
        self._events: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._said: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        await self._events.put({"type": "lifespan.startup"})
        scope = {"type": "lifespan", "asgi": _VERSIONS, "state": self._state}
        self._task = asyncio.ensure_future(
            self._application(scope, self._events.get, self._said.put)
        )
        said = await self._next()
        if said.get("type") == "lifespan.startup.failed":
            raise RuntimeError(f"its start failed: {said.get('message', '')}")

    async def stop(self) -> None:
        """Shut it down."""
        if self._task is None or self._task.done():
            return
        await self._events.put({"type": "lifespan.shutdown"})
        await self._next()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _next(self) -> dict[str, str]:
        """What it says next; nothing if it takes no part in the lifespan (it raised)."""
        assert self._task is not None
        saying = asyncio.ensure_future(self._said.get())
        await asyncio.wait({saying, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if saying.done():
            return saying.result()
        saying.cancel()
        self._task.exception()  # looked at: it is no error to know nothing of lifespans
        return {}
