"""How an attempt is made: everything about a probe that is not its destination."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from .errors import ProbeOptionError
from .target import is_address

__all__ = ["FAMILIES", "HTTP_VERSIONS", "Options"]

HTTP_VERSIONS = ("1.0", "1.1", "2")
FAMILIES = ("any", "ipv4", "ipv6")
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _nonce() -> str:
    return os.urandom(16).hex()


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of one attempt; every default is that of an ordinary client.

    Attributes:
        method: request method; not CONNECT, which speaks to a proxy.
        headers: further request headers, in order; they replace the probe's own of the same name.
        body: request body; for ``grpc`` with a path of its own, the request message.
        http_version: ``1.0``, ``1.1`` or ``2``. None: what ALPN selected, else 1.1. ``2`` means
            prior knowledge (RFC 9113 3.3) for ``http`` and ALPN ``h2`` for ``https``.
        host_header: value of ``Host`` / ``:authority``; None: the target's.
        sni: server name sent in the TLS handshake; None: the target's host, empty: none is sent.
        verify_name: name or address that the certificate must carry; None: the target's host.
        address: IP address to connect to instead of looking the host up.
        family: addresses to ask for: ``any``, ``ipv4`` or ``ipv6``.
        ca_file: PEM file of the trusted CAs; None: the prober's, else the system's.
        verify: whether the certificate's chain and name are checked.
        alpn: protocols offered, in order; None: what the HTTP version needs.
        client_cert: PEM file of the client's certificate chain.
        client_key: PEM file of its key; None: it is in ``client_cert``.
        grpc_service: service name of the health check; empty: the server as a whole.
        payload: bytes sent on ``tcp`` (and on ``tls``, where None sends nothing). None: the probe
            line ``EGRESS-PROBE <nonce>``; empty: nothing.
        nonce: 32 hexadecimal digits that make this attempt unlike any other.
        read_first: on ``tcp`` and ``tls``, read the server's greeting before sending.
        max_body: bytes kept of a response body or raw answer; more is cut off and not read.
        quiet: seconds of silence that end a raw answer.
        connect_timeout: seconds for each TCP connection; None: what is left of ``timeout``.
        timeout: seconds for the whole attempt.

    Raises:
        ProbeOptionError: a value that no probe can honour.
    """

    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    http_version: str | None = None
    host_header: str | None = None
    sni: str | None = None
    verify_name: str | None = None
    address: str | None = None
    family: str = "any"
    ca_file: str | None = None
    verify: bool = True
    alpn: tuple[str, ...] | None = None
    client_cert: str | None = None
    client_key: str | None = None
    grpc_service: str = ""
    payload: bytes | None = None
    nonce: str = field(default_factory=_nonce)
    read_first: bool = False
    max_body: int = 1 << 20
    quiet: float = 0.2
    connect_timeout: float | None = None
    timeout: float = 5.0

    def __post_init__(self) -> None:
        if not self.method or not _TOKEN.issuperset(self.method):
            raise ProbeOptionError(f"method {self.method!r}: expected an HTTP token such as GET")
        if self.method.upper() == "CONNECT":
            raise ProbeOptionError("method CONNECT speaks to a proxy; probe its target instead")
        for name, value in self.headers:
            if not name or not _TOKEN.issuperset(name):
                raise ProbeOptionError(f"header name {name!r}: expected an HTTP token")
            _check_value(f"header {name}", value)
        if self.http_version is not None:
            _check_choice("http_version", self.http_version, HTTP_VERSIONS)
        _check_choice("family", self.family, FAMILIES)
        if self.host_header is not None:
            _check_value("host_header", self.host_header)
        if self.sni and (
            any(ch <= " " or ch > "~" for ch in self.sni)
            or any(not 0 < len(x) < 64 for x in self.sni.split("."))
        ):
            raise ProbeOptionError(f"sni {self.sni!r}: expected an ASCII name, no dot at its ends")
        if self.address is not None and not is_address(self.address):
            raise ProbeOptionError(f"address {self.address!r}: expected an IP address")
        if any(not 0 < len(name.encode()) < 256 for name in self.alpn or ()):
            raise ProbeOptionError(f"alpn {self.alpn!r}: expected names of 1 to 255 bytes")
        if self.client_key is not None and self.client_cert is None:
            raise ProbeOptionError("client_key: expected client_cert with it")
        if len(self.nonce) != 32 or not frozenset("0123456789abcdef").issuperset(self.nonce):
            raise ProbeOptionError(f"nonce {self.nonce!r}: expected 32 lower-case hex digits")
        if self.max_body < 0:
            raise ProbeOptionError(f"max_body {self.max_body}: expected 0 or more bytes")
        for label, seconds in (
            ("quiet", self.quiet),
            ("connect_timeout", self.connect_timeout),
            ("timeout", self.timeout),
        ):
            # The upper bound keeps the kernel's own arithmetic from overflowing.
            if seconds is not None and not 0 < seconds <= 86_400:
                raise ProbeOptionError(f"{label} {seconds!r}: expected 0 < seconds <= 86400")


def _check_value(label: str, value: str) -> None:
    if any(ch in "\r\n\0" or ord(ch) > 255 for ch in value):
        raise ProbeOptionError(f"{label} {value!r}: expected Latin-1 text on one line")


def _check_choice(label: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ProbeOptionError(f"{label} {value!r}: expected one of {', '.join(choices)}")
