"""One attempt, stage by stage: dns, tcp, tls, then http or grpc."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from .options import Options
from .raw import exchange as raw_exchange
from .raw import probe_line
from .resolver import Resolver, SystemResolver
from .result import Attempt, DnsAnswer, Failure, Response, TlsInfo
from .target import Target, is_address
from .tls import ContextCache, handshake, offered_protocols
from .wire import Deadline, StageFailure, Wire, failure_from

__all__ = ["Dial", "Prober", "attempt", "connect"]

Dial = Callable[[str, int, float], socket.socket]
"""Opens a TCP connection, or what stands for one: (IP address, port, timeout in seconds)."""

_FAMILIES = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


def connect(
    address: str,
    port: int,
    timeout: float,
    *,
    bind: Callable[[socket.socket], object] | None = None,
) -> socket.socket:
    """Open a plain TCP connection: the default dial.

    Args:
        address: an IP address.
        port: its port.
        timeout: seconds.
        bind: binds the socket to a source address; None: the kernel does.

    Raises:
        OSError: it cannot be opened; TimeoutError after ``timeout`` seconds.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        if bind is not None:
            bind(sock)
        sock.connect((address, port))
        # HTTP/2 answers small frames with small frames; they must not wait for each other.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def attempt(
    target: Target,
    options: Options | None = None,
    *,
    dial: Dial = connect,
    resolver: Resolver | None = None,
) -> Attempt:
    """Make one attempt; for more than one, a ``Prober`` keeps what is dear to make.

    Raises:
        ProbeOptionError: a certificate file that cannot be used.
    """
    return Prober(dial, resolver).attempt(target, options)


class Prober:
    """Makes attempts; may be used by several threads at once.

    Args:
        dial: how connections are opened.
        resolver: how names are looked up; None: by the system.
        ca_file: PEM file of the CAs trusted where an attempt names none; None: the system's.
    """

    __slots__ = ("_contexts", "_dial", "_resolver")

    def __init__(
        self, dial: Dial = connect, resolver: Resolver | None = None, *, ca_file: str | None = None
    ) -> None:
        self._dial = dial
        self._resolver: Resolver = SystemResolver() if resolver is None else resolver
        self._contexts = ContextCache(ca_file)

    def attempt(self, target: Target, options: Options | None = None) -> Attempt:
        """Make one attempt on a connection of its own, which is closed at its end.

        A failure of the network is part of the result, never an exception.

        Raises:
            ProbeOptionError: a certificate file that cannot be used.
        """
        run = _Run(self._dial, self._resolver, self._contexts, target, options or Options())
        return run.result()


class _Run:
    """The state of one attempt while it is being made."""

    def __init__(
        self,
        dial: Dial,
        resolver: Resolver,
        contexts: ContextCache,
        target: Target,
        options: Options,
    ) -> None:
        self.dial = dial
        self.resolver = resolver
        self.contexts = contexts
        self.target = target
        self.options = options
        self.deadline = Deadline(options.timeout)
        self.stage = ""
        self.entered = 0.0
        self.timings: dict[str, float] = {}
        self.dns: DnsAnswer | None = None
        self.address: tuple[str, int] | None = None
        self.tls: TlsInfo | None = None
        self.response: Response | None = None
        self.received = b""

    def result(self) -> Attempt:
        failure: Failure | None = None
        try:
            self._perform()
        except StageFailure as error:
            failure = Failure(error.kind, error.message)
            self.tls = error.tls or self.tls
            self.response = error.response or self.response
            self.received = error.received or self.received
        self._leave()
        return Attempt(
            str(self.target),
            self.stage,
            failure is None,
            failure,
            self.dns,
            self.address,
            self.tls,
            self.response,
            self.received,
            self.timings,
            self.options.nonce,
        )

    def _enter(self, stage: str) -> None:
        self._leave()
        self.stage = stage
        self.entered = time.monotonic()

    def _leave(self) -> None:
        if self.stage:
            self.timings[self.stage] = time.monotonic() - self.entered

    def _perform(self) -> None:
        # A bad certificate file is the caller's error: say so before anything is sent.
        context = None
        if self.target.secure:
            protocols = offered_protocols(self.target, self.options)
            context = self.contexts.get(self.options, protocols)
        addresses = self._lookup()
        self._enter("tcp")
        wire = Wire(self._connect(addresses), self.deadline)
        try:
            if context is not None:
                self._enter("tls")
                wire.sock, self.tls = handshake(
                    wire.sock, context, self.target, self.options, self.deadline
                )
            self._exchange(wire)
        finally:
            wire.close()

    def _lookup(self) -> tuple[str, ...]:
        if self.options.address is not None:
            return (self.options.address,)
        if is_address(self.target.host):
            return (self.target.host,)
        self._enter("dns")
        left = self.deadline.remaining("looking the name up")
        family = _FAMILIES[self.options.family]
        self.dns = answer = self.resolver.lookup(self.target.host, family, left)
        if answer.addresses:
            return answer.addresses
        if answer.rcode == "TIMEOUT":
            raise StageFailure("timeout", f"timed out looking up {answer.name}")
        what = "NOERROR without addresses" if answer.rcode == "NOERROR" else answer.rcode
        raise StageFailure("rcode", f"{what} looking up {answer.name}")

    def _connect(self, addresses: tuple[str, ...]) -> socket.socket:
        failure: StageFailure | None = None
        for address in addresses:
            where = f"[{address}]" if ":" in address else address
            doing = f"connecting to {where}:{self.target.port}"
            try:
                left = self.deadline.remaining(doing)
                self.address = (address, self.target.port)
                return self.dial(
                    address, self.target.port, min(left, self.options.connect_timeout or left)
                )
            except StageFailure as error:
                # Out of time: the failure of an address that was tried says more.
                raise (failure or error) from None
            except OSError as error:
                failure = failure_from(error, doing)
        if failure is None:
            raise StageFailure("unreachable", "no address to connect to")
        raise failure

    def _exchange(self, wire: Wire) -> None:
        target, options = self.target, self.options
        if target.scheme == "tcp":
            payload = probe_line(options.nonce) if options.payload is None else options.payload
            self.received = raw_exchange(wire, options, payload=payload)
        elif target.scheme == "tls":
            if options.payload is not None or options.read_first:
                self.received = raw_exchange(wire, options, payload=options.payload or b"")
        elif target.scheme in {"grpc", "grpcs"}:
            from . import grpc

            self._enter("grpc")
            self._require_h2()
            self.response = grpc.exchange(wire, target, options)
        else:
            self._enter("http")
            self.response = self._http(wire)

    def _require_h2(self) -> None:
        if self.tls is not None and self.tls.alpn != "h2":
            raise StageFailure(
                "protocol", f"the peer did not agree to HTTP/2: ALPN {self.tls.alpn or 'none'}"
            )

    def _http(self, wire: Wire) -> Response:
        from . import http1

        target, options = self.target, self.options
        selected = self.tls.alpn if self.tls is not None else None
        if options.http_version == "2":
            self._require_h2()
        elif selected != "h2":
            return http1.exchange(wire, target, options)
        from . import http2

        headers = http1.request_headers(target, options)
        hosts = [value for name, value in headers if name.lower() == "host"]
        pseudo = [
            (":method", options.method),
            (":scheme", target.scheme),
            (":authority", hosts[0]),
            (":path", target.path or "/"),
        ]
        return http2.exchange(wire, pseudo, headers, options.body, max_body=options.max_body)
