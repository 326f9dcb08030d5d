"""The name servers of the outside: RFC 1035 over UDP and TCP, on loopback, for A records.

Every name exists; a name without an answer for the type asked (AAAA, HTTPS, SRV and so on) is
NOERROR with no records. Messages are taken apart by hand, and the answers kept by their question:
a proxy that starts with thousands of names asks for all of them at once.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
import threading
from collections.abc import Callable

from pytest_egress.errors import BackendError
from pytest_egress.upstream.pool import Acceptor, Wire, Workers
from pytest_egress.upstream.zone import Reply

__all__ = ["NameServer", "Responder"]

_ADDRESS = 1  # TYPE A
_ANY = 255
_INTERNET = b"\0\1"
_NOTIMP, _REFUSED = 4, 5
_PLAIN_SIZE = 512  # RFC 1035: what a client without EDNS takes over UDP
_OPT = b"\0\0\x29\x10\0\0\0\0\0\0\0"  # RFC 6891: root, OPT, 4096 bytes
_BUFFER = 4 << 20
_RCVBUFFORCE = 33  # SO_RCVBUFFORCE of Linux: the socket module has no name for it


class Responder:
    """Turns queries into answers.

    Args:
        reply: gives the answer for a name (in lower case, without its last dot); the flag says
            whether A records were asked for.
        lock: held while an answer is made and kept, so that `forget` leaves no old one behind.
    """

    def __init__(self, reply: Callable[[str, bool], Reply], lock: threading.RLock) -> None:
        self._reply = reply
        self._lock = lock
        self._kept: dict[bytes, tuple[int, int, bytes]] = {}

    def forget(self) -> None:
        """Ask anew from now on: a script has changed what names resolve to."""
        with self._lock:
            self._kept.clear()

    def respond(self, query: bytes, *, udp: bool = True) -> bytes | None:
        """Return the answer to ``query``; None: it is no query, or none is to be sent."""
        if len(query) < 17 or query[2] & 0x80 or query[4:6] != b"\0\1":
            return None
        end = query.find(0, 12) + 5
        question = query[12:end]
        key = question[:-4].lower() + question[-4:]
        kept = self._kept.get(key)
        if kept is None or query[2] & 0x78:
            name = _name(question)
            if name is None:
                return None
            if query[2] & 0x78 or question[-2:] != _INTERNET:
                kept = (_NOTIMP if query[2] & 0x78 else _REFUSED, 0, b"")
            else:
                kept = self._ask(name, key)
                if kept is None:
                    return None
        rcode, count, records = kept
        edns = query[end : end + 3] == b"\0\0\x29"
        flags = 0x84 | (query[2] & 0x01)
        if udp and len(records) > _PLAIN_SIZE - end and end + len(records) > _limit(query, end):
            flags, count, records = flags | 0x02, 0, b""  # truncated: ask again over TCP
        return b"".join(
            (
                query[:2],
                bytes((flags, 0x80 | rcode, 0, 1, 0, count, 0, 0, 0, edns)),
                question,
                records,
                _OPT if edns else b"",
            )
        )

    def _ask(self, name: str, key: bytes) -> tuple[int, int, bytes] | None:
        with self._lock:
            wanted = int.from_bytes(key[-4:-2], "big") in {_ADDRESS, _ANY}
            reply = self._reply(name, wanted)
            if reply.rcode is None:
                return None
            addresses = reply.addresses[:255]
            records = b"".join(
                b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", reply.ttl, 4) + socket.inet_aton(address)
                for address in addresses
            )
            answer = (reply.rcode, len(addresses), records)
            if reply.lasting:
                self._kept[key] = answer
            return answer


def _name(question: bytes) -> str | None:
    """Return the name of a question, in lower case; None if it is malformed."""
    labels: list[str] = []
    at = 0
    while at < len(question):
        length = question[at]
        if length == 0:
            whole = at + 5 == len(question) and at < 255
            return ".".join(labels) if whole else None
        if length > 63:
            return None
        labels.append(question[at + 1 : at + 1 + length].decode("latin-1").lower())
        at += 1 + length
    return None


def _limit(query: bytes, end: int) -> int:
    """Return how many bytes the client takes over UDP (its EDNS payload size)."""
    if query[end : end + 3] != b"\0\0\x29":
        return _PLAIN_SIZE
    return max(_PLAIN_SIZE, int.from_bytes(query[end + 3 : end + 5], "big")) - len(_OPT)


class NameServer:
    """One view of the outside's names, on UDP and TCP of one loopback port.

    Args:
        responder: answers.
        acceptor, workers: take the TCP connections.
        errors: where unexpected exceptions go.
    """

    def __init__(
        self,
        responder: Responder,
        acceptor: Acceptor,
        workers: Workers,
        errors: list[BaseException],
    ) -> None:
        self.responder = responder
        self._acceptor = acceptor
        self._workers = workers
        self._errors = errors
        self._stopping = False
        self._udp, self._tcp = _bind()
        self.address: tuple[str, int] = self._udp.getsockname()
        self._thread = threading.Thread(
            target=self._loop, name="pytest-egress-name-server", daemon=True
        )

    def start(self) -> None:
        """Answer from now on."""
        self._tcp.listen(64)
        self._acceptor.add(
            self._tcp, lambda sock, _: self._workers.submit(_TcpQueries(sock, self.responder))
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the sockets."""
        self._stopping = True
        if self._thread.is_alive():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                while self._thread.is_alive():
                    # Sent until it ends: a full queue would drop it.
                    sock.sendto(b"", self.address)
                    self._thread.join(0.5)
            self._acceptor.remove(self._tcp)
        self._udp.close()
        self._tcp.close()

    def _loop(self) -> None:
        # Bound once: in-process capture replaces methods of socket.socket while a test runs.
        receive, send, respond = self._udp.recvfrom, self._udp.sendto, self.responder.respond
        while True:
            try:
                query, client = receive(4096)
                if self._stopping:
                    return
                answer = respond(query)
                if answer is not None:
                    send(answer, client)
            except Exception as error:  # noqa: BLE001, PERF203  kept for the test to see
                self._errors.append(error)
                if self._udp.fileno() < 0:
                    return


