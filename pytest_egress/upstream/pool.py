"""The threads of the outside: one that accepts connections, and a few that serve them."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["Accepted", "Acceptor", "Address", "Wire", "Workers", "dial", "pair"]

Address = tuple[str, int]
Accepted = Callable[[socket.socket, Address], None]

_IDLE = 8  # workers that stay when they have nothing to do
_BATCH = 64  # connections accepted from one socket before the others get their turn


def dial(sock: socket.socket, address: Address | str) -> None:
    """Connect ``sock`` by the operating system's own connect.

    In-process capture and other test tools (pytest-socket) replace ``socket.socket.connect`` while
    a test runs; what the outside and the proxy's own side dial is none of theirs.
    """
    super(socket.socket, sock).connect(address)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a TCP connection on loopback; unlike a socketpair it can be reset."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            dial(one, listener.getsockname())
            while True:
                other, peer = listener.accept()
                if peer == one.getsockname():
                    return one, other
                other.close()  # a stranger, who found the port open for a moment
        except BaseException:
            one.close()
            raise


class Wire(ABC):
    """One accepted connection and what serves it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    @abstractmethod
    def run(self) -> None:
        """Serve until the connection ends."""

    def abort(self) -> None:
        """Make every blocking call on the connection return, from another thread."""
        # Not SSLSocket.shutdown: that would turn the TLS connection into a plain one.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()


class Workers:
    """Serves each connection in a thread of its own, which then waits for the next one.

    Args:
        errors: where exceptions go that no connection should ever raise.
    """

    def __init__(self, errors: list[BaseException]) -> None:
        self._errors = errors
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Wire | None] = SimpleQueue()
        self._threads: set[threading.Thread] = set()
        self._wires: set[Wire] = set()
        self._idle = 0
        self._stopping = False

    @property
    def wires(self) -> list[Wire]:
        """Return the connections that are open."""
        with self._lock:
            return list(self._wires)

    def count(self) -> int:
        """Return how many connections are open."""
        return len(self._wires)

    def submit(self, wire: Wire) -> None:
        """Serve ``wire`` as soon as can be."""
        thread = None
        with self._lock:
            if self._stopping:
                wire.close()
                return
            self._wires.add(wire)
            if self._idle:
                self._idle -= 1
            else:
                thread = threading.Thread(
                    target=self._work, name="pytest-egress-upstream", daemon=True
                )
                self._threads.add(thread)
        self._queue.put(wire)
        if thread is not None:
            thread.start()

    def abort(self, chosen: Callable[[Wire], bool]) -> None:
        """End the open connections that are ``chosen``."""
        with self._lock:
            for wire in self._wires:
                if chosen(wire):
                    wire.abort()

    def stop(self, timeout: float = 5.0) -> None:
        """End every connection and every thread."""
        with self._lock:
            self._stopping = True
            threads = list(self._threads)
            for wire in self._wires:
                wire.abort()
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            thread.join(timeout)
            if thread.is_alive():
                self._errors.append(RuntimeError(f"{thread.name} did not end in {timeout} s"))

    def _work(self) -> None:
        while (wire := self._queue.get()) is not None:
            try:
                wire.run()
            except BaseException as error:  # noqa: BLE001  kept for the test to see
                self._errors.append(error)
            with self._lock:
                self._wires.discard(wire)
                stay = self._idle < _IDLE and not self._stopping
                self._idle += stay
                if not stay:
                    self._threads.discard(threading.current_thread())
            wire.close()
            if not stay:
                return


class Acceptor:
    """Waits on every listening socket at once and hands each connection on."""

    def __init__(self, errors: list[BaseException]) -> None:
        self._errors = errors
        self._stopping = False
        self._pause = threading.Event()
        self._waiting: SimpleQueue[threading.Event] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._loop, name="pytest-egress-acceptor", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()

    def add(self, listener: socket.socket, accepted: Accepted) -> None:
        """Accept connections of ``listener``; ``accepted`` runs here and must not wait.

        Raises:
            RuntimeError: the thread has not been started.
        """
        if not self._thread.is_alive():
            raise RuntimeError("the simulated outside is not running: call start() first")
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, accepted)

    def remove(self, listener: socket.socket) -> None:
        """Accept no more connections of ``listener``."""
        self._selector.unregister(listener)

    def settle(self, timeout: float = 1.0) -> None:
        """Return when every connection that is established by now has been handed on."""
        done = threading.Event()
        self._waiting.put(done)
        self._wake.send(b"\0")
        done.wait(timeout)

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._pause.set()
        if self._thread.is_alive():
            self._wake.send(b"\0")
            self._thread.join(5.0)
            self._selector.close()
            self._wake.close()
            self._woken.close()

    def _loop(self) -> None:
        while not self._stopping:
            try:
                asked = self._accept(self._selector.select())
                if asked:
                    # What was established before the question may have missed that answer.
                    while self._has_listener(ready := self._selector.select(0)):
                        asked += self._accept(ready)
                for done in asked:
                    done.set()
            except Exception as error:  # noqa: BLE001, PERF203  kept for the test to see
                self._errors.append(error)

    def _has_listener(self, ready: list[tuple[selectors.SelectorKey, int]]) -> bool:
        return any(key.data is not None for key, _ in ready)

    def _accept(self, ready: list[tuple[selectors.SelectorKey, int]]) -> list[threading.Event]:
        """Accept what is ``ready``; return the questions that came in."""
        asked: list[threading.Event] = []
        for key, _ in ready:
            if not isinstance(key.fileobj, socket.socket):
                continue
            if key.data is None:
                key.fileobj.recv(64)
                while not self._waiting.empty():
                    asked.append(self._waiting.get())
                continue
            for _ in range(_BATCH):
                accepted = self._accept_one(key.fileobj)
                if accepted is None:
                    break
                key.data(*accepted)
        return asked

    def _accept_one(self, listener: socket.socket) -> tuple[socket.socket, Address] | None:
        try:
            return listener.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._errors.append(error)
                self._pause.wait(0.05)  # the socket stays ready: do not spin on it
            # Else it was closed by another thread since select returned.
            return None
