"""The test process's side of a namespace: it starts it, and takes what is redirected in it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from pytest_egress.capture.log import Log
from pytest_egress.capture.namespace.dns import answer
from pytest_egress.capture.namespace.doctor import explain_step
from pytest_egress.capture.relay import abort, pump
from pytest_egress.errors import BackendError

__all__ = ["Namespace"]

_ROOT = str(Path(__file__).resolve().parents[3])
_ENTER = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); "
    "from pytest_egress.capture.namespace.enter import main; main()"
)
_START_TIMEOUT = 30.0  # seconds; it takes a tenth of one
_ORIGINAL_DESTINATION = 80  # SO_ORIGINAL_DST of linux/netfilter_ipv4.h
_MAX_DATAGRAM = 4096

Stream = int | IO[Any] | None


class Namespace:
    """One command in a network namespace, its connections and lookups led through the proxy.

    Args:
        log: opens the connections and remembers them.
        command: program and arguments.
        environment: the whole environment of the command.
        directory: its working directory; None: this process's.

    Raises:
        BackendError: the system does not allow such a namespace; the message says what forbids it.
    """

    def __init__(
        self,
        log: Log,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: str | os.PathLike[str] | None = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.PIPE,
        stderr: Stream = subprocess.PIPE,
    ) -> None:
        self._log = log
        self._closed = False
        self._ended = threading.Event()
        self._status: int | None = None
        self._sockets: queue.Queue[socket.socket | None] = queue.Queue()
        self._asking = threading.Lock()
        self._private = tempfile.mkdtemp(prefix="ns-", dir=log.pod.directory)
        self._channel, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with inner:
            arguments = [str(inner.fileno()), json.dumps(list(command)), self._private]
            self.process = subprocess.Popen(  # noqa: S603 - the user's own command
                [sys.executable, "-I", "-S", "-c", _ENTER, *arguments],
                env=dict(environment),
                cwd=directory,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[inner.fileno()],
            )
        try:
            tcp, streams, datagrams = self._receive_listeners()
        except BaseException:
            self.close()
            raise
        self._tcp, self._streams, self._datagrams = tcp, streams, datagrams
        self._wake, self._woken = socket.socketpair()
        self._threads = [
            threading.Thread(target=target, name="egress-namespace", daemon=True)
            for target in (self._take_in, self._listen_to_inside)
        ]
        for thread in self._threads:
            thread.start()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status of the command (minus the signal's number); None when time is up."""
        return self._status if self._ended.wait(timeout) else None

    def ended(self) -> bool:
        """Whether the command has ended, or what watched over it has gone."""
        return self._ended.is_set()

    def connect(self, port: int, timeout: float) -> socket.socket:
        """Open a connection to a port of the namespace's own loopback.

        Raises:
            OSError: nothing listens there, or the namespace has gone.
        """
        with self._asking:
            if self._ended.is_set():
                raise ConnectionRefusedError("the command has ended")
            self._channel.send(b"socket")
            inside = self._sockets.get(timeout=timeout)
        if inside is None:
            raise ConnectionRefusedError("the command has ended")
        inside.settimeout(timeout)
        try:
            inside.connect(("127.0.0.1", port))
        except BaseException:
            inside.close()
            raise
        return inside

    def kill(self) -> None:
        """Kill the command and all that it has started."""
        with contextlib.suppress(OSError):
            self._channel.send(b"kill")

    def close(self) -> None:
        """Leave nothing behind: processes, sockets, files. Twice is once."""
        if self._closed:
            return
        self._closed = True
        self._ended.set()
        self._sockets.put(None)
        # The process inside kills the command when the channel ends.
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if hasattr(self, "_threads"):
            self._wake.close()
            for thread in self._threads:
                thread.join(5)
            for opened in (self._tcp, self._streams, self._datagrams, self._woken):
                opened.close()
        self._channel.close()
        shutil.rmtree(self._private, ignore_errors=True)

    def _receive_listeners(self) -> list[socket.socket]:
        self._channel.settimeout(_START_TIMEOUT)
        try:
            message, descriptors, _, _ = socket.recv_fds(self._channel, 1 << 12, 8)
        except TimeoutError:
            message, descriptors = b"", []
        self._channel.settimeout(None)
        found = json.loads(message) if message else {}
        if not found.get("ready"):
            output = ""
            if self.process.stderr is not None and not message:
                self.process.kill()
                output = str(self.process.stderr.read())
            raise BackendError(
                "a network namespace for the command cannot be made",
                output,
                explain_step(found.get("failed", ""), found.get("errno") or 0),
            )
        return [socket.socket(fileno=descriptor) for descriptor in descriptors]

    def _listen_to_inside(self) -> None:
        """Receive sockets that were asked for, and at last the command's exit status."""
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._channel, 1 << 12, 1)
            except OSError:
                message, descriptors = b"", []
            for descriptor in descriptors:
                self._sockets.put(socket.socket(fileno=descriptor))
            if not message:
                break
            self._status = json.loads(message).get("status", self._status)
            if self._status is not None:
                break
        self._ended.set()
        self._sockets.put(None)

    def _take_in(self) -> None:
        """Accept what is redirected; each connection goes on in threads of its own."""
        with selectors.DefaultSelector() as selector:
            for opened in (self._tcp, self._streams, self._datagrams, self._woken):
                selector.register(opened, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        return
                    if key.fileobj is self._datagrams:
                        query, client = self._datagrams.recvfrom(_MAX_DATAGRAM)
                        _in_thread(self._answer_datagram, query, client)
                    else:
                        listener: Any = key.fileobj
                        connection, _ = listener.accept()
                        serve = self._lead if listener is self._tcp else self._answer_stream
                        _in_thread(serve, connection)

    def _lead(self, connection: socket.socket) -> None:
        place = connection.getsockopt(socket.SOL_IP, _ORIGINAL_DESTINATION, 16)
        address, port = socket.inet_ntoa(place[4:8]), int.from_bytes(place[2:4], "big")
        try:
            outer = self._log.open(address, port, None)
        except OSError:
            abort(connection)
            connection.close()
            return
        outer.settimeout(None)
        self._log.hold(outer, outer.fileno(), os.fstat(outer.fileno()).st_ino)
        pump(connection, outer)

    def _answer_datagram(self, query: bytes, client: Any) -> None:
        reply = answer(query, self._log.lookup)
        if reply is not None:
            with contextlib.suppress(OSError):
                self._datagrams.sendto(reply, client)

    def _answer_stream(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            stream = connection.makefile("rb")
            while header := stream.read(2):
                reply = answer(stream.read(int.from_bytes(header, "big")), self._log.lookup)
                if reply is None:
                    return
                connection.sendall(len(reply).to_bytes(2, "big") + reply)


def _in_thread(function: Any, *arguments: Any) -> None:
    threading.Thread(
        target=function, args=arguments, name="egress-namespace-call", daemon=True
    ).start()
