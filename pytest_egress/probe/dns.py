"""DNS messages: writing a query and reading an answer (RFC 1035), trusting nothing in it."""

from __future__ import annotations

import socket
from dataclasses import dataclass

__all__ = ["TYPE_A", "TYPE_AAAA", "DnsFormatError", "Message", "encode_query", "parse_answer"]

TYPE_A, TYPE_CNAME, TYPE_AAAA = 1, 5, 28
_CLASS_IN = 1
_HEADER = 12
_RESPONSE, _OPCODE, _TRUNCATED, _RECURSION_DESIRED = 0x8000, 0x7800, 0x0200, 0x0100
_MAX_ALIASES = 32
RCODES = (
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
    "NOTZONE",
)


class DnsFormatError(ValueError):
    """A message that breaks the wire format."""


@dataclass(frozen=True, slots=True)
class Message:
    """One answer, reduced to what belongs to its question.

    Attributes:
        rcode: name of the response code (RFC 6895 2.3).
        truncated: whether the rest must be asked for over TCP.
        addresses: addresses at the end of the alias chain that begins at the question's name.
        cnames: that chain.
        ttl: least time to live in seconds of the records used; None: there were none.
    """

    rcode: str
    truncated: bool
    addresses: tuple[str, ...]
    cnames: tuple[str, ...]
    ttl: int | None


def encode_query(ident: int, name: str, qtype: int) -> bytes:
    """Return a recursive query without EDNS.

    Raises:
        DnsFormatError: a label that is empty or longer than 63 bytes, a name over 255.
    """
    encoded = bytearray()
    for label in name.removesuffix(".").encode("ascii").split(b"."):
        if not 0 < len(label) < 64:
            raise DnsFormatError(f"{name!r}: expected labels of 1 to 63 bytes")
        encoded.append(len(label))
        encoded += label
    encoded.append(0)
    if len(encoded) > 255:
        raise DnsFormatError(f"{name!r}: expected at most 255 bytes")
    header = _u16s(ident, _RECURSION_DESIRED, 1, 0, 0, 0)
    return header + bytes(encoded) + _u16s(qtype, _CLASS_IN)


def parse_answer(data: bytes, query: bytes) -> Message | None:
    """Read the answer to a query.

    Returns:
        None if the message is not an answer to this query (another id or question): it may be a
        late one, or a forged one, and the real answer may still come.

    Raises:
        DnsFormatError: it claims to be the answer but is malformed.
    """
    if data[:2] != query[:2]:
        return None
    if len(data) < _HEADER:
        raise DnsFormatError("a message shorter than its header")
    flags, questions, answers = _u16(data, 2), _u16(data, 4), _u16(data, 6)
    if not flags & _RESPONSE or flags & _OPCODE:
        return None
    code = flags & 0xF
    rcode = RCODES[code] if code < len(RCODES) else f"RCODE{code}"
    truncated = bool(flags & _TRUNCATED)
    if questions == 0 and code:
        # A server that could not read the question need not repeat it.
        return Message(rcode, truncated, (), (), None)
    if questions != 1:
        raise DnsFormatError(f"an answer with {questions} questions")
    name, at = _name(data, _HEADER)
    asked, end = _name(query, _HEADER)  # options may follow the question
    if name != asked or data[at : at + 4] != query[end : end + 4]:
        return None
    records = _records(data, at + 4, answers) if not truncated else []
    return _follow(asked, _u16(query, end), records, rcode, truncated=truncated)


@dataclass(frozen=True, slots=True)
class _Record:
    owner: str
    type: int
    ttl: int
    value: str


def _records(data: bytes, at: int, count: int) -> list[_Record]:
    records = []
    for _ in range(count):
        owner, at = _name(data, at)
        kind, klass, ttl, length = (
            _u16(data, at),
            _u16(data, at + 2),
            _u16(data, at + 4) << 16 | _u16(data, at + 6),
            _u16(data, at + 8),
        )
        at += 10
        end = at + length
        if end > len(data):
            raise DnsFormatError("a record that runs past the message")
        # RFC 2181 8: a time to live with the top bit set counts as zero.
        ttl = 0 if ttl >> 31 else ttl
        if klass == _CLASS_IN and kind in {TYPE_A, TYPE_AAAA}:
            family = socket.AF_INET if kind == TYPE_A else socket.AF_INET6
            if length != (4 if kind == TYPE_A else 16):
                raise DnsFormatError(f"an address of {length} bytes")
            value = socket.inet_ntop(family, data[at:end])
            records.append(_Record(owner, kind, ttl, value))
        elif klass == _CLASS_IN and kind == TYPE_CNAME:
            value, after = _name(data, at)
            if after != end:
                raise DnsFormatError("a CNAME that does not fill its record")
            records.append(_Record(owner, kind, ttl, value))
        at = end
    return records


def _follow(
    name: str, qtype: int, records: list[_Record], rcode: str, *, truncated: bool
) -> Message:
    aliases = {record.owner: record for record in records if record.type == TYPE_CNAME}
    cnames: list[str] = []
    ttls = []
    while name in aliases:
        if len(cnames) >= _MAX_ALIASES:
            raise DnsFormatError("a CNAME chain that does not end")
        ttls.append(aliases[name].ttl)
        name = aliases[name].value
        cnames.append(name)
    used = [record for record in records if record.type == qtype and record.owner == name]
    ttls.extend(record.ttl for record in used)
    addresses = tuple(dict.fromkeys(record.value for record in used))
    return Message(rcode, truncated, addresses, tuple(cnames), min(ttls, default=None))


def _name(data: bytes, at: int) -> tuple[str, int]:
    """Read a name, lower-cased; returns it and the position after it.

    A compression pointer must point before the name it stands in, so that reading always ends.
    """
    labels: list[str] = []
    size = 1
    after = -1
    limit = at
    while True:
        if at >= len(data):
            raise DnsFormatError("a name that runs past the message")
        length = data[at]
        if length & 0xC0 == 0xC0:
            target = _u16(data, at) & 0x3FFF
            after = after if after >= 0 else at + 2
            if target >= limit:
                raise DnsFormatError("a compression pointer that does not point back")
            at = limit = target
            continue
        if length & 0xC0:
            raise DnsFormatError("a label of an unknown kind")
        at += 1
        if not length:
            return ".".join(labels), after if after >= 0 else at
        size += length + 1
        if size > 255 or at + length > len(data):
            raise DnsFormatError("a name that is too long")
        labels.append(_label(data[at : at + length]))
        at += length


def _label(raw: bytes) -> str:
    # RFC 1035 5.1: what would read as something else is written \DDD.
    return "".join(
        chr(octet) if 0x21 <= octet <= 0x7E and octet not in b".\\" else f"\\{octet:03d}"
        for octet in raw.lower()
    )


def _u16(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise DnsFormatError("a message that ends too early")
    return data[at] << 8 | data[at + 1]


def _u16s(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)
