"""HTTP/2 for one request on one connection (RFC 9113), with its answer and trailers."""

from __future__ import annotations

from . import hpack
from .result import Headers, Response
from .wire import StageFailure, Wire, more_telling

__all__ = ["exchange"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _SETTINGS, _PUSH_PROMISE, _PING, _GOAWAY = range(8)
_WINDOW_UPDATE, _CONTINUATION = 8, 9
_ACK = _END_STREAM = 0x1
_END_HEADERS, _PADDED, _HAS_PRIORITY = 0x4, 0x8, 0x20
_ENABLE_PUSH, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE, _MAX_HEADER_LIST_SIZE = 2, 4, 5, 6
_OUR_MAX_FRAME = 16384
_HEAD_LIMIT = 65536
_MAX_WINDOW = (1 << 31) - 1
_STREAM = 1
_CANCEL = 0x8
_ERRORS = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)
# Fields that belong to a connection of HTTP/1 have no place here (RFC 9113 8.2.2).
_CONNECTION_FIELDS = frozenset(
    {"connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
_DOING = "reading the response"


def exchange(
    wire: Wire,
    pseudo: list[tuple[str, str]],
    headers: list[tuple[str, str]],
    body: bytes | None,
    *,
    max_body: int,
) -> Response:
    """Send one request and read its response to the end of the stream.

    Args:
        wire: a connection on which nothing was sent yet.
        pseudo: the pseudo-header fields, in order.
        headers: the header fields; those of an HTTP/1 connection are left out.
        body: the content; None: there is none.
        max_body: bytes of the response's content that are kept.

    Raises:
        StageFailure: with ``response`` set once the response's head was read.
    """
    kept = [
        (name.lower(), value)
        for name, value in headers
        if name.lower() not in _CONNECTION_FIELDS
        and (name.lower() != "te" or value.lower() == "trailers")
    ]
    stream = _Exchange(wire, max_body)
    try:
        stream.request(hpack.encode(pseudo + kept), body)
        return stream.response()
    except hpack.HpackError as error:
        failure = StageFailure("protocol", f"header compression: {error}")
        failure.response = stream.partial()
        raise failure from error
    except StageFailure as failure:
        failure.response = stream.partial()
        raise


class _Exchange:
    """Stream 1 of a connection and the connection's own state."""

    def __init__(self, wire: Wire, max_body: int) -> None:
        self.wire = wire
        self.max_body = max_body
        self.decoder = hpack.Decoder(max_list_size=_HEAD_LIMIT)
        self.unsent = self.outgoing = b""
        self.connection_window = self.stream_window = self.initial_window = 65535
        self.max_frame = _OUR_MAX_FRAME
        self.settings_seen = self.ended = self.truncated = False
        self.broken: StageFailure | None = None
        self.block = bytearray()
        self.block_flags: int | None = None
        self.status = 0
        self.headers = self.trailers = Headers()
        self.body = bytearray()

    def partial(self) -> Response | None:
        if not self.status:
            return None
        return self._made(truncated=True)

    def response(self) -> Response:
        while not self.ended:
            self._push()
            kind, flags, stream, payload = self._frame()
            if self.block_flags is not None and (kind != _CONTINUATION or stream != _STREAM):
                raise StageFailure("protocol", "header fields interrupted by another frame")
            self._handle(kind, flags, stream, payload)
        return self._made(truncated=self.truncated)

    def request(self, block: bytes, body: bytes | None) -> None:
        settings = b"".join(
            ident.to_bytes(2, "big") + value.to_bytes(4, "big")
            for ident, value in ((_ENABLE_PUSH, 0), (_MAX_HEADER_LIST_SIZE, _HEAD_LIMIT))
        )
        parts = [block[at : at + _OUR_MAX_FRAME] for at in range(0, len(block), _OUR_MAX_FRAME)]
        data = _PREFACE + _framed(_SETTINGS, 0, 0, settings)
        for nth, part in enumerate(parts):
            flags = 0 if nth or body else _END_STREAM
            flags |= _END_HEADERS if nth == len(parts) - 1 else 0
            data += _framed(_CONTINUATION if nth else _HEADERS, flags, _STREAM, part)
        self.unsent = body or b""
        self._send(data)

    def _made(self, *, truncated: bool) -> Response:
        return Response(
            self.status, "", self.headers, bytes(self.body), "2", self.trailers, truncated
        )

    def _send(self, data: bytes) -> None:
        if self.broken is not None:
            return
        try:
            # Whatever comes back is read first: it may be the answer, and the end of sending.
            self.outgoing = self.wire.send_until(self.outgoing + data, bool, "sending the request")
        except StageFailure as failure:
            # The answer, or GOAWAY with the reason, may have come before the end.
            self.broken = failure

    def _push(self) -> None:
        """Send as much of the body as the windows allow (RFC 9113 5.2)."""
        if self.outgoing:
            self._send(b"")
        while self.unsent and not self.outgoing and self.broken is None:
            size = min(self.connection_window, self.stream_window, self.max_frame)
            if size <= 0:
                return
            part, self.unsent = self.unsent[:size], self.unsent[size:]
            self.connection_window -= len(part)
            self.stream_window -= len(part)
            self._send(_framed(_DATA, 0 if self.unsent else _END_STREAM, _STREAM, part))

    def _frame(self) -> tuple[int, int, int, bytes]:
        try:
            return self._read_frame()
        except StageFailure as failure:
            raise more_telling(self.broken, failure) from None

    def _read_frame(self) -> tuple[int, int, int, bytes]:
        if not self.settings_seen and self.wire.peek(5, _DOING) == b"HTTP/":
            raise StageFailure("protocol", "the peer answers in HTTP/1, not in HTTP/2")
        head = self.wire.exactly(9, _DOING)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        if not self.settings_seen and (kind != _SETTINGS or length % 6 or flags & _ACK):
            raise StageFailure(
                "protocol", f"the peer does not speak HTTP/2: it begins with {head!r}"
            )
        if length > _OUR_MAX_FRAME:
            raise StageFailure("protocol", f"a frame of {length} bytes, above what is allowed")
        payload = self.wire.exactly(length, _DOING)
        self.settings_seen = True
        return kind, flags, int.from_bytes(head[5:], "big") & _MAX_WINDOW, payload

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in {_SETTINGS, _PING, _GOAWAY} and stream:
            raise StageFailure("protocol", "a frame of the connection on a stream")
        if kind in {_DATA, _HEADERS, _RST_STREAM, _CONTINUATION} and stream != _STREAM:
            raise StageFailure("protocol", f"a frame on stream {stream}, which is not open")
        if kind == _DATA:
            self._data(flags, payload)
        elif kind == _HEADERS:
            content = _unpadded(flags, payload)
            if flags & _HAS_PRIORITY:
                if len(content) < 5:
                    raise StageFailure("protocol", "a frame that is too short")
                content = content[5:]
            self.block = bytearray(content)
            self.block_flags = flags
            self._finish_block(flags)
        elif kind == _CONTINUATION:
            if self.block_flags is None:
                raise StageFailure("protocol", "a continuation of nothing")
            self.block += payload
            self._finish_block(flags)
        elif kind == _SETTINGS and not flags & _ACK:
            self._settings(payload)
        elif kind == _PING:
            _expect_length(payload, 8)
            if not flags & _ACK:
                self._send(_framed(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE:
            self._window_update(stream, payload)
        elif kind == _RST_STREAM:
            _expect_length(payload, 4)
            raise StageFailure("reset", f"the peer reset the stream: {_error(payload)}")
        elif kind == _GOAWAY:
            self._go_away(payload)
        elif kind == _PUSH_PROMISE:
            raise StageFailure("protocol", "a pushed response, which we forbade")
        # PRIORITY and unknown kinds are ignored (RFC 9113 5.3.2, 5.5).

    def _data(self, flags: int, payload: bytes) -> None:
        if not self.status:
            raise StageFailure("protocol", "content before the header fields")
        content = _unpadded(flags, payload)
        room = self.max_body - len(self.body)
        self.body += content[:room]
        if len(content) > room:
            self.truncated = self.ended = True
            self._send(_framed(_RST_STREAM, 0, _STREAM, _CANCEL.to_bytes(4, "big")))
        elif flags & _END_STREAM:
            self.ended = True
        elif payload:
            # Padding counts too; both windows are opened again by what came in.
            update = len(payload).to_bytes(4, "big")
            self._send(
                _framed(_WINDOW_UPDATE, 0, 0, update) + _framed(_WINDOW_UPDATE, 0, _STREAM, update)
            )

    def _finish_block(self, flags: int) -> None:
        if len(self.block) > _HEAD_LIMIT:
            raise StageFailure("protocol", f"header fields are larger than {_HEAD_LIMIT} bytes")
        if not flags & _END_HEADERS:
            return
        first, self.block_flags = self.block_flags or 0, None
        pairs = self.decoder.decode(bytes(self.block))
        for name, value in pairs:
            if name != name.lower() or not name or any(ch in "\r\n\0" for ch in name + value):
                raise StageFailure("protocol", f"not a header field: {name!r}: {value!r}")
        fields = Headers(pair for pair in pairs if not pair[0].startswith(":"))
        ends = bool(first & _END_STREAM)
        if self.status:
            if not ends or len(fields) != len(pairs):
                raise StageFailure("protocol", "trailers that do not end the stream")
            self.trailers = fields
            self.ended = True
            return
        statuses = [value for name, value in pairs if name == ":status"]
        if len(statuses) != 1 or len(pairs) != len(fields) + 1 or pairs[0][0] != ":status":
            raise StageFailure("protocol", "header fields without exactly one :status at first")
        status = statuses[0]
        if len(status) != 3 or not (status.isascii() and status.isdigit()) or status < "100":
            raise StageFailure("protocol", f":status {status!r} is not a status code")
        if status < "200":
            if ends or status == "101":
                raise StageFailure("protocol", f"status {status} as a final answer")
            return
        self.status, self.headers, self.ended = int(status), fields, ends

    def _settings(self, payload: bytes) -> None:
        if len(payload) % 6:
            raise StageFailure("protocol", "settings of a wrong length")
        for at in range(0, len(payload), 6):
            ident = int.from_bytes(payload[at : at + 2], "big")
            value = int.from_bytes(payload[at + 2 : at + 6], "big")
            if ident == _INITIAL_WINDOW_SIZE:
                if value > _MAX_WINDOW:
                    raise StageFailure("protocol", "an initial window that is too large")
                self.stream_window += value - self.initial_window
                self.initial_window = value
            elif ident == _MAX_FRAME_SIZE:
                if not _OUR_MAX_FRAME <= value < 1 << 24:
                    raise StageFailure("protocol", "a maximum frame size out of bounds")
                self.max_frame = value
        self._send(_framed(_SETTINGS, _ACK, 0, b""))

    def _window_update(self, stream: int, payload: bytes) -> None:
        _expect_length(payload, 4)
        increment = int.from_bytes(payload, "big") & _MAX_WINDOW
        if not increment:
            raise StageFailure("protocol", "a window update of nothing")
        if stream == 0:
            self.connection_window += increment
        elif stream == _STREAM:
            self.stream_window += increment
        if max(self.connection_window, self.stream_window) > _MAX_WINDOW:
            raise StageFailure("protocol", "a window that is too large")

    def _go_away(self, payload: bytes) -> None:
        if len(payload) < 8:
            raise StageFailure("protocol", "a frame that is too short")
        # A graceful shutdown still answers the streams up to the one it names (RFC 9113 6.8).
        if int.from_bytes(payload[:4], "big") & _MAX_WINDOW < _STREAM or any(payload[4:8]):
            debug = f" ({payload[8:80]!r})" if payload[8:] else ""
            raise StageFailure(
                "reset", f"the peer closes the connection: {_error(payload[4:8])}{debug}"
            )


def _framed(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise StageFailure("protocol", "a frame with more padding than content")
    return payload[1 : len(payload) - payload[0]]


def _expect_length(payload: bytes, length: int) -> None:
    if len(payload) != length:
        raise StageFailure("protocol", "a frame of a wrong length")


def _error(code: bytes) -> str:
    number = int.from_bytes(code, "big")
    return _ERRORS[number] if number < len(_ERRORS) else f"error {number:#x}"
