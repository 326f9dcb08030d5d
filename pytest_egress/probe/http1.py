"""HTTP/1.0 and 1.1 for one request: writing it, and reading its answer and nothing more.

A message of known length is never read to the end of the stream: Envoy keeps a connection that it
closes open for up to a second (delayed_close_timeout).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .options import Options
from .result import NO_HEADERS, Headers, Response
from .target import Target
from .wire import StageFailure, Wire, more_telling

__all__ = ["exchange", "request_bytes", "request_headers"]

_HEAD_LIMIT = 65536
_CHUNK_LINE_LIMIT = 4096
_DOING = "reading the response"
_OWS = " \t"


def request_headers(target: Target, options: Options) -> list[tuple[str, str]]:
    """Return the header fields of a request, ``Host`` first; the options' replace ours."""
    given = {name.lower() for name, _ in options.headers}
    host = target.authority if options.host_header is None else options.host_header
    own = [("Host", host), ("User-Agent", "pytest-egress"), ("Accept", "*/*")]
    if options.host_header is not None:
        given.discard("host")
    has_body = options.body is not None or options.method.upper() in {"POST", "PUT", "PATCH"}
    if has_body and "transfer-encoding" not in given:
        own.append(("Content-Length", str(len(options.body or b""))))
    kept = [
        (name, value)
        for name, value in options.headers
        if options.host_header is None or name.lower() != "host"
    ]
    first = [pair for pair in kept if pair[0].lower() == "host"]
    rest = [pair for pair in kept if pair[0].lower() != "host"]
    return first + [pair for pair in own if pair[0].lower() not in given] + rest


def request_bytes(target: Target, options: Options) -> bytes:
    """Return the request as sent: head and body."""
    version = "1.0" if options.http_version == "1.0" else "1.1"
    lines = [f"{options.method} {target.path or '/'} HTTP/{version}"]
    lines.extend(f"{name}: {value}" for name, value in request_headers(target, options))
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (options.body or b"")


def exchange(wire: Wire, target: Target, options: Options) -> Response:
    """Send the request and read its response.

    Raises:
        StageFailure: with ``response`` set once the response's head was read.
    """
    broken: StageFailure | None = None
    try:
        wire.send_until(request_bytes(target, options), _is_final, "sending the request")
    except StageFailure as failure:
        # A server may answer early and close while we are still sending (RFC 9112 9.5).
        broken = failure
    try:
        return _read_response(wire, options.method.upper(), options.max_body)
    except StageFailure as failure:
        if failure.response is not None:
            raise
        raise more_telling(broken, failure) from None


def _is_final(answer: bytearray) -> bool:
    """Whether an answer has begun that is not an informational one."""
    return len(answer) >= 12 and not answer.startswith((b"HTTP/1.1 1", b"HTTP/1.0 1"))


@dataclass(slots=True)
class _Message:
    status: int = 0
    reason: str = ""
    version: str = "1.1"
    headers: Headers = NO_HEADERS
    trailers: Headers = NO_HEADERS
    body: bytearray = field(default_factory=bytearray)

    def response(self, *, truncated: bool = False) -> Response:
        return Response(
            self.status,
            self.reason,
            self.headers,
            bytes(self.body),
            self.version,
            self.trailers,
            truncated,
        )


def _read_response(wire: Wire, method: str, limit: int) -> Response:
    message = _read_head(wire)
    try:
        complete = _read_body(wire, message, method, limit)
    except StageFailure as failure:
        failure.response = message.response(truncated=True)
        raise
    return message.response(truncated=not complete)


def _read_head(wire: Wire) -> _Message:
    budget = _HEAD_LIMIT
    while True:
        start = wire.peek(5, _DOING)
        if not b"HTTP/".startswith(start[:5]):
            raise StageFailure("protocol", f"the answer is not HTTP: it begins with {start!r}")
        line = _head_line(wire, budget)
        message = _status_line(line)
        message.headers, budget = _read_fields(wire, budget - len(line))
        # 101 is the final answer to a request to upgrade (RFC 9110 15.2.2).
        if message.status >= 200 or message.status == 101:
            return message


