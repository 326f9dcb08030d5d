"""The pod's name server: it asks the other side, and the cluster's own for the cluster's names."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from pytest_egress.backends.agent.inside.wire import pack, unpack

__all__ = ["Names"]

_TIMEOUT = 5.0  # seconds after which a client has asked again anyway
_MOST = 65535


class Names:
    """Answers over UDP and TCP; what it asks the other side is told apart by a number.

    Args:
        send: sends a message to the other side.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._asked: dict[int, tuple[float, Callable[[bytes], None]]] = {}
        self._number = 0

    def serve(self, request: dict[str, Any]) -> dict[str, Any]:
        """Serve on ``address`` and ``port``; names under ``domains`` are asked of ``upstream``.

        The other side tells its name servers apart by ``name``.
        """
        where = (request["address"], request["port"])
        domains = tuple(_wire_name(domain) for domain in request["domains"])
        upstream = tuple(request["upstream"]) if request["upstream"] else None
        name = request["name"]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(where)
        tcp = socket.create_server(udp.getsockname(), backlog=64)

        def forwarded(query: bytes) -> bool:
            return upstream is not None and _question(query).endswith(domains)

        for serve, sock in ((self._udp, udp), (self._tcp, tcp)):
            threading.Thread(
                target=serve, args=(name, sock, forwarded, upstream), daemon=True
            ).start()
        return {"port": udp.getsockname()[1]}

    def answered(self, message: dict[str, Any]) -> None:
        """Take an answer of the other side; without one, the client gets none."""
        with self._lock:
            asked = self._asked.pop(message["q"], None)
        if asked is not None and message.get("d"):
            asked[1](unpack(message["d"]))

    def _ask(self, name: str, query: bytes, answer: Callable[[bytes], None], *, udp: bool) -> None:
        now = time.monotonic()
        with self._lock:
            self._number += 1
            number = self._number
            for old in [key for key, (at, _) in self._asked.items() if now - at > _TIMEOUT]:
                del self._asked[old]
            self._asked[number] = (now, answer)
        self._send({"q": number, "n": name, "d": pack(query), "u": udp})

    def _udp(
        self, name: str, sock: socket.socket, forwarded: Callable[[bytes], bool], upstream: Any
    ) -> None:
        while True:
            query, client = sock.recvfrom(_MOST)

            def answer(data: bytes, client: Any = client) -> None:
                sock.sendto(data, client)

            if forwarded(query):
                threading.Thread(
                    target=_forward, args=(query, upstream, answer), daemon=True
                ).start()
            else:
                self._ask(name, query, answer, udp=True)

    def _tcp(
        self, name: str, listener: socket.socket, forwarded: Callable[[bytes], bool], upstream: Any
    ) -> None:
        while True:
            sock, _ = listener.accept()
            threading.Thread(
                target=self._queries, args=(name, sock, forwarded, upstream), daemon=True
            ).start()

    def _queries(
        self, name: str, sock: socket.socket, forwarded: Callable[[bytes], bool], upstream: Any
    ) -> None:
        with sock, sock.makefile("rb") as incoming:
            while len(head := incoming.read(2)) == 2:
                query = incoming.read(int.from_bytes(head, "big"))
                done = threading.Event()

                def answer(data: bytes, done: threading.Event = done) -> None:
                    sock.sendall(len(data).to_bytes(2, "big") + data)
                    done.set()

                if forwarded(query):
                    _forward(query, upstream, answer)
                else:
                    self._ask(name, query, answer, udp=False)
                    done.wait(_TIMEOUT)


def _forward(query: bytes, upstream: tuple[str, int], answer: Callable[[bytes], None]) -> None:
    """Ask the cluster's name server, by UDP; a client gets no answer where that gives none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_TIMEOUT)
        try:
            sock.connect(upstream)
            sock.send(query)
            data = sock.recv(_MOST)
        except OSError:
            return
    answer(data)


def _wire_name(name: str) -> bytes:
    labels = name.lower().strip(".").encode("ascii").split(b".")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _question(query: bytes) -> bytes:
    """The name that a query asks for, as in the message, in lower case."""
    end = query.find(b"\0", 12)
    return query[12 : end + 1].lower()
