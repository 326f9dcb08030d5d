"""What a test tells one upstream to do: the object behind ``outside.host(...)``."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

from pytest_egress.received import Request
from pytest_egress.upstream import conduct as c
from pytest_egress.upstream.arguments import (
    answering_of,
    as_bytes,
    check_authorities,
    check_choice,
    check_headers,
    check_names,
    check_seconds,
    check_server,
    check_status,
    check_times,
)
from pytest_egress.upstream.names import check_address, is_address
from pytest_egress.upstream.record import Connection
from pytest_egress.upstream.rules import Budget, Scope, Script

__all__ = ["Stage", "Upstream"]


class Stage(Protocol):
    """What a script acts on: the outside, as far as `Upstream` knows it."""

    @property
    def requests(self) -> list[Request]:
        """Every request that arrived."""
        ...

    @property
    def connections(self) -> list[Connection]:
        """Every connection that was accepted."""
        ...

    def addresses_of(self, host: str) -> tuple[str, ...]:
        """Every address that a host has at any time."""
        ...

    def change(self, scope: Scope, edit: Callable[[Script], Script] | None) -> None:
        """Change what ``scope`` was told; None forgets it."""
        ...

    def wait(self, done: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``done()`` holds, asked whenever something arrives; return whether it does."""
        ...


