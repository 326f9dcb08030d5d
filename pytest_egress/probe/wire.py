"""A connection under a deadline: bounded reads and writes, and failures by kind."""

from __future__ import annotations

import errno
import select
import socket
import ssl
import time
from collections.abc import Callable

from .result import Response, TlsInfo

__all__ = ["Deadline", "StageFailure", "Wire", "failure_from", "more_telling"]

_CHUNK = 65536
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_UNREACHABLE = frozenset(
    {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL}
)
# How OpenSSL spells the alerts that it received.
_ALERTS = ("SSLV3_ALERT_", "TLSV1_ALERT_", "TLSV13_ALERT_", "TLSV1_")


class StageFailure(Exception):  # noqa: N818 - it is a failure of the network, not of the program
    """The current stage cannot complete; carries what was received until then."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message
        self.response: Response | None = None
        self.received = b""
        self.tls: TlsInfo | None = None


def failure_from(error: OSError, doing: str) -> StageFailure:
    """Sort an error of the socket or TLS layer into a failure kind."""
    if isinstance(error, ssl.SSLError):
        return _tls_failure(error, doing)
    if isinstance(error, TimeoutError):
        return StageFailure("timeout", f"timed out {doing}")
    if isinstance(error, ConnectionRefusedError):
        return StageFailure("refused", f"connection refused {doing}")
    if isinstance(error, ConnectionError) or error.errno == errno.ENOTCONN:
        return StageFailure("reset", f"connection reset {doing}")
    if error.errno == 0:  # what OpenSSL 1.1.1 makes of a connection closed during the handshake
        return StageFailure("eof", f"connection closed {doing}")
    text = error.strerror or str(error) or type(error).__name__
    kind = "unreachable" if error.errno in _UNREACHABLE else "os"
    return StageFailure(kind, f"{text} {doing}")


def _tls_failure(error: ssl.SSLError, doing: str) -> StageFailure:
    if isinstance(error, ssl.SSLCertVerificationError):
        return StageFailure("tls-verify", f"certificate refused: {error.verify_message}")
    reason = error.reason or ""
    if (
        isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        or reason == "UNEXPECTED_EOF_WHILE_READING"
    ):
        return StageFailure("eof", f"connection closed {doing}")
    for prefix in _ALERTS:
        if reason.startswith(prefix):
            name = reason.removeprefix(prefix).replace("_", " ").lower()
            return StageFailure("tls-alert", f"the peer sent a TLS alert {doing}: {name}")
    text = reason.replace("_", " ").lower() or error.strerror or str(error)
    return StageFailure("protocol", f"the peer does not speak TLS as expected {doing}: {text}")


def more_telling(sending: StageFailure | None, reading: StageFailure) -> StageFailure:
    """Choose between the failure to send and that of reading an answer all the same.

    Peers often close while they are still being sent to, having said why.
    """
    if sending is None or reading.received or reading.kind in {"protocol", "tls-alert"}:
        return reading
    return sending


class Deadline:
    """The end of an attempt on the monotonic clock."""

    __slots__ = ("at",)

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    def remaining(self, doing: str) -> float:
        """Return the seconds left, more than 0.

        Raises:
            StageFailure: ``timeout``, if none are left.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise StageFailure("timeout", f"timed out {doing}")
        return left


