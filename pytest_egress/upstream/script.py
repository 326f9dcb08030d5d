"""What a test tells one upstream to do: the object behind ``outside.host(...)``."""

from __future__ import annotations

import difflib
import math
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, cast

from pytest_egress.upstream import conduct as c
from pytest_egress.upstream.names import check_address, check_port, is_address
from pytest_egress.upstream.record import Connection, Request
from pytest_egress.upstream.rules import Scope, Script

__all__ = ["Stage", "Upstream"]

_COMPUTED = {"content-length", "transfer-encoding", "x-egress-upstream"}


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

    def change(self, scope: Scope, edit: Callable[[Script], None] | None) -> None:
        """Change what ``scope`` was told; None forgets it."""
        ...


class Upstream:
    """One host of the simulated outside, or one port or address of it.

    Each method returns the upstream it was called on, so that calls can be chained. What is told
    holds until `clear`, `Outside.reset` or a later call that replaces it: `refuse`, `hang`,
    `silent`, `reset`, `banner`, `echo`, `to` and `respond` replace each other; `delay`, `fail`,
    `certificate` and `grpc_status` go along with what the upstream does otherwise.

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

    def reset(self) -> Upstream:
        """Reset (RST) each connection after its first bytes, or 0.1 s when none come."""
        return self._does(c.Reset())

    def banner(self, data: bytes | str) -> Upstream:
        """Speak first, as SMTP or MySQL does: send ``data`` to each connection, then echo."""
        if not isinstance(data, (bytes, str)) or not data:
            raise ValueError(rf"expected bytes such as b'220 mail\r\n', got {data!r}")
        return self._does(c.Banner(_bytes(data)))

    def echo(self) -> Upstream:
        """Echo bytes, whatever protocol they look like (a probe's line is still signed)."""
        return self._does(c.Echo())

    def to(self, server: object, *, tls_terminate: bool = False) -> Upstream:
        """Pass connections on to a server of your own.

        Args:
            server: ``"127.0.0.1:8080"``, ``(host, port)``, or anything with ``.host`` and
                ``.port``, such as an ``HTTPServer`` of pytest-httpserver.
            tls_terminate: end TLS here and pass on what was in it; without, TLS goes through
                untouched.
        """
        host, port = _server(server)
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
        answer = c.Respond(_status(status), _headers(headers or {}), _bytes(body))
        return self._does(answer)

    def fail(self, status: int = 503, times: int = 1) -> Upstream:
        """Answer the next ``times`` HTTP requests with ``status``, then go on as otherwise."""
        if not isinstance(times, int) or isinstance(times, bool) or times < 1:
            raise ValueError(f"expected how many times, 1 or more, got {times!r}")
        checked = _status(status)

        def edit(script: Script) -> None:
            script.failure, script.failures_left = checked, times
            _make_answer(script)

        return self._change(edit)

    def grpc_status(self, status: int | str, message: str = "") -> Upstream:
        """End gRPC calls with a status, such as ``"UNAVAILABLE"`` or 14."""
        if isinstance(status, str):
            _choice("a gRPC status", status, c.GRPC_STATUS)
            code = c.GRPC_STATUS.index(status)
        elif isinstance(status, int) and 0 <= status < len(c.GRPC_STATUS):
            code = int(status)
        else:
            raise ValueError(f"expected a gRPC status such as 'UNAVAILABLE' or 14, got {status!r}")

        def edit(script: Script) -> None:
            script.grpc = c.Grpc(code, str(message))
            _make_answer(script)

        return self._change(edit)

    def delay(self, seconds: float) -> Upstream:
        """Wait so many seconds before each answer (on a raw connection, before the first)."""
        number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not number or not math.isfinite(seconds) or seconds < 0:
            raise ValueError(f"expected a number of seconds, 0 or more, got {seconds!r}")

        def edit(script: Script) -> None:
            script.delay = float(seconds)

        return self._change(edit)

    def certificate(self, kind: str) -> Upstream:
        """Choose the TLS certificate.

        Args:
            kind: ``valid``; ``expired`` (yesterday); ``wrong-name`` (for another host);
                ``unknown-ca`` (issued by a CA that nobody was told of).
        """
        _choice("a certificate", kind, c.CERTIFICATES)

        def edit(script: Script) -> None:
            script.certificate = cast("c.Certificate", kind)

        return self._change(edit)

    def clear(self) -> Upstream:
        """Forget what this upstream (this host, port and address exactly) was told."""
        self._stage.change(self._scope, None)
        return self

    # What it saw

    @property
    def requests(self) -> list[Request]:
        """The HTTP requests that named this upstream (Host, SNI) or arrived at its place."""
        return [
            request
            for request in self._stage.requests
            if self._covers(request, request.host, request.sni)
        ]

    @property
    def connections(self) -> list[Connection]:
        """The connections that named this upstream (SNI) or arrived at its place."""
        return [
            connection
            for connection in self._stage.connections
            if self._covers(connection, connection.sni)
        ]

    def _covers(self, seen: Request | Connection, *names: str) -> bool:
        known = [name for name in (*names, *seen.place_hosts) if name]
        return self._scope.covers(known, seen.address, seen.port)

    def _resolves(self, lookup: c.Lookup) -> Upstream:
        if self._scope != Scope(self._scope.host):
            raise ValueError(
                f"{self!r}: a lookup knows no port and no address; "
                f"expected host({self._scope.host!r})"
            )
        if is_address(self._scope.host):
            raise ValueError(f"{self!r} is an address: expected a name to resolve")

        def edit(script: Script) -> None:
            script.lookup = lookup

        return self._change(edit)

    def _does(self, conduct: c.Conduct) -> Upstream:
        def edit(script: Script) -> None:
            script.conduct = conduct

        return self._change(edit)

    def _change(self, edit: Callable[[Script], None]) -> Upstream:
        self._stage.change(self._scope, edit)
        return self


def _make_answer(script: Script) -> None:
    """Let requests be answered again: what was told now would have no effect otherwise."""
    if not isinstance(script.conduct, c.Respond):
        script.conduct = None


def _choice(what: str, value: object, choices: Iterable[str]) -> None:
    known = list(choices)
    if value not in known:
        near = difflib.get_close_matches(str(value).lower(), [item.lower() for item in known], n=1)
        spelled = next((item for item in known if near and item.lower() == near[0]), None)
        hint = f"; did you mean {spelled!r}?" if spelled else ""
        raise ValueError(f"expected {what}, one of {', '.join(known)}; got {value!r}{hint}")


def _status(status: object) -> int:
    if isinstance(status, int) and not isinstance(status, bool) and 200 <= status <= 599:
        return int(status)
    raise ValueError(f"expected an HTTP status between 200 and 599, got {status!r}")


def _headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    fields = []
    for name, value in dict(headers).items():
        text = str(value).strip()
        usable = isinstance(name, str) and name and not set(name) & set(' \t\r\n:"(),/;<=>?@[]{}')
        if not usable or not name.isascii() or set(text) & set("\r\n\0"):
            raise ValueError(
                f"expected header fields such as {{'etag': '1'}}, got {name!r}: {value!r}"
            )
        if name.lower() in _COMPUTED:
            raise ValueError(f"{name!r} is set by the outside itself: expected other header fields")
        fields.append((name, text))
    return tuple(fields)


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _server(server: Any) -> tuple[str, int]:
    """Return the host and port of a server of the user's."""
    expected = "expected '127.0.0.1:8080', (host, port) or a server with .host and .port"
    if isinstance(server, str):
        host, _, port = server.rpartition(":")
        if not host or not port.isdecimal() or "/" in host:
            raise ValueError(f"{expected}, got {server!r}")
        return host.removeprefix("[").removesuffix("]"), check_port(int(port))
    pair = server if isinstance(server, tuple) else _attributes(server)
    if len(pair) != 2 or not isinstance(pair[0], str):
        raise ValueError(f"{expected}, got {server!r}")
    return pair[0], check_port(pair[1])


def _attributes(server: object) -> tuple[object, object]:
    return getattr(server, "host", None), getattr(server, "port", None)
