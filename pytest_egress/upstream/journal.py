"""Keeps what the outside saw, in the order in which it came."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from pytest_egress.received import Request
from pytest_egress.upstream.record import Connection

__all__ = ["CONTROL_NAME", "Journal"]

#: The host of calls that a backend makes by itself, to see that they come through.
CONTROL_NAME = "control.pytest-egress.invalid"

_KEPT = 10_000  # of each kind: a session of any length stays small


class Journal:
    """Requests and connections, the last 10,000 of each.

    A connection that is open when the journal is cleared (a proxy's pool keeps it) stays known and
    is listed again once a request comes over it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: deque[Request] = deque()
        self._by_id: dict[str, list[Request]] = {}
        self._connections: deque[Connection] = deque(maxlen=_KEPT)
        self._carried: dict[Connection, None] = {}

    @property
    def requests(self) -> list[Request]:
        """Return a copy of the requests, the first first."""
        with self._changed:
            return list(self._requests)

    @property
    def connections(self) -> list[Connection]:
        """Return a copy of the list of connections, the first first."""
        with self._changed:
            return list(self._connections)

    def add_request(self, request: Request, connection: Connection) -> None:
        """Keep a request that came over ``connection``; none of the positive control."""
        if request.host == CONTROL_NAME:
            return
        with self._changed:
            self._requests.append(request)
            self._by_id.setdefault(request.id, []).append(request)
            if len(self._requests) > _KEPT:
                oldest = self._requests.popleft()
                same = self._by_id[oldest.id]
                same.pop(0)
                if not same:
                    del self._by_id[oldest.id]
            if connection in self._carried:
                del self._carried[connection]
                self._connections.append(connection)
            self._changed.notify_all()

    def add_connection(self, connection: Connection) -> None:
        """Keep a connection."""
        with self._changed:
            self._connections.append(connection)
            self._changed.notify_all()

    def ended(self, connection: Connection) -> None:
        """Note that a connection has ended."""
        with self._changed:
            connection.open = False
            self._carried.pop(connection, None)
            self._changed.notify_all()

    def from_client(self, client: str, place: str = "", carrier: str = "") -> Connection | None:
        """Return the last connection that ``client`` dialled (to ``place``, if one is given).

        With a ``carrier``, of those that it has carried.
        """
        with self._changed:
            for known in (self._connections, self._carried):
                for connection in reversed(known):
                    if (
                        connection.client == client
                        and connection.carrier == carrier
                        and place in {"", connection.place}
                    ):
                        return connection
        return None

    def with_id(self, request_id: str) -> tuple[Request, ...]:
        """Return the requests with this ``x-request-id``, the first first."""
        with self._changed:
            return tuple(self._by_id.get(request_id, ()))

    def wait(self, done: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``done()`` holds, asked whenever something came; return whether it does."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not done():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def clear(self) -> None:
        """Forget everything but which connections are open."""
        with self._changed:
            self._carried |= {it: None for it in self._connections if it.open}
            self._requests.clear()
            self._by_id.clear()
            self._connections.clear()
