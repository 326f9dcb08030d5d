"""Name lookups of the captured process, answered by the pod's resolver."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import Any, Protocol

from pytest_egress.probe import DnsAnswer

__all__ = ["Lookups", "getaddrinfo", "is_address", "to_text"]

_TYPES = (
    (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    (socket.SOCK_RAW, 0),
)
Info = tuple[int, int, int, str, tuple[Any, ...]]


class Lookups(Protocol):
    """Where names are looked up."""

    def lookup(self, name: str) -> DnsAnswer:
        """The pod's answer for the A records of ``name``."""
        ...


def is_address(text: str) -> bool:
    """Whether it is an IP address; a scope (``fe80::1%eth0``) may follow."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def to_text(host: Any) -> str:
    """A host as ``getaddrinfo`` takes it, as ASCII text.

    Raises:
        UnicodeError: it cannot be written in ASCII (IDNA).
    """
    if isinstance(host, bytes | bytearray):
        return bytes(host).decode("ascii")
    text = str(host)
    return text if text.isascii() else text.encode("idna").decode("ascii")


def getaddrinfo(
    lookups: Lookups,
    host: str,
    port: Any,
    family: int,
    kind: int,
    proto: int,
    flags: int,
) -> list[Info]:
    """``socket.getaddrinfo`` for a name of the outside; the pod has IPv4 alone.

    Raises:
        socket.gaierror: as in the pod: EAI_NONAME where the name has no address, EAI_AGAIN where
            its name server fails or stays silent.
    """
    number = _port_number(port, kind, flags)
    answer = lookups.lookup(host)
    if not answer.addresses:
        if answer.rcode in {"NOERROR", "NXDOMAIN"}:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    if family == socket.AF_INET6 and not flags & socket.AI_V4MAPPED:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    wanted = [
        (each_kind, each_proto)
        for each_kind, each_proto in _TYPES
        if kind in {0, each_kind} and proto in {0, each_proto}
    ]
    if not wanted:
        raise socket.gaierror(socket.EAI_SOCKTYPE, "ai_socktype not supported")
    canonical = answer.cnames[-1] if answer.cnames else host
    found: list[Info] = []
    for address in answer.addresses:
        for each_kind, each_proto in wanted:
            name = canonical if flags & socket.AI_CANONNAME and not found else ""
            if family == socket.AF_INET6:
                place: tuple[Any, ...] = (f"::ffff:{address}", number, 0, 0)
                found.append((socket.AF_INET6, each_kind, each_proto, name, place))
            else:
                found.append((socket.AF_INET, each_kind, each_proto, name, (address, number)))
    return [
        (socket.AddressFamily(f), socket.SocketKind(k), p, name, place)
        for f, k, p, name, place in found
    ]


def _port_number(port: Any, kind: int, flags: int) -> int:
    if port is None:
        return 0
    if isinstance(port, bytes | bytearray):
        port = bytes(port).decode("ascii")
    if isinstance(port, str):
        if port.isdecimal():
            return _wrapped(int(port))
        if not flags & socket.AI_NUMERICSERV:
            with contextlib.suppress(OSError):
                return socket.getservbyname(port, "udp" if kind == socket.SOCK_DGRAM else "tcp")
        raise socket.gaierror(socket.EAI_SERVICE, "Servname not supported for ai_socktype")
    return _wrapped(int(port))


def _wrapped(port: int) -> int:
    """The port as the C library makes one of a number."""
    if port < 0:
        raise socket.gaierror(socket.EAI_SERVICE, "Servname not supported for ai_socktype")
    return port % 65536
