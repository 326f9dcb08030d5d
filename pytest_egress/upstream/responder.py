"""Tells from the first bytes what a connection speaks, and answers in that protocol."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_egress.received import ClientCertificate
from pytest_egress.upstream import forward, hello, http1, proxy_header
from pytest_egress.upstream.conduct import (
    Banner,
    ClientAuth,
    Conduct,
    Echo,
    Effect,
    Forward,
    Hang,
    Refuse,
    Reset,
    Silent,
)
from pytest_egress.upstream.link import Link, peer_left
from pytest_egress.upstream.tenants import Tenants
from pytest_egress.upstream.tunnel import inside

if TYPE_CHECKING:
    import ssl

__all__ = ["Conversation"]

_REQUEST_LINE = re.compile(rb"[A-Z][A-Z0-9_-]* \S+ HTTP/1\.[01]\r?\n")
_UNFINISHED = re.compile(rb"[A-Z][A-Z0-9_-]*( [^\n]*)?")
_PREFACE = b"PRI * HTTP/2.0\r\n"
_PROBE = re.compile(rb"EGRESS-PROBE ([0-9a-fA-F]{32})\r\n")
_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]*)", re.IGNORECASE)
_PATIENCE = 0.2  # seconds that a line which has begun like a request may take to end
_LONGEST_LINE = 65536
_HANDSHAKE = 0x16


class Conversation(Link):
    """A connection that is answered in whatever it speaks, or as a script says."""

    def run(self) -> None:
        """Serve until the connection ends."""
        try:
            _converse(self)
        except OSError as error:
            # The peer's doing (it went away, or refused the certificate), or the script's.
            if self._heard_enough(error):
                return
            self.record.problem = self.record.problem or f"{type(error).__name__}: {error}"

    def _heard_enough(self, error: OSError) -> bool:
        """Whether it is the peer that left, after we had begun to talk."""
        spoken = self.record.protocol.removeprefix("tls").lstrip("+")
        return peer_left(error) and not self.aborted and bool(spoken) and "forward" not in spoken


def _converse(link: Link) -> None:
    effect = link.effect()
    conduct = effect.conduct
    if _ended(link, conduct, patience=0.1):
        return
    if isinstance(conduct, (Banner, Echo)):
        link.speaks("tcp")
        link.delay()
        if isinstance(conduct, Banner):
            link.sock.sendall(conduct.data)
        _raw(link, _first_line(link, link.receive()))
    elif isinstance(conduct, Forward) and not conduct.tls_terminate:
        forward.forward(link, conduct)
    else:
        source = proxy_header.take(link.sock)
        if source is not None:
            link.record.proxied_for = source
        first = link.sock.recv(1, socket.MSG_PEEK)
        if first and first[0] == _HANDSHAKE:
            _tls(link)
        elif first:
            data = link.sock.recv(65536)
            if isinstance(conduct, Forward):
                forward.forward(link, conduct, data)
            else:
                _plain(link, data)


def _ended(link: Link, conduct: Conduct | None, *, patience: float = 0.0) -> bool:
    """Do what ends a connection before any answer, if that is what was scripted."""
    # Refuse and Hang act on the listening socket. They are met here only where several hosts
    # share that socket, so that it can do neither for one of them.
    if isinstance(conduct, (Reset, Refuse)):
        link.reset(patience=patience)
    elif isinstance(conduct, (Silent, Hang)):
        link.silence()
    else:
        return False
    return True


def _tls(link: Link) -> None:
    record = hello.peek(link.sock)
    sni = hello.server_name(record)
    link.record.sni = sni
    effect = link.effect(sni)
    conduct = effect.conduct
    if _ended(link, conduct):
        return
    if isinstance(conduct, Forward) and not conduct.tls_terminate:
        forward.forward(link, conduct)
        return
    context = _context(link, effect)
    tls = context.wrap_socket(link.sock, server_side=True, do_handshake_on_connect=False)
    link.sock = tls
    tls.do_handshake()
    if hasattr(socket, "TCP_QUICKACK"):
        # The handshake ends with the client's message, and nothing is sent in return: a client
        # that leaves Nagle's algorithm on would wait 40 ms for the acknowledgement.
        with contextlib.suppress(OSError):  # it is a tunnel's end, and not TCP
            tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    link.tls = True
    link.speaks("tls")
    presented = tls.getpeercert(binary_form=True)
    if presented:
        link.record.client_certificate = ClientCertificate.from_der(presented)
    if isinstance(conduct, Forward):
        forward.forward(link, conduct)
    elif tls.selected_alpn_protocol() == "h2":
        _http2(link, b"")
    else:
        data = link.sock.recv(65536)
        if data:
            _plain(link, data)


def _context(link: Link, effect: Effect) -> ssl.SSLContext:
    """Return what a handshake is made with: our certificate, and how the client's is asked for."""
    site, sni = link.site, link.record.sni
    names = link.names(sni)
    identities = effect.certificate.names
    if not identities and sni:
        # A server that does not know the name shows the certificate that it has.
        own = names if any(link.tenants) else site.zone.told_of(link.place)
        identities = (sni,) if sni in own else (sni, *own)
    elif not identities:
        identities = (*names, *filter(None, [link.address]))
    clients = effect.clients
    if clients is None and site.clients.expected(names):
        clients = ClientAuth(required=False)
    if clients is not None and not clients.authorities:
        clients = replace(clients, authorities=site.authority.ca_pem + site.clients.known)
    return site.authority.context(identities, effect.certificate.kind, clients)


def _plain(link: Link, data: bytes) -> None:
    """Serve what is not TLS, or what has come out of it; ``data`` is its beginning."""
    data = _first_line(link, data)
    if data.startswith(_PREFACE):
        _http2(link, data)
        return
    if not _REQUEST_LINE.match(data):
        link.speaks("tcp")
        link.keep(data)
        link.delay()
        _raw(link, data)
        return
    conduct = link.effect(_host(data)).conduct
    if isinstance(conduct, Forward) and conduct.tls_terminate >= link.tls:
        forward.forward(link, conduct, data)
        return
    link.speaks("http/1.1")
    tunnel = http1.serve(link, data)
    if tunnel is not None:
        link.tenants = Tenants((tunnel,))
        with inside(link):
            _converse(link)


def _http2(link: Link, data: bytes) -> None:
    from pytest_egress.upstream import http2

    link.speaks("h2")
    http2.serve(link, data)


def _first_line(link: Link, data: bytes) -> bytes:
    """Return ``data`` and what follows, to the end of its line if it looks like a request's."""
    try:
        while _UNFINISHED.fullmatch(data) and len(data) < _LONGEST_LINE:
            link.sock.settimeout(_PATIENCE)
            with contextlib.suppress(TimeoutError):
                more = link.sock.recv(65536)
                if more:
                    data += more
                    continue
            break
    finally:
        link.sock.settimeout(None)
    return data


def _host(data: bytes) -> str:
    """Return the host of a request whose beginning is ``data``; empty if it is not in there."""
    found = _HOST.search(data)
    return http1.bare_host(found[1].decode("latin-1").strip()) if found else ""


def _raw(link: Link, data: bytes) -> None:
    """Sign the nonce of a probe line, then echo."""
    probe = _PROBE.match(data)
    if probe:
        signature = link.site.sign(probe[1].decode("ascii"))
        data = data[probe.end() :]
        link.sock.sendall(f"EGRESS-UPSTREAM {signature}\r\n".encode("ascii") + data)
        data = link.receive()
    while data:
        link.sock.sendall(data)
        data = link.receive()
