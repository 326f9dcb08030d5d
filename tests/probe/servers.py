"""Servers on loopback for the probe's tests: each does exactly what a test tells it to."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import h2.config
import h2.connection
import h2.events
import trustme

Made = TypeVar("Made")
Handler = Callable[[socket.socket], None]


@contextlib.contextmanager
def serve(handler: Handler, family: int = socket.AF_INET) -> Iterator[int]:
    """Give each connection to the handler in a thread; yields the port.

    A handler may see its client go away; any other exception fails the test.
    """
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    problems: list[BaseException] = []
    threads: list[threading.Thread] = []

    def handle(sock: socket.socket) -> None:
        try:
            with sock:
                sock.settimeout(10)
                handler(sock)
        except (ConnectionError, ssl.SSLError):
            return
        except BaseException as error:  # noqa: BLE001 - handed to the test
            problems.append(error)

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=handle, args=(sock,))
            threads.append(thread)
            thread.start()

    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield port
        finally:
            # Closing alone does not wake a thread that waits in accept.
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(10)
            for thread in threads:
                thread.join(10)
                assert not thread.is_alive()
    if problems:
        raise problems[0]


def timed(limit: float, make: Callable[[], Made]) -> tuple[Made, float]:
    """Return what ``make`` returns and the seconds it took, the last of up to three times.

    A busy machine can make anything slow; what is exact is within its limit at one of three.
    """
    for _ in range(3):
        started = time.monotonic()
        made = make()
        elapsed = time.monotonic() - started
        if elapsed < limit:
            break
    return made, elapsed


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def drain(sock: socket.socket) -> None:
    """Say nothing until the client goes away."""
    while sock.recv(65536):
        continue


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_head(sock: socket.socket) -> bytes:
    """Read an HTTP/1 request's head."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            break
        data += more
    return data


def answer(data: bytes, *, then: Handler = drain) -> Handler:
    """Return a handler that reads a request head, sends the bytes and goes on with ``then``."""

    def handler(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(data)
        then(sock)

    return handler


def close(sock: socket.socket) -> None:
    """End the stream in an orderly way."""
    sock.shutdown(socket.SHUT_RDWR)


def over_tls(context: ssl.SSLContext, handler: Handler) -> Handler:
    """Return a handler that shakes hands before it hands over."""

    def wrapped(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as secure:
            handler(secure)

    return wrapped


def server_context(leaf: trustme.LeafCert, *alpn: str) -> ssl.SSLContext:
    """Return the server side of a handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@dataclasses.dataclass
class H2Request:
    """What an HTTP/2 server saw of a request."""

    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""


H2Responder = Callable[[h2.connection.H2Connection, H2Request], bytes | None]
"""Answers a whole request; bytes that it returns end the stream, as fast as windows allow."""


def h2_server(respond: H2Responder, seen: list[H2Request] | None = None) -> Handler:
    """Return a handler that speaks HTTP/2 by the h2 library and answers a whole request."""

    def handler(sock: socket.socket) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        sock.sendall(connection.data_to_send())
        request = H2Request()
        rest = b""
        while data := sock.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    request.headers = {str(k): str(v) for k, v in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    request.body += event.data or b""
                    connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
                elif isinstance(event, h2.events.StreamEnded):
                    if seen is not None:
                        seen.append(request)
                    rest = respond(connection, request) or b""
            while rest and (size := _sendable(connection)):
                part, rest = rest[:size], rest[size:]
                connection.send_data(1, part, end_stream=not rest)
            sock.sendall(connection.data_to_send())

    return handler


def _sendable(connection: h2.connection.H2Connection) -> int:
    return min(connection.local_flow_control_window(1), connection.max_outbound_frame_size)


_RECORD_TYPES = {"A": 1, "CNAME": 5, "AAAA": 28}
_RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}


def dns_reply(
    query: bytes, *records: str, rcode: str = "NOERROR", truncated: bool = False
) -> bytes:
    """Answer a query with those records (``name ttl type value``) of its type, and CNAMEs.

    Names are compressed wherever a suffix of theirs was written before (RFC 1035 4.1.4).
    """
    wanted = {int.from_bytes(query[-4:-2], "big"), _RECORD_TYPES["CNAME"]}
    lines = [line.split() for line in records]
    chosen = [line for line in lines if _RECORD_TYPES[line[2]] in wanted]
    flags = 0x8180 | (0x0200 if truncated else 0) | _RCODES[rcode]
    reply = bytearray(query[:2] + struct.pack("!HHHHH", flags, 1, len(chosen), 0, 0) + query[12:])
    seen: dict[bytes, int] = {}
    asked = bytes(query[12:-4])
    at = 0
    while asked[at]:
        seen[_unlabelled(asked[at:])] = 12 + at
        at += asked[at] + 1
    for name, ttl, kind, value in chosen:
        _append_name(reply, name, seen)
        reply += struct.pack("!HHI", _RECORD_TYPES[kind], 1, int(ttl))
        at = len(reply)
        reply += b"\0\0"
        if kind == "CNAME":
            _append_name(reply, value, seen)
        else:
            family = socket.AF_INET if kind == "A" else socket.AF_INET6
            reply += socket.inet_pton(family, value)
        reply[at : at + 2] = struct.pack("!H", len(reply) - at - 2)
    return bytes(reply)


def _unlabelled(name: bytes) -> bytes:
    labels = []
    while name[0]:
        labels.append(name[1 : name[0] + 1])
        name = name[name[0] + 1 :]
    return b".".join(labels)


def _append_name(reply: bytearray, name: str, seen: dict[bytes, int]) -> None:
    rest = name.encode()
    while rest:
        if rest in seen:
            reply += struct.pack("!H", 0xC000 | seen[rest])
            return
        seen[rest] = len(reply)
        label, _, rest = rest.partition(b".")
        reply += bytes([len(label)]) + label
    reply += b"\0"


@contextlib.contextmanager
def dns_server(
    respond: Callable[[bytes], list[bytes]], over_tcp: Callable[[bytes], bytes] | None = None
) -> Iterator[tuple[str, int]]:
    """Answer each UDP query with the packets that ``respond`` returns; yields the address.

    ``over_tcp`` returns the bytes for a query over TCP on the same port, length prefix included.
    """

    def answer_tcp(sock: socket.socket) -> None:
        assert over_tcp is not None
        length = int.from_bytes(sock.recv(2, socket.MSG_WAITALL), "big")
        sock.sendall(over_tcp(sock.recv(length, socket.MSG_WAITALL)))

    def loop() -> None:
        while True:
            data, peer = sock.recvfrom(65536)
            if data == b"stop":
                return
            for packet in respond(data):
                sock.sendto(packet, peer)

    with contextlib.ExitStack() as stack:
        port = stack.enter_context(serve(answer_tcp)) if over_tcp else 0
        sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind(("127.0.0.1", port))
        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"stop", sock.getsockname())
            thread.join(10)
            assert not thread.is_alive()
