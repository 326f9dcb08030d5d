"""Header compression of HTTP/2 (RFC 7541): a whole decoder, and an encoder without state."""

from __future__ import annotations

import collections
from collections.abc import Iterable

from . import huffman

__all__ = ["STATIC_TABLE", "Decoder", "HpackError", "encode"]

_STATIC = """\
:authority
:method=GET
:method=POST
:path=/
:path=/index.html
:scheme=http
:scheme=https
:status=200
:status=204
:status=206
:status=304
:status=400
:status=404
:status=500
accept-charset
accept-encoding=gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
"""
STATIC_TABLE: tuple[tuple[str, str], ...] = tuple(
    (line.partition("=")[0], line.partition("=")[2]) for line in _STATIC.splitlines()
)
"""RFC 7541 Appendix A; index 1 is the first."""

_ENTRY_OVERHEAD = 32
_MAX_INTEGER = (1 << 31) - 1


class HpackError(ValueError):
    """A header block that cannot be decoded; the connection is then unusable."""


class Decoder:
    """The decoding context of one connection.

    Args:
        max_table_size: what our SETTINGS_HEADER_TABLE_SIZE allows, in bytes.
        max_list_size: bytes of one decoded header list, counted as in RFC 9113 6.5.2.
    """

    __slots__ = ("_entries", "_limit", "_max_list_size", "_max_table_size", "_size")

    def __init__(self, max_table_size: int = 4096, max_list_size: int = 65536) -> None:
        self._entries: collections.deque[tuple[str, str]] = collections.deque()
        self._size = 0
        self._limit = self._max_table_size = max_table_size
        self._max_list_size = max_list_size

    def decode(self, block: bytes) -> list[tuple[str, str]]:
        """Decode one complete header block; octets are read as Latin-1.

        Raises:
            HpackError: it is malformed or its list is too large.
        """
        headers: list[tuple[str, str]] = []
        size = at = 0
        while at < len(block):
            octet = block[at]
            if octet & 0x80:
                index, at = _integer(block, at, 7)
                header = self._entry(index)
            elif octet & 0xE0 == 0x20:
                if headers:
                    raise HpackError("a table size update after the first header field")
                limit, at = _integer(block, at, 5)
                if limit > self._max_table_size:
                    raise HpackError(f"a table size update to {limit}, above what is allowed")
                self._limit = limit
                self._evict()
                continue
            else:
                indexed = bool(octet & 0x40)
                index, at = _integer(block, at, 6 if indexed else 4)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                header = (name, value)
                if indexed:
                    self._add(header)
            size += _size(header)
            if size > self._max_list_size:
                raise HpackError(f"header fields are larger than {self._max_list_size} bytes")
            headers.append(header)
        return headers

    def _entry(self, index: int) -> tuple[str, str]:
        if 0 < index <= len(STATIC_TABLE):
            return STATIC_TABLE[index - 1]
        index -= len(STATIC_TABLE) + 1
        if not 0 <= index < len(self._entries):
            raise HpackError("an index that no table has")
        return self._entries[index]

    def _add(self, header: tuple[str, str]) -> None:
        self._entries.appendleft(header)
        self._size += _size(header)
        # An entry larger than the table empties it and is not kept (RFC 7541 4.4).
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            self._size -= _size(self._entries.pop())


def encode(headers: Iterable[tuple[str, str]]) -> bytes:
    """Encode a header list without the dynamic table and without Huffman coding.

    One block is all that a connection of one request sends, so there is nothing to remember.
    """
    whole = {header: nth for nth, header in enumerate(STATIC_TABLE, 1)}
    names = {name: nth for nth, (name, _) in reversed([*enumerate(STATIC_TABLE, 1)])}
    block = bytearray()
    for name, value in headers:
        index = whole.get((name, value))
        if index is not None:
            block += _encode_integer(index, 7, 0x80)
            continue
        index = names.get(name, 0)
        block += _encode_integer(index, 4, 0x00)
        for text in (value,) if index else (name, value):
            octets = text.encode("latin-1")
            block += _encode_integer(len(octets), 7, 0x00) + octets
    return bytes(block)


def _size(header: tuple[str, str]) -> int:
    return len(header[0]) + len(header[1]) + _ENTRY_OVERHEAD


def _integer(data: bytes, at: int, prefix: int) -> tuple[int, int]:
    """Read an integer of RFC 7541 5.1; returns it and the position after it."""
    if at >= len(data):
        raise HpackError("a header block that ends too early")
    mask = (1 << prefix) - 1
    value = data[at] & mask
    at += 1
    if value < mask:
        return value, at
    shift = 0
    while True:
        if at >= len(data):
            raise HpackError("a header block that ends too early")
        octet = data[at]
        at += 1
        value += (octet & 0x7F) << shift
        shift += 7
        # The shift is bounded too: zeros may be appended without end.
        if value > _MAX_INTEGER or shift > 35:
            raise HpackError("an integer that is too large")
        if not octet & 0x80:
            return value, at


def _encode_integer(value: int, prefix: int, pattern: int) -> bytes:
    mask = (1 << prefix) - 1
    if value < mask:
        return bytes([pattern | value])
    encoded = bytearray([pattern | mask])
    value -= mask
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _string(data: bytes, at: int) -> tuple[str, int]:
    coded = at < len(data) and data[at] & 0x80
    length, at = _integer(data, at, 7)
    end = at + length
    if end > len(data):
        raise HpackError("a string that runs past its header block")
    octets = data[at:end]
    if coded:
        try:
            octets = huffman.decode(octets)
        except huffman.HuffmanError as error:
            raise HpackError(str(error)) from error
    return octets.decode("latin-1"), end
