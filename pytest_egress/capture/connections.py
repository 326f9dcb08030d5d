"""TCP connections while something captures, and what their sockets answer about themselves.

``connect`` puts a connection to the proxy in the place of the caller's own, under the same file
descriptor, so that every library that uses Python's sockets goes on as it is.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from operator import index
from typing import Any

from pytest_egress.capture.names import getaddrinfo, is_address, to_text
from pytest_egress.capture.sidedoors import check_datagram
from pytest_egress.capture.stack import INET, STACK, Diverted, Taker, is_place

__all__ = ["PATCHED", "connect_stream"]

_MOST_PORT = 65535
_PROTOCOL_LEVELS = {socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6}


def connect_stream(sock: socket.socket, address: Any) -> bool:
    """Divert a TCP socket to the proxy; False if the address is none of the capture's.

    Raises:
        OSError: as behind a sidecar: the name does not resolve, the proxy is gone.
    """
    taker = STACK.top()
    if taker is None or not is_place(address):
        return False
    host, port = to_text(address[0]), index(address[1])
    if not 0 <= port <= _MOST_PORT:
        raise OverflowError("connect(): port must be 0-65535.")
    if not is_address(host):
        if not host or not taker.takes_name(host):
            return False
        infos = getaddrinfo(taker, host, port, sock.family, socket.SOCK_STREAM, 0, 0)
        host = str(infos[0][4][0])
    host = host.removeprefix("::ffff:") if "." in host else host
    if not taker.takes_address(host):
        return False
    _put_in_place(taker, sock, host, port, address)
    return True


def _put_in_place(taker: Taker, sock: socket.socket, host: str, port: int, address: Any) -> None:
    descriptor = sock.fileno()
    if descriptor < 0:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    if STACK.find(sock) is not None:
        raise OSError(errno.EISCONN, os.strerror(errno.EISCONN))
    if port == 0:
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    timeout = sock.gettimeout()
    opened = taker.open(host, port, timeout)
    try:
        inode = os.fstat(opened.fileno()).st_ino
        os.set_blocking(opened.fileno(), timeout is None)
        waiting = _waiting_epolls(descriptor) if timeout == 0 else []
        os.dup2(opened.fileno(), descriptor, inheritable=os.get_inheritable(descriptor))
    finally:
        opened.close()
    for wait_again in waiting:
        wait_again()
    source, _, number = opened.source.rpartition(":")
    six = sock.family == socket.AF_INET6
    shown = host if not six or ":" in host else f"::ffff:{host}"
    STACK.known[inode] = Diverted(
        (shown, port, *address[2:], *((0, 0) if six and len(address) == 2 else ())),
        (f"::ffff:{source}", int(number), 0, 0) if six else (source, int(number)),
    )
    taker.opened(opened, descriptor, inode)


def _waiting_epolls(descriptor: int) -> list[Callable[[], None]]:
    """Registrations of a descriptor in epoll instances: they end with what it was opened as.

    A program may register a socket before it connects it. Linux tells by ``/proc``; where there is
    none, there is no epoll.
    """
    import select

    found: list[Callable[[], None]] = []
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - hot
    except OSError:
        return found
    for number in numbers:
        try:
            if os.readlink(f"/proc/self/fd/{number}") != "anon_inode:[eventpoll]":  # noqa: PTH115
                continue
            with open(f"/proc/self/fdinfo/{number}", encoding="ascii") as info:  # noqa: PTH123
                rows = [line.split() for line in info if line.startswith("tfd:")]
        except OSError:
            continue  # closed meanwhile
        for row in rows:
            if int(row[1]) == descriptor:
                poll = select.epoll.fromfd(os.dup(number))
                found.append(partial(_register, poll, descriptor, int(row[3], 16)))
    return found


def _register(poll: Any, descriptor: int, events: int) -> None:
    with poll:
        poll.register(descriptor, events)


def _patched_connect(self: socket.socket, address: Any, /) -> None:
    if self.family in INET:
        if self.type == socket.SOCK_STREAM:
            if connect_stream(self, address):
                return
        else:
            check_datagram(self, address)
    STACK.before.connect(self, address)


def _patched_connect_ex(self: socket.socket, address: Any, /) -> int:
    if self.family in INET:
        try:
            if self.type == socket.SOCK_STREAM:
                if connect_stream(self, address):
                    return 0
            else:
                check_datagram(self, address)
        except socket.gaierror:
            raise
        except OSError as error:
            return error.errno or errno.EIO
    return int(STACK.before.connect_ex(self, address))


def _patched_getpeername(self: socket.socket, /) -> Any:
    diverted = STACK.find(self)
    return STACK.before.getpeername(self) if diverted is None else diverted.peer


def _patched_getsockname(self: socket.socket, /) -> Any:
    diverted = STACK.find(self)
    return STACK.before.getsockname(self) if diverted is None else diverted.name


def _patched_setsockopt(self: socket.socket, level: int, name: int, *value: Any) -> None:
    # What stands in the socket's place is of another family and knows no TCP or IP option.
    diverted = STACK.find(self) if level in _PROTOCOL_LEVELS else None
    if diverted is None:
        STACK.before.setsockopt(self, level, name, *value)
    else:
        diverted.options[level, name] = value[0]


def _patched_getsockopt(self: socket.socket, level: int, name: int, *size: int) -> Any:
    diverted = STACK.find(self) if level in _PROTOCOL_LEVELS else None
    if diverted is None:
        return STACK.before.getsockopt(self, level, name, *size)
    value = diverted.options.get((level, name), 0)
    if not size or not size[0]:
        return value if isinstance(value, int) else int.from_bytes(value[:4], sys.byteorder)
    raw = value.to_bytes(4, sys.byteorder) if isinstance(value, int) else bytes(value)
    return raw.ljust(size[0], b"\0")[: size[0]]


#: By the method's name in `socket.socket`.
PATCHED: Mapping[str, Callable[..., Any]] = {
    "connect": _patched_connect,
    "connect_ex": _patched_connect_ex,
    "getpeername": _patched_getpeername,
    "getsockname": _patched_getsockname,
    "setsockopt": _patched_setsockopt,
    "getsockopt": _patched_getsockopt,
}
