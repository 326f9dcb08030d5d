"""Connections that are carried over the agent's stream, many at a time; the same on both sides.

Each has a number. What comes out of its socket here goes into the one of that number there. An end
of the bytes is told apart from a reset, since a proxy in between tells them apart, too.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from pytest_egress.backends.agent.inside.wire import pack, unpack

__all__ = ["Tunnels"]

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)  # a linger time of zero makes close send RST in place of FIN

Send = Callable[[dict[str, Any]], None]


class _End:
    """This side's end of one connection."""

    def __init__(self, ident: int, sock: socket.socket) -> None:
        self.ident = ident
        self.sock = sock
        self.unsent: deque[memoryview] = deque()
        self.finished = False  # nothing more comes from the other side
        self.shut = False  # ... and the socket has been told
        self.read = False  # nothing more comes from this socket
        self.reset = False  # its peer has reset it: what it said before is still to be read
        self.events = 0


class Tunnels:
    """Every connection over one stream, in one thread.

    Args:
        send: sends a message to the other side; `OSError` and the like are the caller's matter,
            since all tunnels are closed when the stream is lost.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._todo: deque[Callable[[], None]] = deque()
        self._ends: dict[int, _End] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._closing = False
        self._thread: threading.Thread | None = None

    def add(self, ident: int, sock: socket.socket) -> None:
        """Carry ``sock``, which is closed when both ways have ended."""
        sock.setblocking(False)
        if not self._do(lambda: self._begin(_End(ident, sock))):
            sock.close()

    def take(self, message: dict[str, Any]) -> None:
        """Take what the other side says of a connection."""
        self._do(lambda: self._heard(message))

    def refuse(self, ident: int) -> None:
        """Have the other side reset its end."""
        self._send({"t": ident, "r": 1})

    def close(self) -> None:
        """Reset every connection and end the thread. Twice is once."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            thread = self._thread
        if thread is None:
            self._free()
        else:
            self._ring()
            if thread is not threading.current_thread():
                thread.join(5)

    def _do(self, action: Callable[[], None]) -> bool:
        """Have the thread do something; False when there is none any more."""
        with self._lock:
            if self._closing:
                return False
            self._todo.append(action)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="pytest-egress-tunnels", daemon=True
                )
                self._thread.start()
        self._ring()
        return True

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake
            self._wake.send(b"\0")

    def _run(self) -> None:
        while not self._closing:
            for key, events in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(_CHUNK)
                    self._work()
                else:
                    self._move(key.data, events)
        self._free()

    def _free(self) -> None:
        while self._todo:  # a socket that was given and has not begun is closed as well
            self._todo.popleft()()
        for end in list(self._ends.values()):
            self._drop(end, reset=True)
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._todo:
                    return
                action = self._todo.popleft()
            action()

    def _begin(self, end: _End) -> None:
        self._ends[end.ident] = end
        self._watch(end)

    def _heard(self, message: dict[str, Any]) -> None:
        end = self._ends.get(message["t"])
        if end is None:
            return  # it has been reset here meanwhile
        if "d" in message:
            end.unsent.append(memoryview(unpack(message["d"])))
        elif "e" in message:
            end.finished = True
        else:
            self._drop(end, reset=True)
            return
        self._push(end)

    def _move(self, end: _End, events: int) -> None:
        if events & selectors.EVENT_READ and not end.read:
            try:
                data = end.sock.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError:
                self._fail(end)
                return
            if data:
                self._send({"t": end.ident, "d": pack(data)})
            elif end.reset:
                self._fail(end)
                return
            else:
                end.read = True
                self._send({"t": end.ident, "e": 1})
        if end.ident in self._ends:
            self._push(end)

    def _push(self, end: _End) -> None:
        """Write what can be written, then watch for what is left."""
        try:
            while end.unsent:
                sent = end.sock.send(end.unsent[0])
                if sent == len(end.unsent[0]):
                    end.unsent.popleft()
                else:
                    end.unsent[0] = end.unsent[0][sent:]
            if end.finished and not end.shut:
                end.shut = True
                end.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError as error:
            # It takes nothing more, but what it has said before it went is still to be read. A
            # broken pipe is one that was closed in order, before it was written to.
            end.unsent.clear()
            end.finished = end.shut = True
            end.reset = not isinstance(error, BrokenPipeError)
            if end.reset and end.read:
                self._fail(end)
                return
        if end.read and end.shut:
            self._drop(end)
        else:
            self._watch(end)

    def _watch(self, end: _End) -> None:
        wanted = (0 if end.read else selectors.EVENT_READ) | (
            selectors.EVENT_WRITE if end.unsent else 0
        )
        if wanted == end.events:
            return
        if not wanted:
            self._selector.unregister(end.sock)
        elif not end.events:
            self._selector.register(end.sock, wanted, end)
        else:
            self._selector.modify(end.sock, wanted, end)
        end.events = wanted

    def _fail(self, end: _End) -> None:
        self._drop(end, reset=True)
        self._send({"t": end.ident, "r": 1})

    def _drop(self, end: _End, *, reset: bool = False) -> None:
        del self._ends[end.ident]
        if end.events:
            self._selector.unregister(end.sock)
        if reset:
            with contextlib.suppress(OSError):
                end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.sock.close()
