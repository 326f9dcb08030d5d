"""The exchange on a raw connection: send a payload, read until the answer is complete."""

from __future__ import annotations

import time

from .options import Options
from .wire import StageFailure, Wire, more_telling

__all__ = ["TOKEN_PREFIX", "exchange", "probe_line"]

TOKEN_PREFIX = b"EGRESS-UPSTREAM "
"""What a simulated upstream's answer begins with; the answer is then exactly one line."""


def probe_line(nonce: str) -> bytes:
    """Return the default payload: ``EGRESS-PROBE <nonce>`` and CRLF."""
    return b"EGRESS-PROBE " + nonce.encode("ascii") + b"\r\n"


def exchange(wire: Wire, options: Options, *, payload: bytes) -> bytes:
    """Send the payload and return the answer (with the greeting before it, if one is read).

    The answer ends with the line if it is a simulated upstream's, else with the stream, with
    ``options.quiet`` seconds of silence, or with ``options.max_body`` bytes.

    Raises:
        StageFailure: nothing, or only part of a simulated upstream's line, was received.
    """
    received = b""
    try:
        if options.read_first:
            received = _read(wire, options, "awaiting the greeting")
            if _is_token(received):
                return received
        broken: StageFailure | None = None
        if payload:
            try:
                wire.send(payload, "sending the payload")
            except StageFailure as failure:
                broken = failure
        elif options.read_first:
            return received
        try:
            return received + _read(wire, options, "awaiting an answer")
        except StageFailure as failure:
            raise more_telling(broken, failure) from None
    except StageFailure as failure:
        failure.received = received + failure.received
        raise


def _is_token(data: bytes) -> bool:
    return data.startswith(TOKEN_PREFIX) and b"\n" in data


def _read(wire: Wire, options: Options, doing: str) -> bytes:
    data = bytearray()
    quiet_at = 0.0
    while len(data) < max(options.max_body, 1):
        # A line that has begun like a simulated upstream's is awaited to its end: silence within
        # it is a slow machine, not the end of the answer.
        token = data[: len(TOKEN_PREFIX)] == TOKEN_PREFIX[: len(data)]
        if token and b"\n" in data:
            return bytes(data[: data.index(b"\n") + 1])
        patience = None if token else max(quiet_at - time.monotonic(), 0.001)
        try:
            more = wire.receive(doing, patience)
        except StageFailure as failure:
            if data and failure.kind == "timeout" and not token:
                return bytes(data)
            failure.received = bytes(data)
            raise
        if more is None:
            return bytes(data)
        if not more:
            if data and not data.startswith(TOKEN_PREFIX):
                return bytes(data)
            closed = StageFailure("eof", f"connection closed {doing}")
            closed.received = bytes(data)
            raise closed
        data += more
        quiet_at = time.monotonic() + options.quiet
    return bytes(data[: options.max_body])
