"""HTTP/2, the server's side (RFC 9113), over the ``h2`` library."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from queue import SimpleQueue

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from pytest_egress.received import Request
from pytest_egress.upstream import answers
from pytest_egress.upstream.answers import Answer, Reset, Silent
from pytest_egress.upstream.link import CHUNK, Link

__all__ = ["serve"]

_MOST_OPEN = 192
_POLL = 0.005  # seconds between two looks at applications that are answering


def serve(link: Link, data: bytes) -> None:
    """Answer requests until the connection ends; ``data`` was read of it already."""
    _Server(link).serve(data)


@dataclass(slots=True)
class _Stream:
    """A request that is coming in, then the answer that is going out."""

    headers: list[tuple[str, str]]
    most: int
    body: bytearray = field(default_factory=bytearray)
    answer: Answer | None = None
    due: float = 0.0
    started: bool = False
    sent: int = 0


def _text(value: str | bytes) -> str:
    """Header fields are bytes; Latin-1 keeps each of them."""
    return value if isinstance(value, str) else value.decode("latin-1")


def _authority(headers: list[tuple[str, str]]) -> str:
    fields = dict(headers)
    return fields.get(":authority") or fields.get("host", "")


def _allowed(name: str) -> bool:
    """Whether HTTP/2 allows the field: not those that speak of one connection (RFC 9113, 8.2.2)."""
    return name.lower() not in {"connection", "keep-alive", "proxy-connection", "upgrade"}


class _Server:
    """One connection."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._streams: dict[int, _Stream] = {}
        self._answered: SimpleQueue[tuple[int, Answer | Silent | Reset]] = SimpleQueue()
        self._answering = 0  # requests that applications have not answered yet
        self._open = True
        self._closing = False

    def serve(self, data: bytes) -> None:
        self._connection.initiate_connection()
        self._flush()
        while True:
            try:
                for event in self._connection.receive_data(data):
                    self._handle(event)
            except ProtocolError as error:
                if not self._closing:
                    self._link.record.problem = f"not HTTP/2: {error}"
                self._flush()  # the GOAWAY that h2 has made of it
                return
            self._collect()
            if not self._open:
                return
            wait = self._send_due()
            self._flush()
            if self._answering:
                wait = _POLL if wait is None else min(wait, _POLL)
            self._link.sock.settimeout(wait)
            data = b""
            with contextlib.suppress(TimeoutError):
                data = self._link.sock.recv(CHUNK)
                if not data:
                    return
            self._link.sock.settimeout(None)

    def _flush(self) -> None:
        outgoing = self._connection.data_to_send()
        if outgoing:
            self._link.sock.sendall(outgoing)

    def _handle(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            headers = [(_text(name), _text(value)) for name, value in event.headers or ()]
            most = answers.most_kept(self._link, _authority(headers))
            self._streams[event.stream_id or 0] = _Stream(headers, most)
        elif isinstance(event, DataReceived):
            stream = self._streams.get(event.stream_id or 0)
            if stream is not None:
                room = max(stream.most - len(stream.body), 0)
                stream.body += (event.data or b"")[:room]
            self._connection.acknowledge_received_data(
                event.flow_controlled_length or 0, event.stream_id or 0
            )
        elif isinstance(event, StreamEnded):
            self._answer(event.stream_id or 0)
        elif isinstance(event, StreamReset):
            self._streams.pop(event.stream_id or 0, None)
        elif isinstance(event, ConnectionTerminated):
            self._open = False
        elif isinstance(event, WindowUpdated):
            return  # what waits for it is sent below

    def _answer(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        pseudo = {name: value for name, value in stream.headers if name.startswith(":")}
        plain = [(name, value) for name, value in stream.headers if not name.startswith(":")]
        method, path = pseudo.get(":method", ""), pseudo.get(":path", "")
        request = answers.request_of(
            self._link,
            method=method,
            path=path,
            authority=_authority(stream.headers),
            headers=plain,
            body=bytes(stream.body),
            http_version="HTTP/2",
        )
        if answers.is_served(self._link, request.host):
            # In a thread: other requests of this connection do not wait for the application.
            self._answering += 1
            thread = threading.Thread(
                target=self._ask, args=(number, request), name="pytest-egress-answer", daemon=True
            )
            thread.start()
        else:
            self._decided(number, answers.decide(self._link, request))

    def _ask(self, number: int, request: Request) -> None:
        self._answered.put((number, answers.decide(self._link, request)))

    def _collect(self) -> None:
        """Take what applications have answered meanwhile."""
        while not self._answered.empty():
            number, answer = self._answered.get()
            self._answering -= 1
            if number in self._streams:  # else the client has given it up
                self._decided(number, answer)

    def _decided(self, number: int, answer: Answer | Silent | Reset) -> None:
        stream = self._streams[number]
        method = dict(stream.headers).get(":method", "")
        if isinstance(answer, Silent):
            del self._streams[number]
        elif isinstance(answer, Reset):
            self._link.reset()
            self._open = False
        else:
            if method == "HEAD" or answer.status in {204, 304}:
                answer = Answer(answer.status, answer.headers, b"", (), answer.delay)
            stream.answer = answer
            stream.due = time.monotonic() + answer.delay

    def _send_due(self) -> float | None:
        """Send what is due and fits; return the seconds until the next is, None if none is."""
        now = time.monotonic()
        waits = []
        for number, stream in list(self._streams.items()):
            if stream.answer is None:
                continue
            if stream.due > now:
                waits.append(stream.due - now)
            elif self._send(number, stream, stream.answer):
                del self._streams[number]
                self._link.record.answered = not self._streams
                if not self._streams and self._link.site.workers.count() > _MOST_OPEN:
                    self._connection.close_connection()
                    self._closing = True
        return min(waits) if waits else None

    def _send(self, number: int, stream: _Stream, answer: Answer) -> bool:
        """Send as much of an answer as the peer's windows take; return whether that was all."""
        connection = self._connection
        if not stream.started:
            stream.started = True
            headers = [
                (":status", str(answer.status)),
                *((name.lower(), value) for name, value in answer.headers if _allowed(name)),
            ]
            end = not answer.body and not answer.trailers
            connection.send_headers(number, headers, end_stream=end)
            if end:
                return True
        while stream.sent < len(answer.body):
            window = connection.local_flow_control_window(number)
            size = min(window, connection.max_outbound_frame_size, len(answer.body) - stream.sent)
            if size <= 0:
                return False
            chunk = answer.body[stream.sent : stream.sent + size]
            stream.sent += size
            last = stream.sent == len(answer.body) and not answer.trailers
            connection.send_data(number, chunk, end_stream=last)
        if answer.trailers:
            connection.send_headers(number, answer.trailers, end_stream=True)
        return True
