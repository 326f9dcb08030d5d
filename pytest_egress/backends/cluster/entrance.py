"""How a sidecar's connection comes into the pod of a gateway, and what it is called there."""

from __future__ import annotations

import socket
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.agent import Agent
    from pytest_egress.backends.agent.connection import Connection

__all__ = ["Entrance"]

_DIAL_TIMEOUT = 5.0  # seconds; it is a connection within one pod
_MOST = 10_000  # connections that are told apart


@dataclass(frozen=True, slots=True)
class _Entered:
    """A connection that was let in: its number at the agent's stream, its address in the pod."""

    connection: Connection
    number: int
    source: str


class Entrance:
    """Lets sidecars' connections into the pod of a gateway, through its agent.

    In simulation all that a sidecar dials comes to the test process; what goes to this pod's
    address goes on to its proxy.

    Args:
        agent: of the pod.

    Attributes:
        ports: those that the pod's proxy listens on; others are refused.
    """

    def __init__(self, agent: Agent) -> None:
        self.ports: frozenset[int] = frozenset()
        self._agent = agent
        self._lock = threading.Lock()
        self._entered: OrderedDict[tuple[str, str], _Entered] = OrderedDict()

    def enter(self, client: str, place: tuple[str, int]) -> socket.socket | None:
        """The connection of ``client``, ``ip:port``, to a port of the pod; None: it is refused."""
        if place[1] not in self.ports or not self._agent.alive():
            return None
        try:
            connection = self._agent.connection

            def connected(number: int, source: str) -> None:
                with self._lock:
                    key = (client, f"{place[0]}:{place[1]}")
                    self._entered[key] = _Entered(connection, number, source)
                    self._entered.move_to_end(key)
                    while len(self._entered) > _MOST:
                        self._entered.popitem(last=False)

            return connection.dial_later(*place, _DIAL_TIMEOUT, connected)
        except BackendError:
            return None

    def sources(self, client: str, place: str) -> list[str]:
        """What a client is called in the pod; of one that is not known, all that may be it.

        The last comes first.
        """
        with self._lock:
            if client:
                known = self._entered.get((client, place))
                return [known.source if known else client]
            return [it.source for key, it in reversed(self._entered.items()) if key[1] == place]

    def cut(self) -> None:
        """Reset every connection: a pool would keep those of listeners that are no more."""
        with self._lock:
            entered = list(self._entered.values())
            self._entered.clear()
        for it in entered:
            it.connection.cut(it.number)
