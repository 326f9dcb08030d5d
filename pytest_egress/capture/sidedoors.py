"""The other ways out of a process while something captures: datagrams, lookups, children."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from pytest_egress.capture.exclusions import looks_at_the_machine
from pytest_egress.capture.names import getaddrinfo, is_address, to_text
from pytest_egress.capture.stack import INET, STACK, is_place, takes

__all__ = ["OF_NAMES", "OF_SOCKETS", "check_datagram", "fork", "start_process"]


def check_datagram(sock: socket.socket, address: Any) -> None:
    """Refuse a datagram to the outside: a sidecar captures TCP alone, and none may get out."""
    if sock.family not in INET or sock.type == socket.SOCK_STREAM or not is_place(address):
        return
    taker = STACK.top()
    if taker is None:
        return
    host = to_text(address[0])
    if host and takes(taker, host):
        raise taker.refuse_udp(host, int(address[1]))


def _patched_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
    if rest:
        check_datagram(self, rest[-1])
    return int(STACK.before.sendto(self, data, *rest))


def _patched_sendmsg(self: socket.socket, buffers: Any, *rest: Any) -> int:
    if len(rest) > 2 and rest[2] is not None:
        check_datagram(self, rest[2])
    return int(STACK.before.sendmsg(self, buffers, *rest))


def _patched_getaddrinfo(
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002 - the signature of socket's own
    proto: int = 0,
    flags: int = 0,
) -> Any:
    taker = STACK.top()
    if taker is None or not host or flags & socket.AI_NUMERICHOST:
        return STACK.before.getaddrinfo(host, port, family, type, proto, flags)
    name = to_text(host)
    if is_address(name) or not name:
        return STACK.before.getaddrinfo(host, port, family, type, proto, flags)
    if taker.takes_name(name):
        return getaddrinfo(taker, name, port, family, type, proto, flags)
    found = STACK.before.getaddrinfo(host, port, family, type, proto, flags)
    taker.resolved(name, tuple(str(info[4][0]) for info in found))
    return found


def _patched_gethostbyname(host: Any) -> str:
    return str(_patched_gethostbyname_ex(host)[2][0])


def _patched_gethostbyname_ex(host: Any) -> tuple[str, list[str], list[str]]:
    taker, name = STACK.top(), to_text(host)
    if taker is None or not name or is_address(name) or not taker.takes_name(name):
        name, aliases, addresses = STACK.before.gethostbyname_ex(host)
        return name, aliases, addresses
    infos = getaddrinfo(taker, name, None, socket.AF_INET, socket.SOCK_STREAM, 0, 0)
    return name, [], [str(info[4][0]) for info in infos]


def fork() -> int:
    """``os.fork``, told to the capture."""
    taker = STACK.top()
    if taker is not None and not looks_at_the_machine():
        taker.child("os.fork()")
    return int(STACK.before.fork())


def start_process(self: Any, args: Any, *rest: Any, **options: Any) -> None:
    """``subprocess.Popen.__init__``, told to the capture."""
    taker = STACK.top()
    if taker is not None and not looks_at_the_machine():
        taker.child(args if isinstance(args, str) else " ".join(map(os.fsdecode, args)))
    STACK.before.popen(self, args, *rest, **options)


#: By the method's name in `socket.socket`.
OF_SOCKETS: Mapping[str, Callable[..., Any]] = {
    "sendto": _patched_sendto,
    "sendmsg": _patched_sendmsg,
}
#: By the function's name in `socket`.
OF_NAMES: Mapping[str, Callable[..., Any]] = {
    "getaddrinfo": _patched_getaddrinfo,
    "gethostbyname": _patched_gethostbyname,
    "gethostbyname_ex": _patched_gethostbyname_ex,
}