class Wire:
    """Buffered reading and whole writing on a connected socket, plain or TLS."""

    __slots__ = ("buffer", "deadline", "sock")

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.sock = sock
        self.deadline = deadline
        self.buffer = bytearray()

    def send(self, data: bytes, doing: str) -> None:
        """Send everything.

        Raises:
            StageFailure: the connection broke or the deadline passed.
        """
        view = memoryview(data)
        while view:
            # One send at a time: sendall of a TLS socket would begin its timeout anew each time.
            self.sock.settimeout(self.deadline.remaining(doing))
            try:
                view = view[self.sock.send(view) :]
            except OSError as error:
                raise failure_from(error, doing) from error

    def send_until(self, data: bytes, done: Callable[[bytearray], bool], doing: str) -> bytes:
        """Send, but stop once what came back meanwhile makes sending pointless.

        A peer that has answered need not read on: Envoy answers 403 in the midst of a body and
        then holds the connection for a second.

        Args:
            data: what to send.
            done: asked about the buffer whenever the socket takes no more.
            doing: what for, in the words of a failure.

        Returns:
            What was not sent, because ``done`` said so or the peer ended its stream.

        Raises:
            StageFailure: the connection broke or the deadline passed.
        """
        view = memoryview(data)
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLOUT)
        self.sock.settimeout(0)
        try:
            while view:
                try:
                    view = view[self.sock.send(view) :]
                    continue
                except _NOT_NOW:
                    if done(self.buffer):
                        break
                    events = poll.poll(self.deadline.remaining(doing) * 1000)
                if not events or events[0][1] & ~select.POLLOUT == 0:
                    continue
                try:
                    more = self.sock.recv(_CHUNK)
                except _NOT_NOW:
                    continue
                self.buffer += more
                if not more:
                    break
        except OSError as error:
            raise failure_from(error, doing) from error
        return bytes(view)

    def receive(self, doing: str, patience: float | None = None) -> bytes | None:
        """Receive what is there next, past the buffer.

        Args:
            doing: what for, in the words of a failure.
            patience: seconds after which silence is an answer of its own.

        Returns:
            The bytes; empty at the end of the stream; None for silence.

        Raises:
            StageFailure: the connection broke or the deadline passed.
        """
        left = self.deadline.remaining(doing)
        waits = left if patience is None else min(left, patience)
        self.sock.settimeout(waits)
        try:
            return self.sock.recv(_CHUNK)
        except TimeoutError as error:
            if patience is not None and waits < left:
                return None
            raise failure_from(error, doing) from error
        except OSError as error:
            raise failure_from(error, doing) from error

    def fill(self, doing: str) -> bool:
        """Receive into the buffer; False at the end of the stream."""
        data = self.receive(doing)
        if not data:
            return False
        self.buffer += data
        return True

    def peek(self, count: int, doing: str) -> bytes:
        """Return the next bytes without taking them; fewer only at the end of the stream."""
        while len(self.buffer) < count and self.fill(doing):
            pass
        return bytes(self.buffer[:count])

    def take(self, count: int) -> bytes:
        """Take up to ``count`` bytes out of the buffer, without receiving."""
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def exactly(self, count: int, doing: str) -> bytes:
        """Take exactly ``count`` bytes.

        Raises:
            StageFailure: ``eof`` if the stream ends before, else as ``receive``.
        """
        while len(self.buffer) < count:
            if not self.fill(doing):
                raise StageFailure("eof", f"connection closed {doing}")
        return self.take(count)

    def line(self, limit: int, doing: str) -> bytes:
        """Take one line without its CRLF or LF.

        Raises:
            StageFailure: ``protocol`` if the line is longer than ``limit``, ``eof`` if the
                stream ends before it does, else as ``receive``.
        """
        start = 0
        while (at := self.buffer.find(b"\n", start)) < 0:
            start = len(self.buffer)
            if start > limit:
                break
            if not self.fill(doing):
                raise StageFailure("eof", f"connection closed {doing}")
        if at < 0 or at > limit:
            raise StageFailure("protocol", f"a line is longer than {limit} bytes {doing}")
        return self.take(at + 1)[:-1].removesuffix(b"\r")

    def close(self) -> None:
        """Close at once; a TLS peer is told by close_notify if the socket takes it."""
        import contextlib

        if isinstance(self.sock, ssl.SSLSocket):
            self.sock.settimeout(0)
            # Without waiting for the answer, so it is an error by design.
            with contextlib.suppress(OSError, ValueError):
                self.sock.unwrap()
        self.sock.close()
