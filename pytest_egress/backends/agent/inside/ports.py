"""Source ports: each connection of the agent has one that none before it had, as long as possible.

Where the kernel redirects to the proxy, two connections from one port to different addresses are
one and the same to connection tracking, for two minutes: it would give the later one another port,
and the proxy's record could not be tied to it. The kernel's own choice repeats ports much earlier.
"""

from __future__ import annotations

import errno
import itertools
import random
import socket
import threading
from pathlib import Path

__all__ = ["SourcePorts", "kernels_ports"]

_FIRST, _LAST = 10240, 65535
_PROXY = range(15000, 15100)  # Istio's own
_EPHEMERAL = (32768, 60999)  # Linux's default
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class SourcePorts:
    """Binds sockets to ports in turn, those apart that the kernel gives to others."""

    def __init__(self) -> None:
        ports = _candidates()
        start = random.randrange(len(ports)) if ports else 0  # noqa: S311  another than last time
        self._count = len(ports)
        self._ports = itertools.cycle([*ports[start:], *ports[:start]])
        self._lock = threading.Lock()

    def bind(self, sock: socket.socket) -> None:
        """Bind a socket to the next port that is free; where none is, the kernel chooses."""
        for _ in range(self._count):
            with self._lock:
                port = next(self._ports)
            try:
                sock.bind(("", port))
            except OSError as error:
                if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                    raise
            else:
                return


def _candidates() -> list[int]:
    low, high = kernels_ports()
    found = (port for port in range(_FIRST, _LAST + 1) if not low <= port <= high)
    return [port for port in found if port not in _PROXY]


def kernels_ports() -> tuple[int, int]:
    """The ports that the kernel chooses from."""
    try:
        low, high = map(int, _RANGE.read_text().split())
    except (OSError, ValueError):
        return _EPHEMERAL
    return low, high
