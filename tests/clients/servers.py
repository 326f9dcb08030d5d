"""Servers that say just enough Redis, MongoDB and PostgreSQL for a client's first exchange."""

from __future__ import annotations

import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Mongo", "Postgres", "Redis", "serving"]


class _Handler(socketserver.StreamRequestHandler):
    """Answers message by message until the client has gone."""

    def handle(self) -> None:
        """Serve one connection."""
        try:
            self.converse()
        except (OSError, EOFError):
            return  # the client has gone

    def converse(self) -> None:
        """Speak the protocol."""
        raise NotImplementedError

    def exactly(self, count: int) -> bytes:
        """The next so many bytes."""
        data: bytes = self.rfile.read(count)
        if len(data) < count:
            raise EOFError
        return data


class Redis(_Handler):
    """PING, HELLO, and OK to the rest."""

    def converse(self) -> None:
        """Answer arrays of bulk strings."""
        answers = {
            b"PING": b"+PONG\r\n",
            b"HELLO": b"%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n",
        }
        while head := self.rfile.readline():
            words = [self._bulk() for _ in range(int(head[1:]))]
            self.wfile.write(answers.get(words[0].upper(), b"+OK\r\n"))

    def _bulk(self) -> bytes:
        return self.exactly(int(self.rfile.readline()[1:]) + 2)[:-2]


class Mongo(_Handler):
    """A standalone server that is content with every command."""

    def converse(self) -> None:
        """Answer OP_MSG with OP_MSG and the old OP_QUERY with OP_REPLY."""
        import bson

        told = {"helloOk": True, "isWritablePrimary": True, "readOnly": False, "ok": 1.0}
        document = bson.encode({**told, "minWireVersion": 0, "maxWireVersion": 21})
        while True:
            length, number, _, kind = struct.unpack("<iiii", self.exactly(16))
            self.exactly(length - 16)
            if kind == 2013:
                body = struct.pack("<iB", 0, 0) + document
            else:
                kind, body = 1, struct.pack("<iqii", 8, 0, 0, 1) + document
            self.wfile.write(struct.pack("<iiii", len(body) + 16, 1, number, kind) + body)


class Postgres(_Handler):
    """One column, one row: 1. TLS where the server has a context."""

    def converse(self) -> None:
        """Start up, then answer simple queries."""
        while True:
            length, code = struct.unpack("!ii", self.exactly(8))
            self.exactly(length - 8)
            if code >> 16 == 3:
                break
            self._begin(code)
        settings = (
            b"client_encoding\0UTF8\0",
            b"DateStyle\0ISO, MDY\0",
            b"server_version\x0017.1\0",
        )
        self.wfile.write(
            _message(b"R", struct.pack("!i", 0))
            + b"".join(_message(b"S", setting) for setting in settings)
            + _message(b"Z", b"I")
        )
        while True:
            kind, length = struct.unpack("!ci", self.exactly(5))
            text = self.exactly(length - 4)
            if kind == b"X":
                return
            self.wfile.write(_rows(text) + _message(b"Z", b"I"))

    def _begin(self, code: int) -> None:
        context: ssl.SSLContext | None = getattr(self.server, "context", None)
        if code != 80877103 or context is None:
            self.wfile.write(b"N")
            return
        self.wfile.write(b"S")
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)

    def finish(self) -> None:
        """Close also what TLS has made of the connection."""
        super().finish()
        self.connection.close()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _rows(text: bytes) -> bytes:
    if not text.upper().startswith(b"SELECT"):
        return _message(b"C", b"SET\0")
    column = b"one\0" + struct.pack("!ihihih", 0, 0, 23, 4, -1, 0)
    return (
        _message(b"T", struct.pack("!h", 1) + column)
        + _message(b"D", struct.pack("!hi", 1, 1) + b"1")
        + _message(b"C", b"SELECT 1\0")
    )


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    context: ssl.SSLContext | None = None


@contextmanager
def serving(
    handler: type[_Handler], context: ssl.SSLContext | None = None
) -> Iterator[tuple[str, int]]:
    """The address of a server on loopback."""
    with _Server(("127.0.0.1", 0), handler) as server:
        server.context = context
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield ("127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
