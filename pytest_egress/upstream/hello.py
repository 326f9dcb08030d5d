"""Reads the server name out of a TLS ClientHello without taking it from the socket."""

from __future__ import annotations

import socket

__all__ = ["peek", "server_name"]

_SERVER_NAME = 0
_CLIENT_HELLO = 1


def peek(sock: socket.socket) -> bytes:
    """Return the first TLS record of ``sock``, or what the peer sent of it before it closed."""
    # With WAITALL the kernel waits for that many bytes; a plain peek would return what is there,
    # at once and over and over.
    header = sock.recv(5, socket.MSG_PEEK | socket.MSG_WAITALL)
    if len(header) < 5:
        return header
    length = int.from_bytes(header[3:5], "big")
    return sock.recv(5 + length, socket.MSG_PEEK | socket.MSG_WAITALL)


def server_name(record: bytes) -> str:
    """Return the host_name of the ClientHello's server_name extension (RFC 6066), lower case.

    Empty when there is none, or when the hello is malformed or spread over several records.
    """
    try:
        return _server_name(_Reader(record))
    except (IndexError, UnicodeDecodeError):
        return ""


def _server_name(reader: _Reader) -> str:
    reader.take(5)
    if reader.number(1) != _CLIENT_HELLO:
        return ""
    reader.take(3 + 2 + 32)  # length, version, random
    reader.take(reader.number(1))  # session id
    reader.take(reader.number(2))  # cipher suites
    reader.take(reader.number(1))  # compression methods
    extensions = _Reader(reader.take(reader.number(2)))
    while extensions.left():
        kind = extensions.number(2)
        content = _Reader(extensions.take(extensions.number(2)))
        if kind == _SERVER_NAME:
            content.take(2 + 1)  # length of the list, type of the name
            return content.take(content.number(2)).decode("ascii").lower().removesuffix(".")
    return ""


class _Reader:
    """Takes numbers and strings off the front of bytes; IndexError when there is too little."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def left(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise IndexError(end)
        data, self._at = self._data[self._at : end], end
        return data

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")
