"""One listening socket, and how it listens, refuses or hangs."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import sys
from typing import Literal

from pytest_egress.errors import BackendError
from pytest_egress.upstream.pool import Accepted, Acceptor, dial

__all__ = ["Door", "State", "bind"]

State = Literal["listen", "refuse", "hang"]

_BACKLOG = 512


def bind(ip: str, port: int) -> socket.socket:
    """Return a TCP socket that is bound to ``ip`` and ``port`` (0: any), but does not listen.

    Raises:
        BackendError: the address cannot be bound, or no file descriptor is left.
    """
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise _failure(ip, port, error) from error
    try:
        # Connections that have ended keep their port for a minute (TIME_WAIT).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ip, port))
    except OSError as error:
        sock.close()
        raise _failure(ip, port, error) from error
    return sock


def _failure(ip: str, port: int, error: OSError) -> BackendError:
    step = "stop the program that holds this port"
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        step = "raise the limit of open files (ulimit -n)"
    return BackendError(
        f"the simulated outside cannot listen on {ip}:{port}", str(error), next_step=step
    )


class Door:
    """A loopback address and port in one of three states.

    - ``listen``: connections are accepted.
    - ``refuse``: a socket is bound, which keeps the port ours, but does not listen: the kernel
      answers a SYN with RST, so connect gives ECONNREFUSED.
    - ``hang``: the accept queue is full. Linux then drops each SYN, and macOS does the same, so
      connect goes on until its own timeout. A client that is still trying when the door listens
      again gets in with its next SYN.

    Args:
        acceptor: waits on the socket while it listens.
        sock: bound, as `bind` returns it.
        accepted: gets each connection.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        sock: socket.socket,
        accepted: Accepted,
    ) -> None:
        self._acceptor = acceptor
        self._accepted = accepted
        self._sock = sock
        self._fillers: list[socket.socket] = []
        self.state: State = "refuse"
        self.ip: str
        self.number: int
        self.ip, self.number = sock.getsockname()

    def become(self, state: State) -> None:
        """Change into ``state``; nothing happens when that is so already."""
        if state == self.state:
            return
        if self.state != "refuse":
            # A socket cannot stop listening: it is closed, and another one keeps the port.
            self.close()
            self._sock = bind(self.ip, self.number)
            self.state = "refuse"
        if state == "listen":
            self._listen(_BACKLOG)
            self._acceptor.add(self._sock, self._accepted)
        elif state == "hang":
            self._listen(0)
            self._fill()
        self.state = state

    def close(self) -> None:
        """Close every socket."""
        if self.state == "listen" and self._sock.fileno() >= 0:
            self._acceptor.remove(self._sock)
        self._sock.close()
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()

    def _listen(self, backlog: int) -> None:
        try:
            self._sock.listen(backlog)
        except OSError as error:
            raise _failure(self.ip, self.number, error) from error

    def _fill(self) -> None:
        """Fill the accept queue with connections of our own."""
        # Linux takes one connection more than the backlog says. Others round it up: there, it is
        # full when a connection does not come through within 50 ms.
        while len(self._fillers) < (1 if sys.platform == "linux" else 64):
            filler = socket.socket()
            self._fillers.append(filler)
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                dial(filler, (self.ip, self.number))
            # poll(): select() cannot watch the files of a process that has many open.
            poll = select.poll()
            poll.register(filler, select.POLLOUT)
            if not poll.poll(1000 if sys.platform == "linux" else 50):
                break
