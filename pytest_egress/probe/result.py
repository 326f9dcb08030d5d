"""What an attempt found: the values that a verdict is drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "FAILURE_KINDS",
    "NO_HEADERS",
    "STAGES",
    "Attempt",
    "DnsAnswer",
    "Failure",
    "Headers",
    "Response",
    "TlsInfo",
]

STAGES = ("dns", "tcp", "tls", "http", "grpc")
FAILURE_KINDS = (
    "rcode",
    "refused",
    "reset",
    "eof",
    "timeout",
    "tls-alert",
    "tls-verify",
    "protocol",
    "unreachable",
    "os",
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last stage did not complete.

    Attributes:
        kind: ``rcode`` (the name lookup gave no address), ``refused``, ``reset`` (RST, also
            HTTP/2 RST_STREAM and GOAWAY), ``eof`` (closed too early), ``timeout``, ``tls-alert``
            (the peer refused the handshake), ``tls-verify`` (we refused its certificate),
            ``protocol`` (it spoke something else), ``unreachable`` (no route) or ``os``.
        message: one sentence with the particulars.
    """

    kind: str
    message: str


class Headers(tuple[tuple[str, str], ...]):
    """Header fields as received, in order; names compare without regard to case."""

    __slots__ = ()

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a field, else the default."""
        wanted = name.lower()
        return next((value for key, value in self if key.lower() == wanted), default)

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return every value of a field, in order."""
        wanted = name.lower()
        return tuple(value for key, value in self if key.lower() == wanted)


NO_HEADERS = Headers()


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """The answer to one name lookup.

    Attributes:
        name: the name that was asked for.
        rcode: ``NOERROR``, ``NXDOMAIN``, ``SERVFAIL``, ``REFUSED``, ... as in RFC 1035 and RFC
            6895, or what stood in an answer's place: ``TIMEOUT``, ``UNREACHABLE``, ``MALFORMED``.
        addresses: the addresses, in the resolver's order; may be empty with NOERROR.
        cnames: the aliases that were followed, in order.
        ttl: least time to live in seconds of the records used; None: not known.
        elapsed: seconds the lookup took.
    """

    name: str
    rcode: str
    addresses: tuple[str, ...] = ()
    cnames: tuple[str, ...] = ()
    ttl: int | None = None
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What the TLS handshake agreed on, as far as it went.

    Attributes:
        version: such as ``TLSv1.3``; None: the handshake did not finish.
        alpn: the selected protocol; None: none.
        cipher: OpenSSL's name of the cipher suite; None: the handshake did not finish.
        certificate: the peer's certificate, DER; None: not obtained.
        subject: its subject as ``CN=..., O=...``.
        sans: its subject alternative names: DNS names, addresses and URIs as plain text.
        issuer: its issuer, written like the subject.
        verified: whether chain and name were both checked and found good.
    """

    version: str | None = None
    alpn: str | None = None
    cipher: str | None = None
    certificate: bytes | None = None
    subject: str = ""
    sans: tuple[str, ...] = ()
    issuer: str = ""
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; partial where the attempt's failure says so.

    Attributes:
        status: the status code; informational (1xx) responses are skipped, 101 is not.
        reason: the reason phrase of HTTP/1.x, else empty.
        headers: the header fields.
        body: the content without its transfer coding, at most ``Options.max_body`` bytes.
        http_version: ``1.0``, ``1.1`` or ``2``.
        trailers: the trailer fields.
        truncated: whether the body is shorter than what was, or would have been, sent.
        grpc_status: gRPC's status code; None: none was sent.
        grpc_message: its percent-decoded message.
        serving: the health check's answer (``SERVING``, ``NOT_SERVING``, ...); None: none.
    """

    status: int
    reason: str = ""
    headers: Headers = NO_HEADERS
    body: bytes = b""
    http_version: str = "1.1"
    trailers: Headers = NO_HEADERS
    truncated: bool = False
    grpc_status: int | None = None
    grpc_message: str = ""
    serving: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """The record of one attempt.

    Attributes:
        target: the destination, as a URL.
        stage: the furthest stage that was entered: ``dns``, ``tcp``, ``tls``, ``http``, ``grpc``.
        completed: whether that stage is the target's last one and its exchange completed.
        failure: why not; None exactly if completed.
        dns: the name lookup; None: there was none (an address was given).
        address: address and port of the last connection tried.
        tls: the handshake; None: it was not reached, or nothing of it is known.
        response: the HTTP response, partial if there is a failure.
        received: raw bytes received on ``tcp`` or ``tls``.
        timings: seconds spent in each stage entered.
        nonce: the nonce of the options.
    """

    target: str
    stage: str
    completed: bool
    failure: Failure | None = None
    dns: DnsAnswer | None = None
    address: tuple[str, int] | None = None
    tls: TlsInfo | None = None
    response: Response | None = None
    received: bytes = b""
    timings: Mapping[str, float] = field(default_factory=dict)
    nonce: str = ""
