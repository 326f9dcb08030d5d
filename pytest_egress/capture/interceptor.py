"""The patches that are there while something captures, and who takes what comes by them.

What is not captured is passed on to the functions that stood there before.
"""

from __future__ import annotations

import os
import socket
import subprocess
from types import SimpleNamespace
from typing import Any

from pytest_egress.capture import connections, sidedoors
from pytest_egress.capture.adapters import Adapters
from pytest_egress.capture.connections import connect_stream
from pytest_egress.capture.patches import Patch, Patches
from pytest_egress.capture.stack import SOCKET, STACK, Taker, takes

__all__ = ["capturing", "start", "stop"]

_OF_SOCKETS = {**connections.PATCHED, **sidedoors.OF_SOCKETS}


class _Host:
    """What the adapters of native libraries ask of whoever captures."""

    def active(self) -> bool:
        """Whether something captures what the caller does."""
        return STACK.top() is not None

    def diverted(self, sock: socket.socket) -> bool:
        """Whether a socket leads to the proxy."""
        return STACK.find(sock) is not None

    def takes(self, host: str) -> bool:
        """Whether a host, by name or address, is the capture's."""
        taker = STACK.top()
        return taker is not None and takes(taker, host)

    def relay(self, host: str, port: int) -> int:
        """The port on 127.0.0.1 that stands for a host and port."""
        return STACK.takers[-1].relay(host, port)

    def connect(self, sock: socket.socket, address: Any) -> bool:
        """Divert a TCP socket; False if the address is none of the capture's."""
        return connect_stream(sock, address)


def start(taker: Taker) -> None:
    """Have ``taker`` capture, within whatever captures already."""
    with STACK.lock:
        if not STACK.takers:
            STACK.before = _standing()
            _PATCHES.install()
            _ADAPTERS.install()
        STACK.takers.append(taker)


def stop(taker: Taker) -> None:
    """Have ``taker`` capture no more; the last one to stop takes the patches away."""
    with STACK.lock:
        if taker in STACK.takers:
            STACK.takers.remove(taker)
        if not STACK.takers:
            _ADAPTERS.remove()
            _PATCHES.remove()
            STACK.known.clear()


def capturing() -> bool:
    """Whether anything captures."""
    return bool(STACK.takers)


def _standing() -> SimpleNamespace:
    """The functions as they are now: another plugin may have replaced some of them."""
    return SimpleNamespace(
        **{name: getattr(SOCKET, name) for name in _OF_SOCKETS},
        **{name: getattr(socket, name) for name in sidedoors.OF_NAMES},
        fork=os.fork,
        popen=subprocess.Popen.__init__,
    )


_ADAPTERS = Adapters(_Host())
_PATCHES = Patches(
    [
        *(Patch(SOCKET, name, function) for name, function in _OF_SOCKETS.items()),
        *(Patch(socket, name, function) for name, function in sidedoors.OF_NAMES.items()),
        Patch(os, "fork", sidedoors.fork),
        Patch(subprocess.Popen, "__init__", sidedoors.start_process),
    ]
)
