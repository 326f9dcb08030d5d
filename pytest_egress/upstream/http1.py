"""HTTP/1.1 and HTTP/1.0, the server's side (RFC 9112)."""

from __future__ import annotations

import contextlib
import re
from http import HTTPStatus

from pytest_egress.received import Headers, Request
from pytest_egress.upstream import answers
from pytest_egress.upstream.answers import Answer, Reset, Silent, bare_host
from pytest_egress.upstream.link import CHUNK, Link
from pytest_egress.upstream.site import TOKEN_HEADER

__all__ = ["bare_host", "serve"]

_MOST_HEAD = 65536
# So many connections may stay open and idle; beyond, each is asked to close after its answer.
_MOST_OPEN = 192
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_REQUEST = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) (HTTP/1\.[01])")
_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(;.*)?")


class _BadRequestError(Exception):
    """The request cannot be understood; the status says what to answer."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


class _GoneError(Exception):
    """The peer closed where a request ended, or within one."""


class _Reader:
    """Takes lines and bytes off a connection."""

    def __init__(self, link: Link, data: bytes) -> None:
        self._link = link
        self._data = data

    def waiting(self) -> bool:
        return bool(self._data)

    def until(self, end: bytes, most: int) -> bytes:
        """Return what comes before ``end``, and take ``end`` away too."""
        while (at := self._data.find(end)) < 0:
            if len(self._data) > most:
                raise _BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self._more()
        found, self._data = self._data[:at], self._data[at + len(end) :]
        return found

    def exactly(self, count: int, body: bytearray, most: int) -> None:
        """Take ``count`` bytes and add them to ``body``, which keeps the first ``most``."""
        while count:
            if not self._data:
                self._more()
            taken, self._data = self._data[:count], self._data[count:]
            count -= len(taken)
            body += taken[: max(most - len(body), 0)]

    def skip_empty_lines(self) -> None:
        """RFC 9112, 2.2: a server ignores empty lines before a request."""
        while self._data.startswith(b"\r\n"):
            self._data = self._data[2:]

    def _more(self) -> None:
        more = self._link.sock.recv(CHUNK)
        if not more:
            raise _GoneError
        self._data += more


def serve(link: Link, data: bytes) -> str | None:
    """Answer requests until the connection ends.

    Args:
        link: the connection.
        data: what was read of it already.

    Returns:
        The host of a CONNECT request, when the connection is a tunnel to it from now on.
    """
    reader = _Reader(link, data)
    with contextlib.suppress(_GoneError):
        while True:
            try:
                request, keep = _read(link, reader)
            except _BadRequestError as bad:
                headers = ((TOKEN_HEADER, link.site.token), ("connection", "close"))
                link.sock.sendall(_encode(Answer(bad.status, headers, b""), "GET"))
                link.record.problem = f"a request that is not HTTP/1.1: answered {bad.status}"
                return None
            if request.method == "CONNECT":
                head = f"HTTP/1.1 200 Connection established\r\n{TOKEN_HEADER}: {link.site.token}"
                link.sock.sendall(head.encode("ascii") + b"\r\n\r\n")
                return request.host
            answer = answers.decide(link, request)
            if isinstance(answer, Silent):
                link.silence()
                return None
            if isinstance(answer, Reset):
                link.reset()
                return None
            link.pause(answer.delay)
            if not _send(link, request, answer, keep=keep):
                return None
    return None


def _read(link: Link, reader: _Reader) -> tuple[Request, bool]:
    """Read one request; also return whether the connection is to be kept after it."""
    reader.skip_empty_lines()
    lines = reader.until(b"\r\n\r\n", _MOST_HEAD).decode("latin-1").split("\r\n")
    start = _REQUEST.fullmatch(lines[0])
    fields = [_FIELD.fullmatch(line) for line in lines[1:]]
    if start is None or None in fields:
        raise _BadRequestError(HTTPStatus.BAD_REQUEST)
    method, path, version = start.groups()
    pairs = [(field[1], field[2]) for field in fields if field]
    headers = Headers(pairs)
    authority = headers.get("host", "")
    if method == "CONNECT":
        authority = path
    elif "://" in path:  # absolute-form: it goes before the Host header (RFC 9112, 3.2.2)
        authority = path.partition("://")[2].partition("/")[0]
    body = _body(link, reader, headers, answers.most_kept(link, authority))
    request = answers.request_of(
        link,
        method=method,
        path=path,
        authority=authority,
        headers=pairs,
        body=body,
        http_version=version,
    )
    options = headers.get("connection", "").lower()
    return request, "keep-alive" in options if version == "HTTP/1.0" else "close" not in options


def _body(link: Link, reader: _Reader, headers: Headers, most: int) -> bytes:
    chunked = headers.get("transfer-encoding", "").lower().endswith("chunked")
    lengths = set(headers.get("content-length", "0").replace(" ", "").split(","))
    given = lengths.pop()
    if lengths or not given.isdecimal() or len(given) > 18:
        raise _BadRequestError(HTTPStatus.BAD_REQUEST)
    length = int(given)
    if (chunked or length) and headers.get("expect", "").lower() == "100-continue":
        if not reader.waiting():
            link.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    elif "transfer-encoding" in headers and not chunked:
        raise _BadRequestError(HTTPStatus.NOT_IMPLEMENTED)
    body = bytearray()
    if not chunked:
        reader.exactly(length, body, most)
        return bytes(body)
    while True:
        size = _SIZE.fullmatch(reader.until(b"\r\n", _MOST_HEAD))
        if size is None:
            raise _BadRequestError(HTTPStatus.BAD_REQUEST)
        count = int(size[1], 16)
        if not count:
            break
        reader.exactly(count, body, most)
        if reader.until(b"\r\n", 2):
            raise _BadRequestError(HTTPStatus.BAD_REQUEST)
    while reader.until(b"\r\n", _MOST_HEAD):
        continue  # trailers mean nothing here
    return bytes(body)


def _send(link: Link, request: Request, answer: Answer, *, keep: bool) -> bool:
    """Send ``answer``; return whether the connection stays open."""
    asked = any(name.lower() == "connection" and "close" in value for name, value in answer.headers)
    keep = keep and not asked and link.site.workers.count() <= _MOST_OPEN
    extra: tuple[tuple[str, str], ...] = ()
    if not keep and not asked:
        extra = (("connection", "close"),)
    elif keep and request.http_version == "HTTP/1.0":
        extra = (("connection", "keep-alive"),)
    headers = answer.headers + extra
    link.record.answered = True  # before the client can have read it, and gone
    link.sock.sendall(_encode(Answer(answer.status, headers, answer.body), request.method))
    return keep


def _encode(answer: Answer, method: str) -> bytes:
    """Return the bytes of ``answer`` to a request with ``method``."""
    try:
        reason = HTTPStatus(answer.status).phrase
    except ValueError:
        reason = ""
    lines = [f"HTTP/1.1 {answer.status} {reason}"]
    lines.extend(f"{name}: {value}" for name, value in answer.headers)
    bodiless = answer.status in {204, 304}
    told = any(name.lower() == "content-length" for name, _ in answer.headers)  # of a HEAD
    if not bodiless and not told:
        lines.append(f"content-length: {len(answer.body)}")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if bodiless or method == "HEAD" else head + answer.body
