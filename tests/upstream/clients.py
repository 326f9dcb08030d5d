"""The clients that the outside is tested with: plain sockets, TLS, HTTP/2 and DNS packets."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, TrailersReceived

TIMEOUT = 5.0


def connect(place: tuple[str, int], timeout: float = TIMEOUT) -> socket.socket:
    """Open a TCP connection."""
    return socket.create_connection(place, timeout)


def exchange(place: tuple[str, int], data: bytes, until: bytes) -> bytes:
    """Send ``data`` and read until ``until`` has come, or the end."""
    with connect(place) as sock:
        sock.sendall(data)
        return read(sock, until)


def read(sock: socket.socket, until: bytes) -> bytes:
    """Read until ``until`` has come, or the end."""
    received = b""
    while until not in received and (more := sock.recv(65536)):
        received += more
    return received


def tls(
    place: tuple[str, int],
    ca_file: object,
    name: str | None,
    *,
    alpn: tuple[str, ...] = (),
    verify: bool = True,
) -> ssl.SSLSocket:
    """Open a TLS connection that trusts ``ca_file``, with ``name`` as SNI."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.check_hostname = verify and name is not None
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    sock = connect(place)
    try:
        return context.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise


@dataclass
class Reply:
    """An HTTP/2 response."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False


class H2Client:
    """HTTP/2 over a socket that is connected already (with prior knowledge, or ALPN)."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.replies: dict[int, Reply] = {}
        self.order: list[int] = []

    def send(
        self,
        path: str,
        *,
        authority: str = "api.example.com",
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> int:
        """Send a request and return its stream."""
        stream = self.connection.get_next_available_stream_id()
        pseudo = [
            (":method", method),
            (":path", path),
            (":scheme", "http"),
            (":authority", authority),
        ]
        self.connection.send_headers(
            stream, pseudo + list((headers or {}).items()), end_stream=not body
        )
        if body:
            self.connection.send_data(stream, body, end_stream=True)
        self.sock.sendall(self.connection.data_to_send())
        self.replies[stream] = Reply()
        return stream

    def receive(self, stream: int) -> Reply:
        """Read until the response of ``stream`` has ended."""
        while not self.replies[stream].ended:
            data = self.sock.recv(65536)
            assert data, "the connection was closed before the response ended"
            for event in self.connection.receive_data(data):
                if isinstance(event, ResponseReceived):
                    self._reply(event.stream_id).headers = _fields(event.headers)
                elif isinstance(event, TrailersReceived):
                    self._reply(event.stream_id).trailers = _fields(event.headers)
                elif isinstance(event, DataReceived):
                    self._reply(event.stream_id).body += event.data or b""
                    self.connection.acknowledge_received_data(
                        event.flow_controlled_length or 0, event.stream_id or 0
                    )
                elif isinstance(event, StreamEnded):
                    self._reply(event.stream_id).ended = True
                    self.order.append(event.stream_id or 0)
            self.sock.sendall(self.connection.data_to_send())
        return self.replies[stream]

    def _reply(self, stream: int | None) -> Reply:
        return self.replies[stream or 0]


def _fields(headers: object) -> dict[str, str]:
    assert isinstance(headers, list)
    return {str(name): str(value) for name, value in headers}


@dataclass(frozen=True)
class Answer:
    """What a name server said."""

    rcode: int
    truncated: bool
    question: bytes
    addresses: tuple[str, ...]
    ttls: tuple[int, ...]
    edns: bool


def query(name: str, kind: int = 1, *, number: int = 7, edns: int = 0, klass: int = 1) -> bytes:
    """Build a query as RFC 1035 writes it; ``edns`` is the payload size of an OPT record."""
    labels = name.rstrip(".").split(".")
    question = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    opt = b"\0" + struct.pack("!HHIH", 41, edns, 0, 0) if edns else b""
    header = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, bool(edns))
    return header + question + struct.pack("!HH", kind, klass) + opt


def parse(message: bytes) -> Answer:
    """Take an answer apart; records must point back at the question for their name."""
    _, flags, questions, answers, _, additional = struct.unpack("!HHHHHH", message[:12])
    assert flags & 0x8000, "not an answer"
    assert questions == 1
    at = message.index(b"\0", 12) + 5
    question = message[12:at]
    addresses, ttls = [], []
    for _ in range(answers):
        pointer, kind, klass, ttl, length = struct.unpack("!HHHIH", message[at : at + 12])
        assert (pointer, kind, klass, length) == (0xC00C, 1, 1, 4)
        addresses.append(socket.inet_ntoa(message[at + 12 : at + 16]))
        ttls.append(ttl)
        at += 16
    assert len(message) == at + 11 * additional, "bytes are left over"
    return Answer(
        flags & 15, bool(flags & 0x200), question, tuple(addresses), tuple(ttls), bool(additional)
    )


def resolve(server: tuple[str, int], name: str, kind: int = 1, *, edns: int = 0) -> Answer:
    """Ask over UDP; TimeoutError when there is no answer within a second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1.0)
        sock.sendto(query(name, kind, edns=edns), server)
        return parse(sock.recv(65535))
