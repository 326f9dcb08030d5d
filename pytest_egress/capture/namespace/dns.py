"""A name server for the namespace: queries answered from the pod's lookups (RFC 1035)."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable

from pytest_egress.probe import DnsAnswer

__all__ = ["answer", "asked"]

_A, _AAAA, _IN = 1, 28, 1
_RESPONSE, _AUTHORITY, _DESIRED, _AVAILABLE = 0x8000, 0x0400, 0x0100, 0x0080
_RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
_POINTER = b"\xc0\x0c"  # to the name of the question


def answer(query: bytes, lookup: Callable[[str], DnsAnswer]) -> bytes | None:
    """Answer one query; None where the pod's name server stays silent, or for what is no query.

    The pod has IPv4 alone: a name that has an A record has none of another kind.
    """
    try:
        ident, flags, questions = struct.unpack_from(">HHH", query)
        name, end = _name(query)
        kind, klass = struct.unpack_from(">HH", query, end)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    if flags & _RESPONSE or questions != 1 or klass != _IN:
        return None
    found = lookup(name)
    if found.rcode in {"TIMEOUT", "UNREACHABLE", "MALFORMED"}:
        return None
    addresses = [ipaddress.ip_address(text) for text in found.addresses if kind == _A]
    records = b"".join(
        _POINTER + struct.pack(">HHIH", _A, _IN, found.ttl or 0, 4) + address.packed
        for address in addresses
        if address.version == 4
    )
    code = 0 if found.addresses else _RCODES.get(found.rcode, 2)
    header = _RESPONSE | _AUTHORITY | _AVAILABLE | (flags & _DESIRED) | code
    counts = struct.pack(">HHHHHH", ident, header, 1, len(records) // 16, 0, 0)
    return counts + query[12 : end + 4] + records


def asked(query: bytes) -> str:
    """The name whose IPv4 addresses a query asks for; empty where it asks for anything else."""
    try:
        name, end = _name(query)
        kind, klass = struct.unpack_from(">HH", query, end)
    except (struct.error, IndexError, UnicodeDecodeError):
        return ""
    return name if (kind, klass) == (_A, _IN) else ""


def _name(query: bytes) -> tuple[str, int]:
    labels = []
    at = 12
    while length := query[at]:
        if length > 63:
            raise IndexError
        labels.append(query[at + 1 : at + 1 + length].decode("ascii"))
        at += length + 1
    return ".".join(labels), at + 1
