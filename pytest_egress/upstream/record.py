"""What the outside saw: requests and connections, kept in the order in which they came."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pytest_egress.evidence import UpstreamProof

__all__ = ["Connection", "Headers", "Journal", "Request"]

_KEPT = 10_000  # of each kind: a session of any length stays small


class Headers(Mapping[str, str]):
    """Header fields: names in any case, several fields of one name joined by a comma (RFC 9110)."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self._fields = tuple(fields)

    def __getitem__(self, name: str) -> str:
        values = self.all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._fields))

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._fields})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.all(name))

    def __repr__(self) -> str:
        return f"Headers({list(self._fields)!r})"

    def all(self, name: str) -> list[str]:
        """Return the values of every field of that name, in order."""
        wanted = name.lower()
        return [value for key, value in self._fields if key.lower() == wanted]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it arrived.

    Attributes:
        method: as sent, such as ``GET``.
        path: the request target: path and query.
        headers: its header fields, without HTTP/2's pseudo headers.
        body: at most 1 MiB of it.
        host: the host it asked for (Host header or ``:authority``), lower case, without a port.
        sni: the server name of the TLS handshake, empty without TLS or without one.
        http_version: ``HTTP/1.0``, ``HTTP/1.1`` or ``HTTP/2``.
        address: the simulated address it arrived at; None when several hosts share the place.
        port: the simulated port it arrived at; 0 when it is not known.
        time: seconds since the epoch.
        place_hosts: the hosts to whom the place belongs that it arrived at.
    """

    method: str
    path: str
    headers: Headers
    body: bytes
    host: str
    sni: str
    http_version: str
    address: str | None
    port: int
    place_hosts: tuple[str, ...] = ()
    time: float = field(default_factory=time.time)


@dataclass(slots=True)
class Connection:
    """One connection that was accepted; the fields fill as it proceeds.

    Attributes:
        client: who dialled, ``ip:port`` (the proxy's own socket).
        place: the loopback place that was dialled, ``ip:port``.
        address: the simulated address; None when several hosts share the place.
        port: the simulated port; 0 when it is not known.
        place_hosts: the hosts to whom the place belongs.
        sni: the server name of the TLS handshake, empty without TLS or without one.
        protocol: what was spoken: ``tls``, ``http/1.1``, ``h2``, ``tcp`` and such, joined by ``+``;
            empty while nothing has come.
        received: the first 64 KiB that came outside HTTP.
        forwarded: whether a server of the user's was behind it.
        problem: why it ended, if not in good order.
        time: seconds since the epoch.
    """

    client: str
    place: str
    address: str | None
    port: int
    place_hosts: tuple[str, ...] = ()
    sni: str = ""
    protocol: str = ""
    received: bytes = b""
    forwarded: bool = False
    problem: str = ""
    time: float = field(default_factory=time.time)

    def proof(self) -> UpstreamProof:
        """Return what this says of the upstream that was reached."""
        hosts = self.place_hosts
        alone = len(hosts) == 1 and not hosts[0].startswith("*.")
        return UpstreamProof(
            host=hosts[0] if alone else "",
            address=self.address or "",
            port=self.port,
            forwarded=self.forwarded,
            details={"sni": self.sni, "protocol": self.protocol, "problem": self.problem},
        )


class Journal:
    """Requests and connections, the last 10,000 of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: deque[Request] = deque(maxlen=_KEPT)
        self._connections: deque[Connection] = deque(maxlen=_KEPT)

    @property
    def requests(self) -> list[Request]:
        """Return a copy of the requests, the first first."""
        with self._lock:
            return list(self._requests)

    @property
    def connections(self) -> list[Connection]:
        """Return a copy of the list of connections, the first first."""
        with self._lock:
            return list(self._connections)

    def add_request(self, request: Request) -> None:
        """Keep a request."""
        with self._lock:
            self._requests.append(request)

    def add_connection(self, connection: Connection) -> None:
        """Keep a connection."""
        with self._lock:
            self._connections.append(connection)

    def from_client(self, client: str, place: str = "") -> Connection | None:
        """Return the last connection that ``client`` dialled (to ``place``, if one is given)."""
        with self._lock:
            for connection in reversed(self._connections):
                if connection.client == client and place in {"", connection.place}:
                    return connection
        return None

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._requests.clear()
            self._connections.clear()
