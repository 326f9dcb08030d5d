"""Who captures at the moment, and what is known of the sockets that lead to the proxy."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

from pytest_egress.bystander import BYSTANDER
from pytest_egress.capture.exclusions import plumbing
from pytest_egress.capture.names import is_address
from pytest_egress.probe import DnsAnswer

__all__ = ["INET", "SOCKET", "STACK", "Diverted", "Opened", "Stack", "Taker", "is_place", "takes"]

#: Python's own class, whatever stands in its place in a test (pytest-socket's, for one).
SOCKET: type[socket.socket] = next(
    kind for kind in socket.socket.__mro__ if kind.__module__ == "socket"
)
INET = frozenset({socket.AF_INET, socket.AF_INET6})


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
class Diverted:
    """What a diverted socket answers about itself."""

    peer: tuple[Any, ...]
    name: tuple[Any, ...]
    options: dict[tuple[int, int], Any] = field(default_factory=dict)


class Stack:
    """Those that capture, the innermost last, and the sockets that they have diverted."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.takers: list[Taker] = []
        self.before: Any = SimpleNamespace()  # what stood there when the patches came
        self.known: dict[int, Diverted] = {}

    def top(self) -> Taker | None:
        """The innermost capture, where the caller is the test's and not a tool or the outside."""
        takers = self.takers
        return takers[-1] if takers and not BYSTANDER.get() and not plumbing() else None

    def find(self, sock: socket.socket) -> Diverted | None:
        """What is known of a socket if it has been diverted."""
        if not self.known or (descriptor := sock.fileno()) < 0:
            return None
        return self.known.get(os.fstat(descriptor).st_ino)


def takes(taker: Taker, host: str) -> bool:
    """Whether a host, by name or address, is the capture's."""
    return taker.takes_address(host) if is_address(host) else taker.takes_name(host)


def is_place(address: Any) -> bool:
    """Whether a socket address is a host and a port."""
    return isinstance(address, tuple) and len(address) >= 2


#: The process has one.
STACK = Stack()
