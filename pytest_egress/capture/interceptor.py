"""The process's own sockets while something captures: what is patched, and whom it asks.

``connect`` puts a connection to the proxy in the place of the caller's own, under the same file
descriptor, so that every library that uses Python's sockets goes on as it is. What is not
captured is passed on to the functions that stood there before.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol

from pytest_egress.capture.adapters import Adapters
from pytest_egress.capture.exclusions import plumbing
from pytest_egress.capture.names import Info, getaddrinfo, is_address, to_text
from pytest_egress.capture.patches import Patch, Patches
from pytest_egress.probe import DnsAnswer

__all__ = ["Interceptor", "Taker", "capturing", "connect_stream", "start", "stop"]

_INET = {socket.AF_INET, socket.AF_INET6}
_PROTOCOL_LEVELS = {socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6}


class Opened(Protocol):
    """A connection to the proxy; its ``source`` is what the outside sees of the client."""

    source: str

    def fileno(self) -> int:
        """The file descriptor."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Taker(Protocol):
    """What takes connections and lookups in: a capture."""

    def takes_name(self, name: str) -> bool:
        """Whether a host name is looked up in the pod."""
        ...

    def takes_address(self, address: str) -> bool:
        """Whether connections to an IP address are captured."""
        ...

    def lookup(self, name: str) -> DnsAnswer:
        """Look a name up in the pod."""
        ...

    def resolved(self, name: str, addresses: tuple[str, ...]) -> None:
        """Take note of an excluded name's own addresses: they are excluded, too."""
        ...

    def open(self, address: str, port: int, timeout: float | None) -> Opened:
        """Open a connection through the proxy."""
        ...

    def opened(self, opened: Opened, descriptor: int, inode: int) -> None:
        """Take note of where the application now holds a connection."""
        ...

    def refuse_udp(self, address: str, port: int) -> OSError:
        """Record a datagram that was to be sent, and say why it is not."""
        ...

    def relay(self, host: str, port: int) -> int:
        """A port on 127.0.0.1 that stands for a place outside, for native code."""
        ...

    def child(self, what: str) -> None:
        """Take note of a process that is about to be started."""
        ...


@dataclass(slots=True)
class _Diverted:
    """What a diverted socket answers about itself."""

    peer: tuple[Any, ...]
    name: tuple[Any, ...]
    options: dict[tuple[int, int], Any] = field(default_factory=dict)


class Interceptor:
    """The stack of those that capture, and the patches that are there while there are any."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.takers: list[Taker] = []
        self.before: Any = SimpleNamespace()  # what stood there when the patches came
        self.patches = Patches(_patches())
        self.adapters = Adapters(self)
        self.known: dict[int, _Diverted] = {}

    def top(self) -> Taker | None:
        """The innermost capture, where the caller is not a tool's own plumbing."""
        takers = self.takers
        return takers[-1] if takers and not plumbing() else None

    def active(self) -> bool:
        """Whether something captures what the caller does."""
        return self.top() is not None

    def diverted(self, sock: socket.socket) -> bool:
        """Whether a socket leads to the proxy."""
        return self.find(sock) is not None

    def takes(self, host: str) -> bool:
        """Whether a host, by name or address, is the capture's."""
        taker = self.top()
        return taker is not None and _takes(taker, host)

    def relay(self, host: str, port: int) -> int:
        """The port on 127.0.0.1 that stands for a host and port."""
        return self.takers[-1].relay(host, port)

    def connect(self, sock: socket.socket, address: Any) -> bool:
        """Divert a TCP socket; False if the address is none of the capture's."""
        return connect_stream(sock, address)

    def find(self, sock: socket.socket) -> _Diverted | None:
        """What is known of a socket if it has been diverted."""
        if not self.known or (descriptor := sock.fileno()) < 0:
            return None
        return self.known.get(os.fstat(descriptor).st_ino)