def _status_line(line: bytes) -> _Message:
    version, _, rest = line.decode("latin-1").partition(" ")
    code, _, reason = rest.partition(" ")
    if version not in {"HTTP/1.0", "HTTP/1.1"} or len(code) != 3 or not _is_number(code):
        raise StageFailure("protocol", f"not an HTTP/1.x status line: {line[:80]!r}")
    if not 100 <= int(code) <= 999:
        raise StageFailure("protocol", f"status code {code} is out of bounds")
    return _Message(int(code), reason.strip(_OWS), version.removeprefix("HTTP/"))


def _read_fields(wire: Wire, budget: int) -> tuple[Headers, int]:
    """Read header or trailer fields to the empty line; returns them and the bytes left."""
    fields: list[tuple[str, str]] = []
    while True:
        line = _head_line(wire, budget)
        budget -= len(line) + 2
        if not line:
            return Headers(fields), budget
        text = line.decode("latin-1")
        if text[0] in _OWS and fields:
            # Obsolete line folding reads as one space (RFC 9112 5.2).
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {text.strip(_OWS)}".strip(_OWS))
            continue
        name, colon, value = text.partition(":")
        if not colon or not name or name.strip(_OWS) != name or "\r" in text or "\0" in text:
            raise StageFailure("protocol", f"not a header field: {line[:80]!r}")
        fields.append((name, value.strip(_OWS)))


def _head_line(wire: Wire, budget: int) -> bytes:
    try:
        return wire.line(budget, _DOING)
    except StageFailure as failure:
        if failure.kind == "protocol":
            failure.message = f"header fields are larger than {_HEAD_LIMIT} bytes"
        raise


def _read_body(wire: Wire, message: _Message, method: str, limit: int) -> bool:
    """Read the content (RFC 9112 6.3); False if it was cut off at the limit."""
    if method == "HEAD" or message.status in {101, 204, 304}:
        return True
    coding = message.headers.get_all("transfer-encoding")
    if coding:
        # It overrides a Content-Length; only chunked says where the message ends.
        if ",".join(coding).rpartition(",")[2].strip(_OWS).lower() == "chunked":
            return _read_chunked(wire, message, limit)
        return _read_to_end(wire, message, limit)
    length = _content_length(message.headers)
    if length is None:
        return _read_to_end(wire, message, limit)
    _read_into(wire, message.body, min(length, limit))
    return length <= limit


def _content_length(headers: Headers) -> int | None:
    values = {
        value.strip(_OWS) for line in headers.get_all("content-length") for value in line.split(",")
    }
    if not values:
        return None
    value = values.pop()
    if values or not _is_number(value) or len(value) > 18:
        raise StageFailure("protocol", "Content-Length is contradictory or not a number")
    return int(value)


def _read_chunked(wire: Wire, message: _Message, limit: int) -> bool:
    while True:
        line = wire.line(_CHUNK_LINE_LIMIT, _DOING)
        digits = line.partition(b";")[0].strip(b" \t")
        if not 0 < len(digits) <= 16 or digits.strip(b"0123456789abcdefABCDEF"):
            raise StageFailure("protocol", f"not a chunk size: {line[:40]!r}")
        size = int(digits, 16)
        if not size:
            message.trailers, _ = _read_fields(wire, _HEAD_LIMIT)
            return True
        room = limit - len(message.body)
        _read_into(wire, message.body, min(size, room))
        if size > room:
            return False
        if wire.line(2, _DOING):
            raise StageFailure("protocol", "a chunk is longer than its size")


def _read_into(wire: Wire, body: bytearray, count: int) -> None:
    """Move bytes as they come, so that what did arrive is known if the rest does not."""
    while count:
        if not wire.buffer and not wire.fill("reading the response body"):
            raise StageFailure("eof", "connection closed reading the response body")
        data = wire.take(count)
        body += data
        count -= len(data)


def _read_to_end(wire: Wire, message: _Message, limit: int) -> bool:
    while True:
        message.body += wire.take(limit - len(message.body))
        if wire.buffer:
            return False
        if not wire.fill("reading a response that only the end of the connection ends"):
            return True


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
