"""The TLS stage: contexts that are made once, the handshake, and what it revealed."""

from __future__ import annotations

import os
import socket
import ssl
from typing import NamedTuple

from .errors import ProbeOptionError
from .options import Options
from .result import TlsInfo
from .target import Target, is_address
from .wire import Deadline, StageFailure, failure_from
from .x509 import Certificate, matches, parse

__all__ = ["ContextCache", "handshake", "offered_protocols"]


_ENCODING_DER = 2  # as in the _ssl module


class _Key(NamedTuple):
    ca_file: str | None
    verify: bool
    alpn: tuple[str, ...]
    client_cert: str | None
    client_key: str | None
    stamps: tuple[tuple[int, int], ...]


class ContextCache:
    """TLS contexts by their settings; reading the system's CAs takes some 10 ms each time."""

    __slots__ = ("_contexts", "ca_file")

    def __init__(self, ca_file: str | None = None) -> None:
        self.ca_file = ca_file
        self._contexts: dict[_Key, ssl.SSLContext] = {}

    def get(self, options: Options, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """Return the context for these settings; a file that was rewritten is read again.

        Raises:
            ProbeOptionError: a certificate file that cannot be used.
        """
        ca_file = options.ca_file or self.ca_file
        files = (ca_file, options.client_cert, options.client_key)
        stamps = tuple(_stamp(file) for file in files if file)
        key = _Key(ca_file, options.verify, alpn, options.client_cert, options.client_key, stamps)
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = _context(key)
        return context


def offered_protocols(target: Target, options: Options) -> tuple[str, ...]:
    """Return the ALPN protocols to offer: the options', else what the HTTP version needs."""
    if options.alpn is not None:
        return options.alpn
    if target.scheme == "grpcs" or (target.scheme == "https" and options.http_version == "2"):
        return ("h2",)
    return ("http/1.1",) if target.scheme == "https" else ()


def handshake(
    sock: socket.socket,
    context: ssl.SSLContext,
    target: Target,
    options: Options,
    deadline: Deadline,
) -> tuple[ssl.SSLSocket, TlsInfo]:
    """Wrap a connected socket (of any family) and shake hands.

    The chain is verified by OpenSSL within the handshake, the name by us after it: only so can
    SNI and the verified name differ, and a wrong name be reported with its certificate.

    Raises:
        StageFailure: with ``tls`` set to what is known. The socket is then closed.
    """
    doing = "during the TLS handshake"
    sni = target.name if options.sni is None else options.sni
    # OpenSSL wants a name or nothing; an address is never sent as SNI (RFC 6066 3).
    server_name = None if not sni or is_address(sni) else sni
    wrapped: ssl.SSLSocket | None = None
    try:
        sock.settimeout(deadline.remaining(doing))
        wrapped = context.wrap_socket(
            sock, server_hostname=server_name, do_handshake_on_connect=False
        )
        wrapped.do_handshake()
    except OSError as error:
        failure = failure_from(error, doing)
        der = _presented(wrapped) if wrapped is not None else None
        failure.tls = _info(None, der, _decoded(der), verified=False) if der else None
        (wrapped or sock).close()
        raise failure from error
    der = wrapped.getpeercert(binary_form=True)
    certificate = _decoded(der)
    name = target.name if options.verify_name is None else options.verify_name
    named = certificate is not None and matches(certificate, name)
    info = _info(wrapped, der, certificate, verified=options.verify and named)
    if options.verify and not named:
        wrapped.close()
        valid_for = ", ".join(info.sans) or "no name at all"
        failure = StageFailure(
            "tls-verify", f"certificate refused: it is for {valid_for}, not for {name}"
        )
        failure.tls = info
        raise failure
    return wrapped, info


def _stamp(file: str) -> tuple[int, int]:
    try:
        status = os.stat(file)  # noqa: PTH116 - pathlib costs more to import than this package
    except OSError as error:
        raise ProbeOptionError(f"{file}: {error.strerror}, expected a PEM file") from error
    return status.st_mtime_ns, status.st_size


def _context(key: _Key) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if key.verify else ssl.CERT_NONE
    try:
        if key.verify and key.ca_file:
            context.load_verify_locations(key.ca_file)
        elif key.verify:
            context.load_default_certs()
        if key.client_cert:
            context.load_cert_chain(key.client_cert, key.client_key)
    except OSError as error:
        files = ", ".join(filter(None, (key.ca_file, key.client_cert, key.client_key)))
        raise ProbeOptionError(f"{files}: expected PEM: {error}") from error
    if key.alpn:
        context.set_alpn_protocols(list(key.alpn))
    return context


def _presented(sock: ssl.SSLSocket) -> bytes | None:
    """Return the certificate of a handshake that failed; only newer OpenSSL still knows it."""
    # Public from Python 3.13 on, and before that a method of the object beneath.
    for holder in (sock, getattr(sock, "_sslobj", None)):
        reader = getattr(holder, "get_unverified_chain", None)
        if reader is None or getattr(sock, "_sslobj", None) is None:
            continue
        for leaf in reader() or ():
            der = leaf if isinstance(leaf, bytes) else leaf.public_bytes(_ENCODING_DER)
            return bytes(der)
    return None


def _decoded(der: bytes | None) -> Certificate | None:
    try:
        return parse(der) if der else None
    except ValueError:
        return None  # reported as a certificate without names


def _info(
    sock: ssl.SSLSocket | None,
    der: bytes | None,
    certificate: Certificate | None,
    *,
    verified: bool,
) -> TlsInfo:
    cipher = sock.cipher() if sock else None
    return TlsInfo(
        sock.version() if sock else None,
        sock.selected_alpn_protocol() if sock else None,
        cipher[0] if cipher else None,
        der,
        certificate.subject if certificate else "",
        certificate.sans if certificate else (),
        certificate.issuer if certificate else "",
        verified,
    )