def start(taker: Taker) -> None:
    """Have ``taker`` capture, within whatever captures already."""
    with _THE.lock:
        if not _THE.takers:
            _THE.before = _standing()
            _THE.patches.install()
            _THE.adapters.install()
        _THE.takers.append(taker)


def stop(taker: Taker) -> None:
    """Have ``taker`` capture no more; the last one to stop takes the patches away."""
    with _THE.lock:
        if taker in _THE.takers:
            _THE.takers.remove(taker)
        if not _THE.takers:
            _THE.adapters.remove()
            _THE.patches.remove()
            _THE.known.clear()


def capturing() -> bool:
    """Whether anything captures."""
    return bool(_THE.takers)


# -- connections --------------------------------------------------------------------------------


def connect_stream(sock: socket.socket, address: Any) -> bool:
    """Divert a TCP socket to the proxy; False if the address is none of the capture's.

    Raises:
        OSError: as behind a sidecar: the name does not resolve, the proxy is gone.
    """
    taker = _THE.top()
    if taker is None or not _is_place(address):
        return False
    host, port = to_text(address[0]), int(address[1])
    if not is_address(host):
        if not host or not taker.takes_name(host):
            return False
        infos = _resolve(taker, host, port, sock.family, socket.SOCK_STREAM)
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
    if _THE.find(sock) is not None:
        raise OSError(errno.EISCONN, os.strerror(errno.EISCONN))
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
    _THE.known[inode] = _Diverted(
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


def _takes(taker: Taker, host: str) -> bool:
    return taker.takes_address(host) if is_address(host) else taker.takes_name(host)


def _is_place(address: Any) -> bool:
    return isinstance(address, tuple) and len(address) >= 2


def _patched_connect(self: socket.socket, address: Any, /) -> None:
    if self.family in _INET:
        if self.type == socket.SOCK_STREAM:
            if connect_stream(self, address):
                return
        else:
            _check_datagram(self, address)
    _THE.before.connect(self, address)


def _patched_connect_ex(self: socket.socket, address: Any, /) -> int:
    if self.family in _INET:
        try:
            if self.type == socket.SOCK_STREAM:
                if connect_stream(self, address):
                    return 0
            else:
                _check_datagram(self, address)
        except socket.gaierror:
            raise
        except OSError as error:
            return error.errno or errno.EIO
    return int(_THE.before.connect_ex(self, address))


def _patched_getpeername(self: socket.socket, /) -> Any:
    diverted = _THE.find(self)
    return _THE.before.getpeername(self) if diverted is None else diverted.peer


def _patched_getsockname(self: socket.socket, /) -> Any:
    diverted = _THE.find(self)
    return _THE.before.getsockname(self) if diverted is None else diverted.name


def _patched_setsockopt(self: socket.socket, level: int, name: int, *value: Any) -> None:
    # What stands in the socket's place is of another family and knows no TCP or IP option.
    diverted = _THE.find(self) if level in _PROTOCOL_LEVELS else None
    if diverted is None:
        _THE.before.setsockopt(self, level, name, *value)
    else:
        diverted.options[level, name] = value[0]


def _patched_getsockopt(self: socket.socket, level: int, name: int, *size: int) -> Any:
    diverted = _THE.find(self) if level in _PROTOCOL_LEVELS else None
    if diverted is None:
        return _THE.before.getsockopt(self, level, name, *size)
    value = diverted.options.get((level, name), 0)
    if not size or not size[0]:
        return value if isinstance(value, int) else int.from_bytes(value[:4], sys.byteorder)
    raw = value.to_bytes(4, sys.byteorder) if isinstance(value, int) else bytes(value)
    return raw.ljust(size[0], b"\0")[: size[0]]


# -- datagrams ----------------------------------------------------------------------------------


def _check_datagram(sock: socket.socket, address: Any) -> None:
    """Refuse a datagram to the outside: a sidecar captures TCP alone, and none may get out."""
    if sock.family not in _INET or sock.type == socket.SOCK_STREAM or not _is_place(address):
        return
    taker = _THE.top()
    if taker is None:
        return
    host = to_text(address[0])
    if host and _takes(taker, host):
        raise taker.refuse_udp(host, int(address[1]))


def _patched_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
    if rest:
        _check_datagram(self, rest[-1])
    return int(_THE.before.sendto(self, data, *rest))


def _patched_sendmsg(self: socket.socket, buffers: Any, *rest: Any) -> int:
    if len(rest) > 2 and rest[2] is not None:
        _check_datagram(self, rest[2])
    return int(_THE.before.sendmsg(self, buffers, *rest))


# -- names --------------------------------------------------------------------------------------


def _resolve(taker: Taker, host: str, port: Any, family: int, kind: int) -> list[Info]:
    return getaddrinfo(taker, host, port, family, kind, 0, 0)


def _patched_getaddrinfo(
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002 - the signature of socket's own
    proto: int = 0,
    flags: int = 0,
) -> Any:
    taker = _THE.top()
    if taker is None or not host or flags & socket.AI_NUMERICHOST:
        return _THE.before.getaddrinfo(host, port, family, type, proto, flags)
    name = to_text(host)
    if is_address(name) or not name:
        return _THE.before.getaddrinfo(host, port, family, type, proto, flags)
    if taker.takes_name(name):
        return getaddrinfo(taker, name, port, family, type, proto, flags)
    found = _THE.before.getaddrinfo(host, port, family, type, proto, flags)
    taker.resolved(name, tuple(str(info[4][0]) for info in found))
    return found


def _patched_gethostbyname(host: Any) -> str:
    return str(_patched_gethostbyname_ex(host)[2][0])


def _patched_gethostbyname_ex(host: Any) -> tuple[str, list[str], list[str]]:
    taker, name = _THE.top(), to_text(host)
    if taker is None or not name or is_address(name) or not taker.takes_name(name):
        name, aliases, addresses = _THE.before.gethostbyname_ex(host)
        return name, aliases, addresses
    infos = _resolve(taker, name, None, socket.AF_INET, socket.SOCK_STREAM)
    return name, [], [str(info[4][0]) for info in infos]


# -- processes ----------------------------------------------------------------------------------


def _patched_fork() -> int:
    taker = _THE.top()
    if taker is not None:
        taker.child("os.fork()")
    return int(_THE.before.fork())


def _patched_popen(self: Any, args: Any, *rest: Any, **options: Any) -> None:
    taker = _THE.top()
    if taker is not None:
        taker.child(args if isinstance(args, str) else " ".join(map(os.fsdecode, args)))
    _THE.before.popen(self, args, *rest, **options)


_OF_SOCKETS: dict[str, Any] = {
    "connect": _patched_connect,
    "connect_ex": _patched_connect_ex,
    "getpeername": _patched_getpeername,
    "getsockname": _patched_getsockname,
    "setsockopt": _patched_setsockopt,
    "getsockopt": _patched_getsockopt,
    "sendto": _patched_sendto,
    "sendmsg": _patched_sendmsg,
}
_OF_NAMES: dict[str, Any] = {
    "getaddrinfo": _patched_getaddrinfo,
    "gethostbyname": _patched_gethostbyname,
    "gethostbyname_ex": _patched_gethostbyname_ex,
}


def _patches() -> list[Patch]:
    return [
        *(Patch(socket.socket, name, function) for name, function in _OF_SOCKETS.items()),
        *(Patch(socket, name, function) for name, function in _OF_NAMES.items()),
        Patch(os, "fork", _patched_fork),
        Patch(subprocess.Popen, "__init__", _patched_popen),
    ]


def _standing() -> SimpleNamespace:
    """The functions as they are now: another plugin may have replaced some of them."""
    return SimpleNamespace(
        **{name: getattr(socket.socket, name) for name in _OF_SOCKETS},
        **{name: getattr(socket, name) for name in _OF_NAMES},
        fork=os.fork,
        popen=subprocess.Popen.__init__,
    )


_THE = Interceptor()
