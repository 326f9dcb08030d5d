"""Raw TCP: what is sent, and where an answer ends."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from pytest_egress.probe import Attempt, Options, Prober, Target

from .servers import Handler, close, drain, reset, serve, timed

_NONCE = "0123456789abcdef" * 2
_LINE = b"EGRESS-PROBE " + _NONCE.encode() + b"\r\n"
_TOKEN = b"EGRESS-UPSTREAM 00ff\r\n"


def _attempt(handler: Handler, **options: Any) -> Attempt:
    with serve(handler) as port:
        return Prober().attempt(
            Target("tcp", "127.0.0.1", port),
            Options(**{"nonce": _NONCE, **options}),
        )


def _reply(*parts: bytes, expects: bytes = _LINE, then: Handler = drain) -> Handler:
    def handler(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if expects:
            assert sock.recv(len(expects), socket.MSG_WAITALL) == expects
        for part in parts:
            sock.sendall(part)
        then(sock)

    return handler


def test_the_token_ends_the_exchange() -> None:
    """The probe line is sent and the upstream's line returns at once, without the rest."""
    handler = _reply(_TOKEN[:5], _TOKEN[5:] + b"more")
    attempt, elapsed = timed(0.19, lambda: _attempt(handler))
    assert attempt.completed
    assert (attempt.stage, attempt.received, attempt.nonce) == ("tcp", _TOKEN, _NONCE)
    assert elapsed < 0.19


def test_a_slow_token_is_awaited() -> None:
    """Silence within a line that began as a token does not end it."""

    def handler(sock: socket.socket) -> None:
        sock.recv(len(_LINE), socket.MSG_WAITALL)
        sock.sendall(_TOKEN[:4])
        # Longer than the quiet period: the client's own clock is what is tested.
        sock.settimeout(0.15)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.sendall(_TOKEN[4:])

    attempt = _attempt(handler, quiet=0.02)
    assert attempt.completed
    assert attempt.received == _TOKEN


@pytest.mark.parametrize(
    ("handler", "options", "received"),
    [
        (_reply(b"250 ok\r\n", then=close), {}, b"250 ok\r\n"),
        (_reply(b"250 ok\r\n"), {"quiet": 0.05}, b"250 ok\r\n"),
        (_reply(b"0123456789"), {"max_body": 4}, b"0123"),
        (_reply(b"pong", expects=b"ping"), {"payload": b"ping", "quiet": 0.05}, b"pong"),
        (_reply(b"EGRESS-UP", then=close), {}, b"EGRESS-UP"),
    ],
    ids=["end of stream", "silence", "limit", "own payload", "not quite a token"],
)
def test_other_answers_end(handler: Handler, options: dict[str, Any], received: bytes) -> None:
    """An answer ends with the stream, with silence, or at the limit."""
    attempt = _attempt(handler, **options)
    assert attempt.received == received
    assert attempt.completed


def test_the_greeting_is_read_first() -> None:
    """A server that speaks first is heard before the probe line is sent."""

    def handler(sock: socket.socket) -> None:
        sock.sendall(b"220 ready\r\n")
        assert sock.recv(len(_LINE), socket.MSG_WAITALL) == _LINE
        sock.sendall(_TOKEN)
        drain(sock)

    attempt = _attempt(handler, read_first=True, quiet=0.05)
    assert attempt.completed
    assert attempt.received == b"220 ready\r\n" + _TOKEN


@pytest.mark.parametrize(
    ("handler", "options", "received"),
    [
        (_reply(b"220 ready\r\n", expects=b""), {"payload": b""}, b"220 ready\r\n"),
        (_reply(_TOKEN, expects=b""), {}, _TOKEN),
    ],
    ids=["empty payload", "token"],
)
def test_a_greeting_can_be_all(handler: Handler, options: dict[str, Any], received: bytes) -> None:
    """With an empty payload, or with a token as greeting, nothing is sent."""
    attempt = _attempt(handler, read_first=True, quiet=0.05, **options)
    assert (attempt.completed, attempt.received) == (True, received)


@pytest.mark.parametrize(("then", "kind"), [(close, "eof"), (reset, "reset"), (drain, "timeout")])
@pytest.mark.parametrize("read_first", [False, True])
def test_no_answer(then: Handler, kind: str, read_first: bool) -> None:
    """A mesh accepts the connection and closes it: that is no answer, and how is recorded."""
    attempt = _attempt(
        _reply(expects=b"" if read_first else _LINE, then=then),
        read_first=read_first,
        timeout=0.3 if kind == "timeout" else 5.0,
    )
    assert attempt.failure is not None
    assert (attempt.stage, attempt.failure.kind, attempt.received) == ("tcp", kind, b"")


@pytest.mark.parametrize(("then", "kind"), [(close, "eof"), (drain, "timeout")])
def test_half_a_token(then: Handler, kind: str) -> None:
    """A token that breaks off proves nothing, but is recorded."""
    attempt = _attempt(_reply(_TOKEN[:-1], then=then), timeout=0.3 if kind == "timeout" else 5.0)
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.received) == (kind, _TOKEN[:-1])


def test_endless_data_ends_with_the_time() -> None:
    """A stream without silence is an answer when the time is over."""

    def handler(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"tick\n")
            sock.settimeout(0.02)
            try:
                if not sock.recv(100):
                    return
            except TimeoutError:
                continue

    attempt, elapsed = timed(0.35, lambda: _attempt(handler, timeout=0.3))
    assert attempt.completed
    assert attempt.received.startswith(b"tick\n")
    assert 0.3 <= elapsed < 0.35