class Upstream:
    """One host of the simulated outside, or one port or address of it.

    Each method returns the upstream it was called on, so that calls can be chained. What is told
    holds until `clear`, `Outside.reset` or a later call that replaces it: `refuse`, `hang`,
    `silent`, `reset`, `banner`, `echo`, `to` and `respond` replace each other; `delay`, `fail`,
    `certificate`, `client_certificate`, `grpc_status` and all that is told a number of ``times``
    go along with what the upstream does otherwise.

    Each method raises ValueError for an argument that it cannot use.
    """

    def __init__(self, stage: Stage, scope: Scope) -> None:
        self._stage = stage
        self._scope = scope

    def __repr__(self) -> str:
        port = "" if self._scope.port is None else f", {self._scope.port}"
        address = f".address({self._scope.address!r})" if self._scope.address else ""
        return f"host({self._scope.host!r}{port}){address}"

    def address(self, address: str) -> Upstream:
        """Return the part of this upstream at one of its addresses."""
        wanted = check_address(address)
        known = self._stage.addresses_of(self._scope.host)
        if wanted not in known:
            raise ValueError(
                f"{self!r} has no address {address!r}: expected one of {', '.join(known) or 'none'}"
                " (give it some with addresses() first)"
            )
        return Upstream(self._stage, Scope(self._scope.host, self._scope.port, wanted))

    # Names

    def addresses(self, *addresses: str) -> Upstream:
        """Let the name resolve to these IPv4 addresses, all at once; each is a place of its own."""
        if not addresses:
            raise ValueError("expected one IPv4 address or more, such as '203.0.113.10'")
        return self.lookups(addresses)

    def lookups(self, *answers: Iterable[str]) -> Upstream:
        """Let the name resolve to the first answer, then the second, and so on (TTL 1 second).

        The last answer stays. An empty answer is NOERROR without records. The pod and the proxy
        have their own turns. A single answer is a constant one (TTL 300 seconds).
        """
        if not answers or any(isinstance(answer, str) for answer in answers):
            raise ValueError(
                f"expected lists of IPv4 addresses, such as ['203.0.113.10'], got {answers!r}"
            )
        checked = tuple(
            tuple(dict.fromkeys(check_address(address, v4=True) for address in answer))
            for answer in answers
        )
        return self._resolves(c.Lookup(0, checked))

    def nxdomain(self) -> Upstream:
        """Let lookups say that the name does not exist (NXDOMAIN)."""
        return self._resolves(c.Lookup(3))

    def servfail(self) -> Upstream:
        """Let lookups fail (SERVFAIL)."""
        return self._resolves(c.Lookup(2))

    def dns_timeout(self) -> Upstream:
        """Let lookups go without an answer."""
        return self._resolves(c.Lookup(None))

    # Connections

    def refuse(self) -> Upstream:
        """Refuse connections: ECONNREFUSED, since nobody listens."""
        return self._does(c.Refuse())

    def hang(self) -> Upstream:
        """Let connect go without an answer until its own timeout.

        The accept queue is kept full; Linux and macOS drop further SYNs then. The client's kernel
        repeats its SYN after 1, 3, 7 seconds, so a connect that began under `hang` succeeds some
        time after `clear`.
        """
        return self._does(c.Hang())

    def silent(self) -> Upstream:
        """Accept connections and read from them, but never send a byte."""
        return self._does(c.Silent())

    def reset(self, times: int | None = None) -> Upstream:
        """Reset (RST) each connection after its first bytes, or 0.1 s when none come.

        With ``times``, reset the connections of the next so many HTTP requests, each after its
        request has come, then go on as otherwise.
        """
        return self._does(c.Reset()) if times is None else self._fails(c.Reset(), times)

    def banner(self, data: bytes | str) -> Upstream:
        """Speak first, as SMTP or MySQL does: send ``data`` to each connection, then echo."""
        if not isinstance(data, (bytes, str)) or not data:
            raise ValueError(rf"expected bytes such as b'220 mail\r\n', got {data!r}")
        return self._does(c.Banner(as_bytes(data)))

    def echo(self) -> Upstream:
        """Echo bytes, whatever protocol they look like (a probe's line is still signed)."""
        return self._does(c.Echo())

    def to(self, server: object, *, tls_terminate: bool = False) -> Upstream:
        """Let a server, an application or recorded answers of your own stand here.

        An application and cassettes answer the HTTP requests that come here, over TLS or not:
        they are recorded, and `fail`, `delay` and `certificate` go along with them. An answer is
        gathered before it is sent. ASGI applications are started with their first request and
        shut down when this no longer holds; what fails is answered 500 and logged.

        Args:
            server: ``"127.0.0.1:8080"``, ``(host, port)``, or anything with ``.host`` and
                ``.port``, such as an ``HTTPServer`` of pytest-httpserver, to which connections are
                passed on; a WSGI or ASGI application; the path of a VCR cassette, or of a
                directory of them.
            tls_terminate: of a server: end TLS here and pass on what was in it; without, TLS goes
                through untouched.
        """
        answering = answering_of(server)
        if answering is not None:
            return self._does(c.Serve(answering))
        host, port = check_server(server)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ValueError(
                f"expected a server that can be resolved, got {host!r}: {error}"
            ) from (error)
        # IPv4 first: servers that are told "localhost" mostly listen there alone.
        found.sort(key=lambda item: item[0] != socket.AF_INET)
        addresses = tuple(dict.fromkeys((str(item[4][0]), port) for item in found))
        return self._does(c.Forward(addresses, tls_terminate=bool(tls_terminate)))

    # Answers

    def respond(
        self,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes | str = b"",
    ) -> Upstream:
        """Answer HTTP requests with this status, these headers and this body."""
        if not isinstance(body, (bytes, str)):
            raise ValueError(f"expected a body of bytes or str, got {body!r}")  # noqa: TRY004
        answer = c.Respond(check_status(status), check_headers(headers or {}), as_bytes(body))
        return self._does(answer)

    def fail(self, status: int = 503, times: int = 1) -> Upstream:
        """Answer the next ``times`` HTTP requests with ``status``, then go on as otherwise."""
        return self._fails(check_status(status), times)

    def grpc_status(
        self, status: int | str, message: str = "", times: int | None = None
    ) -> Upstream:
        """End gRPC calls, all or the next ``times``, with a status: ``"UNAVAILABLE"`` or 14."""
        if isinstance(status, str):
            check_choice("a gRPC status", status, c.GRPC_STATUS)
            code = c.GRPC_STATUS.index(status)
        elif isinstance(status, int) and 0 <= status < len(c.GRPC_STATUS):
            code = int(status)
        else:
            raise ValueError(f"expected a gRPC status such as 'UNAVAILABLE' or 14, got {status!r}")
        told = c.Grpc(code, str(message))
        if times is not None:
            return self._fails(told, times)
        return self._change(lambda script: _answering(replace(script, grpc=told)))

    def delay(self, seconds: float, times: int | None = None) -> Upstream:
        """Wait so many seconds before each answer, or before the next ``times`` answers.

        On a raw connection, that is before the first.
        """
        delays = Budget(check_seconds(seconds), None if times is None else check_times(times))
        return self._change(lambda script: replace(script, delays=delays))

    def certificate(self, kind: str = "valid", names: Iterable[str] = ()) -> Upstream:
        """Choose the TLS certificate.

        Args:
            kind: ``valid``; ``expired`` (yesterday); ``wrong-name`` (for another host);
                ``unknown-ca`` (issued by a CA that nobody was told of).
            names: the host names, wildcards and IP addresses that it is for; without, the server
                name that the client sends and the hosts that stand here.
        """
        check_choice("a certificate", kind, c.CERTIFICATES)
        shown = c.Shown(cast("c.Certificate", kind), check_names(names))
        return self._change(lambda script: replace(script, certificate=shown))

    def client_certificate(
        self, *, required: bool = True, ca_file: str | Path | None = None
    ) -> Upstream:
        """Ask TLS clients for a certificate; `Request.client_certificate` is what they present.

        A certificate that the contract names (``tls.mode: MUTUAL``) is asked for without this.

        Args:
            required: refuse clients that have none.
            ca_file: PEM of the CAs that may have issued it; others are refused. Without, that is
                the outside's own CA, and any certificate that the contract names or a probe sends.
        """
        authorities = "" if ca_file is None else check_authorities(ca_file)
        told = c.ClientAuth(bool(required), authorities)
        return self._change(lambda script: replace(script, clients=told))

    def clear(self) -> Upstream:
        """Forget what this upstream (this host, port and address exactly) was told."""
        self._stage.change(self._scope, None)
        return self

    # What it saw

    @property
    def requests(self) -> list[Request]:
        """The HTTP requests that arrived here, the first first.

        Where several hosts share an address, those that named this one (Host, SNI).
        """
        return [
            request
            for request in self._stage.requests
            if self._scope.covers(request.names, request.address, request.port)
        ]

    @property
    def count(self) -> int:
        """How many HTTP requests there are in `requests`; each attempt of a retry is one."""
        return len(self.requests)

    @property
    def count_by_address(self) -> dict[str, int]:
        """`count` by the address that was dialled; addresses without a request are left out."""
        return dict(Counter(request.address or "" for request in self.requests))

    def wait_for_requests(self, count: int = 1, timeout: float = 5.0) -> list[Request]:
        """Return `requests` once there are ``count`` of them.

        For what comes later than the answer: a mirrored request, or one that the proxy gave up.

        Raises:
            TimeoutError: they have not come within ``timeout`` seconds.
        """
        if not self._stage.wait(lambda: self.count >= count, timeout):
            raise TimeoutError(
                f"{self!r} has seen {self.count} of {count} HTTP requests within {timeout} s"
            )
        return self.requests

    @property
    def connections(self) -> list[Connection]:
        """The connections that arrived here, or were used again, the first first."""
        return [
            connection
            for connection in self._stage.connections
            if self._scope.covers(connection.names, connection.address, connection.port)
        ]

    def _resolves(self, lookup: c.Lookup) -> Upstream:
        if self._scope != Scope(self._scope.host):
            raise ValueError(
                f"{self!r}: a lookup knows no port and no address; "
                f"expected host({self._scope.host!r})"
            )
        if is_address(self._scope.host):
            raise ValueError(f"{self!r} is an address: expected a name to resolve")
        return self._change(lambda script: replace(script, lookup=lookup))

    def _does(self, conduct: c.Conduct) -> Upstream:
        return self._change(lambda script: replace(script, conduct=conduct))

    def _fails(self, failure: c.Failure, times: int) -> Upstream:
        failures = Budget(failure, check_times(times))
        return self._change(lambda script: _answering(replace(script, failures=failures)))

    def _change(self, edit: Callable[[Script], Script]) -> Upstream:
        self._stage.change(self._scope, edit)
        return self


def _answering(script: Script) -> Script:
    """Let requests be answered again: what was told now would have no effect otherwise."""
    keep = isinstance(script.conduct, (c.Respond, c.Serve))
    return script if keep else replace(script, conduct=None)
