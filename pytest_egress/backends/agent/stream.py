"""Duplex byte streams to a command in the pod: what a backend opens for its agent."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Sequence
from typing import Protocol

__all__ = ["ProcessStream", "SocketStream", "Stream"]

_CHUNK = 65536
_END_TIMEOUT = 5.0  # seconds that a program may take to end once its input has


class Stream(Protocol):
    """The standard input and output of a command in the pod.

    One thread reads, any thread writes, one at a time. Whatever goes wrong is an `OSError`.
    """

    def read(self) -> bytes:
        """Return the bytes that come next, empty at the end."""
        ...

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        ...

    def close(self) -> None:
        """End the stream, also for a thread that waits in `read`. Twice is once."""
        ...

    def release(self) -> None:
        """Free what `close` had to leave to the thread that reads, which has ended. Once."""
        ...

    def complaint(self) -> str:
        """What the command has said on its standard error, as far as it is known."""
        ...


class ProcessStream:
    """The stream of a local program, such as ``kubectl exec -i`` or the agent itself.

    Args:
        args: program and arguments.
        env: its environment; None: this process's.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, args: Sequence[str], env: dict[str, str] | None = None) -> None:
        self._complaints, theirs = os.pipe()
        os.set_blocking(self._complaints, False)
        try:
            self._process = subprocess.Popen(  # noqa: S603  the caller's own command
                list(args),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=theirs,
                bufsize=0,
                env=env,
            )
        except OSError:
            os.close(self._complaints)
            raise
        finally:
            os.close(theirs)
        self._heard = b""

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    def read(self) -> bytes:
        """Return the bytes that come next, empty at the end."""
        assert self._process.stdout is not None
        return os.read(self._process.stdout.fileno(), _CHUNK)

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        assert self._process.stdin is not None
        view = memoryview(data)
        while view:
            if self._process.stdin.closed:
                raise OSError("the program's input has been closed")
            view = view[os.write(self._process.stdin.fileno(), view) :]

    def close(self) -> None:
        """End the program: its input is closed, then it is killed if it stays."""
        process = self._process
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(_END_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def release(self) -> None:
        """Close what `close` had to leave open for the thread that reads."""
        self.complaint()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._complaints >= 0:
            os.close(self._complaints)
            self._complaints = -1

    def complaint(self) -> str:
        """What the program has said on its standard error, the end of it."""
        while self._complaints >= 0:
            try:
                more = os.read(self._complaints, _CHUNK)
            except OSError:
                break
            if not more:
                break
            self._heard = (self._heard + more)[-_CHUNK:]
        return self._heard.decode("utf-8", "replace").strip()


class SocketStream:
    """A stream that is a socket already, whose command's standard error is not on it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self) -> bytes:
        """Return the bytes that come next, empty at the end."""
        return self._sock.recv(_CHUNK)

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        self._sock.sendall(data)

    def close(self) -> None:
        """End the stream."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the socket; nobody reads it any more."""
        self._sock.close()

    def complaint(self) -> str:
        """Nothing: it is not on this stream."""
        return ""
