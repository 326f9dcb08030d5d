"""Netlink messages: bringing loopback up, making every address local, redirecting connections.

What ``ip`` and ``nft`` would do, so that neither has to be installed. Runs in the new namespace;
standard library only. Constants are those of ``linux/rtnetlink.h`` and
``linux/netfilter/nf_tables.h``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

__all__ = [
    "NatRule",
    "install",
    "loopback_up",
    "make_every_address_local",
    "redirect",
    "redirects",
]

_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_NESTED = 0x8000
_ERROR = 2

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_RTM_NEWROUTE = 24
_TABLE_LOCAL, _PROTOCOL_BOOT, _SCOPE_HOST, _TYPE_LOCAL, _RTA_OIF = 255, 3, 254, 2, 4

_BATCH_BEGIN, _BATCH_END, _NFTABLES = 0x10, 0x11, 10
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE, _DELETE_RULE = 0, 3, 6, 8
_IPV4, _LOCAL_OUT, _PRIORITY_NAT = 2, 3, -100
_VERDICT_REGISTER, _REGISTER = 0, 1
_RETURN = -5
_META_SKUID, _META_L4PROTO = 10, 16
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_LOOPBACK = ("127.0.0.0", 8)
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_DESTINATION = 16  # offset of the destination address in an IPv4 header
_TABLE, _CHAIN = "pytest_egress", "output"


def loopback_up() -> None:
    """Bring ``lo`` up.

    Raises:
        OSError: the kernel refuses.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags: int = struct.unpack_from("H", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def make_every_address_local() -> None:
    """``ip route add local 0.0.0.0/0 dev lo``: whatever is dialled arrives here.

    Raises:
        OSError: the kernel refuses.
    """
    route = struct.pack(
        "BBBBBBBBI",
        socket.AF_INET,
        0,
        0,
        0,
        _TABLE_LOCAL,
        _PROTOCOL_BOOT,
        _SCOPE_HOST,
        _TYPE_LOCAL,
        0,
    )
    route += _attribute(_RTA_OIF, struct.pack("I", socket.if_nametoindex("lo")))
    _send(_NETLINK_ROUTE, [_message(_RTM_NEWROUTE, _REQUEST | _ACK | _CREATE, route, 1)], {1})


def redirect(tcp_port: int, dns_port: int) -> None:
    """Redirect what the namespace's programs open: names to ``dns_port``, TCP to ``tcp_port``.

    Loopback stays as it is, names asked there apart. Other UDP meets a closed port.

    Raises:
        OSError: the kernel refuses, or has no nf_tables.
    """
    install(redirects(tcp_port, dns_port))


def redirects(
    tcp_port: int,
    dns_port: int | None,
    *,
    proxy: int | None = None,
    outside_port: int | None = None,
) -> list[NatRule]:
    """The rules of `redirect`, perhaps for a namespace that its proxy is in as well.

    Args:
        tcp_port: where the proxy takes connections.
        dns_port: None: names are left alone.
        proxy: the number of the user that the proxy runs as, whose own connections are not
            redirected to it.
        outside_port: where the proxy's TCP connections go; None: wherever it sends them.
    """
    rules = []
    if proxy is not None:
        if outside_port is not None:
            rules.append(NatRule(outside_port, "tcp", 0, *_LOOPBACK, user=proxy, beside=True))
        rules.append(NatRule(0, user=proxy))
    if dns_port is not None:
        rules += [NatRule(dns_port, protocol, 53) for protocol in ("udp", "tcp")]
    return [*rules, NatRule(0, "", 0, *_LOOPBACK), NatRule(tcp_port, "tcp")]


class NatRule(NamedTuple):
    """A rule for what the namespace's programs send; what it does not name matches everything.

    Attributes:
        to: the local port it redirects to; 0 lets it go as it is.
        protocol: ``tcp``, ``udp`` or empty.
        port: of the destination; 0: any.
        network: of the destination, with its prefix's ``bits``; empty: any.
        user: of the program; -1: any.
        beside: the network is what the destination must not be in.
    """

    to: int
    protocol: str = ""
    port: int = 0
    network: str = ""
    bits: int = 0
    user: int = -1
    beside: bool = False


def install(rules: Iterable[NatRule]) -> None:
    """Have the kernel try these rules, in this order, for every connection that is opened.

    They take the place of those that were there, at once.

    Raises:
        OSError: the kernel refuses, or has no nf_tables.
    """
    hook = _nested(4, _be32(1, _LOCAL_OUT) + _be32(2, _PRIORITY_NAT))
    chain = _text(1, _TABLE) + _text(3, _CHAIN) + hook + _text(7, "nat")
    bodies = [(_NEW_TABLE, _CREATE, _text(1, _TABLE)), (_NEW_CHAIN, _CREATE, chain)]
    bodies.append((_DELETE_RULE, 0, _text(1, _TABLE) + _text(2, _CHAIN)))
    bodies += [(_NEW_RULE, _CREATE | _APPEND, _rule(_expressions(rule))) for rule in rules]
    batch = [_message(_BATCH_BEGIN, _REQUEST, _family(0, _NFTABLES), 0)]
    for number, (kind, extra, body) in enumerate(bodies, 1):
        flags = _REQUEST | _ACK | extra
        batch.append(_message(_NFTABLES << 8 | kind, flags, _family(_IPV4, 0) + body, number))
    batch.append(_message(_BATCH_END, _REQUEST, _family(0, _NFTABLES), 0))
    _send(_NETLINK_NETFILTER, batch, set(range(1, len(bodies) + 1)))


def _expressions(rule: NatRule) -> list[bytes]:
    found: list[bytes] = []
    if rule.user >= 0:
        found += [_meta(_META_SKUID), _equals(struct.pack("I", rule.user))]
    if rule.protocol:
        found += [_meta(_META_L4PROTO), _equals(bytes([_PROTOCOLS[rule.protocol]]))]
    if rule.network:
        found += _destination_in(rule.network, rule.bits, beside=rule.beside)
    if rule.port:
        found += _port_is(rule.port)
    return found + (_to(rule.to) if rule.to else [_verdict(_RETURN)])


def _send(protocol: int, messages: list[bytes], awaited: set[int]) -> None:
    """Send messages in one go and wait for each acknowledgement."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as kernel:
        kernel.settimeout(5)
        kernel.bind((0, 0))
        kernel.send(b"".join(messages))
        while awaited:
            data = kernel.recv(1 << 16)
            at = 0
            while at < len(data):
                length, kind, _, number, _ = struct.unpack_from("IHHII", data, at)
                if kind == _ERROR:
                    code: int = -struct.unpack_from("i", data, at + 16)[0]
                    if code not in {0, errno.EEXIST}:
                        raise OSError(code, os.strerror(code))
                    awaited.discard(number)
                at += (length + 3) & ~3


def _message(kind: int, flags: int, body: bytes, number: int) -> bytes:
    return struct.pack("IHHII", 16 + len(body), kind, flags, number, 0) + body


def _family(family: int, resource: int) -> bytes:
    return struct.pack(">BBH", family, 0, resource)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NESTED, value)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _be32(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">i", value))


def _rule(expressions: list[bytes]) -> bytes:
    return _text(1, _TABLE) + _text(2, _CHAIN) + _nested(4, b"".join(expressions))


def _expression(name: str, body: bytes) -> bytes:
    return _nested(1, _text(1, name) + _nested(2, body))


def _equals(value: bytes, *, other: bool = False) -> bytes:
    data = _nested(3, _attribute(1, value))
    return _expression("cmp", _be32(1, _REGISTER) + _be32(2, int(other)) + data)


def _meta(key: int) -> bytes:
    return _expression("meta", _be32(1, _REGISTER) + _be32(2, key))


def _payload(base: int, offset: int, length: int) -> bytes:
    place = _be32(2, base) + _be32(3, offset) + _be32(4, length)
    return _expression("payload", _be32(1, _REGISTER) + place)


def _port_is(port: int) -> list[bytes]:
    return [_payload(_TRANSPORT_HEADER, 2, 2), _equals(struct.pack(">H", port))]


def _destination_in(network: str, bits: int, *, beside: bool) -> list[bytes]:
    mask = struct.pack(">I", (1 << 32) - (1 << (32 - bits)))
    nothing = _nested(5, _attribute(1, b"\0" * 4))
    masked = _be32(1, _REGISTER) + _be32(2, _REGISTER) + _be32(3, 4)
    return [
        _payload(_NETWORK_HEADER, _DESTINATION, 4),
        _expression("bitwise", masked + _nested(4, _attribute(1, mask)) + nothing),
        _equals(socket.inet_aton(network), other=beside),
    ]


def _to(port: int) -> list[bytes]:
    data = _nested(2, _attribute(1, struct.pack(">H", port)))
    loaded = _expression("immediate", _be32(1, _REGISTER) + data)
    return [loaded, _expression("redir", _be32(1, _REGISTER))]


def _verdict(code: int) -> bytes:
    verdict = _nested(2, _nested(2, _be32(1, code)))
    return _expression("immediate", _be32(1, _VERDICT_REGISTER) + verdict)
