"""Connections that the application still holds when their capture has ended.

A client's pool would use them again. Those of HTTP/1, which every client opens anew where a server
has closed them, end before the next capture begins: so each capture has its own calls. Others end
before a capture that has another contract; under the same one, a pool of a database's connections
goes on as it would beside a sidecar.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_egress.capture.stack import SOCKET

__all__ = ["Kept", "end_kept", "keep"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A connection that is still held.

    Attributes:
        descriptor: the application's.
        inode: what it is open to; another one if the descriptor has been used again.
        pod: the mesh that it leads through.
        renewable: whether its client opens another one when it finds it closed.
    """

    descriptor: int
    inode: int
    pod: object
    renewable: bool


_LOCK = threading.Lock()
_KEPT: list[Kept] = []


def keep(held: Iterable[Kept]) -> None:
    """Take note of connections."""
    with _LOCK:
        _KEPT.extend(held)


def end_kept(pod: object = None) -> None:
    """End those that are renewable and, where a pod is given, those of any other pod."""
    with _LOCK:
        ended = [it for it in _KEPT if it.renewable or pod not in {None, it.pod}]
        _KEPT[:] = [it for it in _KEPT if it not in ended]
    for kept in ended:
        # A descriptor of our own: the application's may be closed, and its number used again.
        with contextlib.suppress(OSError):
            own = os.dup(kept.descriptor)
            if os.fstat(own).st_ino != kept.inode:
                os.close(own)
                continue
            with SOCKET(fileno=own) as connection:
                connection.shutdown(socket.SHUT_RDWR)
