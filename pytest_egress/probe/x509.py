"""The few fields of a certificate that a report names, read from DER (RFC 5280).

``ssl`` decodes a certificate only after it has verified it; a report needs the rest, too.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from .target import is_address

__all__ = ["Certificate", "matches", "parse"]

_ATTRIBUTES = {
    b"\x55\x04\x03": "CN",
    b"\x55\x04\x05": "serialNumber",
    b"\x55\x04\x06": "C",
    b"\x55\x04\x07": "L",
    b"\x55\x04\x08": "ST",
    b"\x55\x04\x0a": "O",
    b"\x55\x04\x0b": "OU",
}
_SUBJECT_ALT_NAME = b"\x55\x1d\x11"
_SEQUENCE, _SET, _OID, _OCTETS, _BMP_STRING, _UTF8_STRING = 0x30, 0x31, 0x06, 0x04, 0x1E, 0x0C
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_EMAIL, _DNS, _URI, _ADDRESS = 0x81, 0x82, 0x86, 0x87


@dataclass(frozen=True, slots=True)
class Certificate:
    """Who a certificate names and who issued it; see ``TlsInfo`` for the fields' form."""

    subject: str
    issuer: str
    dns_names: tuple[str, ...]
    addresses: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def sans(self) -> tuple[str, ...]:
        """Every subject alternative name."""
        return self.dns_names + self.addresses + self.others


def matches(certificate: Certificate, name: str) -> bool:
    """Whether the certificate is one for this host name or address (RFC 9525 6).

    Only subject alternative names count; ``*`` stands for exactly one leftmost label.
    """
    wanted = name.lower().removesuffix(".")
    if is_address(wanted):
        packed = _packed(wanted)
        return any(_packed(address) == packed for address in certificate.addresses)
    _, _, parent = wanted.partition(".")
    for pattern in (pattern.lower().removesuffix(".") for pattern in certificate.dns_names):
        if pattern == wanted or ("." in parent and pattern == f"*.{parent}"):
            return True
    return False


def parse(der: bytes) -> Certificate:
    """Read a certificate.

    Raises:
        ValueError: it is not the DER of an X.509 certificate.
    """
    fields = _children(_children(_only(der, _SEQUENCE))[0][1])
    if fields[0][0] == _VERSION:
        fields = fields[1:]
    try:
        issuer, subject = fields[2][1], fields[4][1]
    except IndexError as error:
        raise ValueError("certificate with too few fields") from error
    names = [name for tag, body in fields[5:] if tag == _EXTENSIONS for name in _alternatives(body)]
    return Certificate(
        _name(subject),
        _name(issuer),
        tuple(_text(body) for tag, body in names if tag == _DNS),
        tuple(_address(body) for tag, body in names if tag == _ADDRESS),
        tuple(_text(body) for tag, body in names if tag in {_URI, _EMAIL}),
    )


def _children(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("truncated DER")
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            if not 0 < count <= 4:
                raise ValueError("DER length out of bounds")
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + length > len(data):
            raise ValueError("truncated DER")
        found.append((tag, data[at : at + length]))
        at += length
    if not found:
        raise ValueError("empty DER")
    return found


def _only(data: bytes, tag: int) -> bytes:
    found = _children(data)
    if len(found) != 1 or found[0][0] != tag:
        raise ValueError("unexpected DER element")
    return found[0][1]


def _name(body: bytes) -> str:
    parts = []
    for tag, relative in _children(body) if body else []:
        if tag != _SET:
            raise ValueError("a name is not a sequence of sets")
        for _, attribute in _children(relative):
            (_, oid), (kind, value), *_ = [*_children(attribute), (0, b"")]
            text = value.decode("utf-16-be", "replace") if kind == _BMP_STRING else _text(value)
            parts.append(f"{_ATTRIBUTES.get(oid, 'OID.' + oid.hex())}={text}")
    return ", ".join(parts)


def _alternatives(extensions: bytes) -> list[tuple[int, bytes]]:
    for _, extension in _children(_only(extensions, _SEQUENCE)):
        parts = _children(extension)
        if parts[0] == (_OID, _SUBJECT_ALT_NAME) and parts[-1][0] == _OCTETS:
            return _children(_only(parts[-1][1], _SEQUENCE))
    return []


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _address(value: bytes) -> str:
    if len(value) not in {4, 16}:
        raise ValueError("an address of neither 4 nor 16 bytes")
    return socket.inet_ntop(socket.AF_INET if len(value) == 4 else socket.AF_INET6, value)


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