def _bind() -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket on the same free port of 127.0.0.1."""
    for _ in range(20):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            udp.bind(("127.0.0.1", 0))
            tcp.bind(udp.getsockname())
        except OSError as error:
            udp.close()
            tcp.close()
            if error.errno != errno.EADDRINUSE:
                raise BackendError("cannot bind a name server on 127.0.0.1", str(error)) from error
            continue
        _enlarge(udp)
        return udp, tcp
    raise BackendError("found no port of 127.0.0.1 that is free for both UDP and TCP")


def _enlarge(udp: socket.socket) -> None:
    """Let a burst of thousands of queries wait its turn, as far as the system allows."""
    with contextlib.suppress(OSError):  # macOS refuses what goes beyond its limit
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    if sys.platform == "linux":
        with contextlib.suppress(PermissionError):  # goes beyond rmem_max with CAP_NET_ADMIN
            udp.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER)


class _TcpQueries(Wire):
    """Queries over TCP: each message is preceded by its length (RFC 7766)."""

    def __init__(self, sock: socket.socket, responder: Responder) -> None:
        super().__init__(sock)
        self._responder = responder

    def run(self) -> None:
        """Answer until the client closes."""
        data = b""
        self.sock.setblocking(True)
        with contextlib.suppress(ConnectionError):
            while True:
                while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
                    more = self.sock.recv(65536)
                    if not more:
                        return
                    data += more
                end = 2 + int.from_bytes(data[:2], "big")
                query, data = data[2:end], data[end:]
                answer = self._responder.respond(query, udp=False)
                if answer is not None:
                    self.sock.sendall(len(answer).to_bytes(2, "big") + answer)
