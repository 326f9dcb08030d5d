"""The standard streams of a container, as the engine carries them over one connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from pytest_egress.backends.agent.stream import Stream

__all__ = ["AttachedStream", "Tail"]

_CHUNK = 65536
_HEADER = 8  # one byte for the stream, three of zero, four for the length
_STDERR = 2
_KEPT = 16_384  # bytes of what was said on standard error


class AttachedStream(Stream):
    """Standard input and output of a container that the engine is attached to.

    Args:
        attached: what the Docker SDK's ``attach_socket`` returns.
    """

    def __init__(self, attached: Any) -> None:
        self._attached = attached  # it holds the response, which holds the connection
        self._sock: Any = getattr(attached, "_sock", attached)
        self._sock.settimeout(None)
        self._pending = bytearray()
        self._complaint = b""

    def read(self) -> bytes:
        """Return the bytes of standard output that come next, empty at the end."""
        for descriptor, data in self.parts():
            if descriptor != _STDERR:
                return data
            self._complaint = (self._complaint + data)[-_KEPT:]
        return b""

    def write(self, data: bytes) -> None:
        """Send all of ``data`` to standard input."""
        self._sock.sendall(data)

    def close(self) -> None:
        """End the connection: the container's standard input ends as well. Twice is once."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the connection."""
        response = getattr(self._attached, "_response", None)
        if response is not None:
            # It flushes what it reads from, which a reader that has failed has closed.
            with contextlib.suppress(ValueError, OSError):
                response.close()
        with contextlib.suppress(OSError):
            self._attached.close()
            self._sock.close()

    def end_input(self) -> None:
        """End the container's standard input; its output still comes."""
        with contextlib.suppress(OSError):
            if hasattr(self._sock, "shutdown_write"):  # a channel of SSH
                self._sock.shutdown_write()
            else:
                self._sock.shutdown(socket.SHUT_WR)

    def parts(self) -> Iterator[tuple[int, bytes]]:
        """What comes, each part with its descriptor: 1 or 2."""
        while True:
            kind, length = self._head()
            if not kind:
                return
            yield (2 if kind[0] == _STDERR else 1), self._take(length)

    def complaint(self) -> str:
        """What came on standard error, the end of it."""
        return self._complaint.decode(errors="replace").strip()

    def _head(self) -> tuple[bytes, int]:
        """Which stream comes next, and how much of it; empty at the end."""
        head = self._take(_HEADER)
        if len(head) < _HEADER:
            return b"", 0
        return head[:1], int.from_bytes(head[4:], "big")

    def _take(self, length: int) -> bytes:
        """The next ``length`` bytes, fewer at the end."""
        while len(self._pending) < length:
            more = self._sock.recv(_CHUNK)
            if not more:
                break
            self._pending += more
        taken = bytes(self._pending[:length])
        del self._pending[:length]
        return taken


class Tail:
    """The end of what a container writes, read as it comes: it is gone with the container.

    Args:
        stream: its output; ended by `close`.
    """

    def __init__(self, stream: AttachedStream) -> None:
        self._stream = stream
        self._said = b""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="egress-output", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """What was written last; of a container that has ended, all that it had to say."""
        self._ended.wait(0.5)
        said = self._said.decode(errors="replace").strip()
        return "\n".join(filter(None, (said, self._stream.complaint())))

    def ended(self) -> bool:
        """Whether there is no more to come."""
        return self._ended.is_set()

    def close(self) -> None:
        """Stop reading. Once."""
        self._stream.close()
        self._thread.join(5)
        self._stream.release()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._stream.read():
                self._said = (self._said + data)[-_KEPT:]
        self._ended.set()
