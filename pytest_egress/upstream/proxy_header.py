"""The PROXY header that a connection may begin with (versions 1 and 2): who is really calling."""

from __future__ import annotations

import socket
import struct

__all__ = ["take"]

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_LONGEST_V1 = 107
_V2_LENGTH = struct.Struct("!12xBBH")
_TCP4, _TCP6 = 0x11, 0x21


def take(sock: socket.socket) -> str | None:
    """Take a PROXY header off the connection and return its source, ``ip:port``.

    None where it does not begin with one, empty where the header names nobody. Blocks until the
    first byte is there.
    """
    first = sock.recv(1, socket.MSG_PEEK)
    if first not in {_V1[:1], _V2[:1]}:
        return None
    # A proxy writes its header in one piece, before all else.
    data = sock.recv(_LONGEST_V1, socket.MSG_PEEK)
    if data.startswith(_V1) and b"\r\n" in data:
        line = sock.recv(data.index(b"\r\n") + 2, socket.MSG_WAITALL)
        words = line.decode("ascii", "replace").split()
        return f"{words[2]}:{words[4]}" if len(words) == 6 else ""
    if data.startswith(_V2) and len(data) >= _V2_LENGTH.size:
        _, family, length = _V2_LENGTH.unpack_from(data)
        body = sock.recv(_V2_LENGTH.size + length, socket.MSG_WAITALL)[_V2_LENGTH.size :]
        return _source(family, body)
    return None


def _source(family: int, body: bytes) -> str:
    kind, size = {_TCP4: (socket.AF_INET, 4), _TCP6: (socket.AF_INET6, 16)}.get(family, (None, 0))
    if kind is None or len(body) < 2 * size + 4:
        return ""
    port = int.from_bytes(body[2 * size : 2 * size + 2], "big")
    return f"{socket.inet_ntop(kind, body[:size])}:{port}"
