"""Who is told which addresses of names: the name servers of the outside, one for each view."""

from __future__ import annotations

from collections.abc import Callable

from pytest_egress.upstream.dns import NameServer, Responder
from pytest_egress.upstream.pool import Acceptor, Workers
from pytest_egress.upstream.zone import Reply, View, Zone

__all__ = ["Servers"]


class Servers:
    """The name servers of the pod and of the proxy; who is far is answered without one.

    Args:
        zone: has the answers.
        acceptor: of connections.
        workers: that answer them.
        errors: takes in exceptions that should never have been.
    """

    def __init__(
        self, zone: Zone, acceptor: Acceptor, workers: Workers, errors: list[BaseException]
    ) -> None:
        self._zone = zone
        self._acceptor = acceptor
        self._workers = workers
        self._errors = errors
        self._servers: dict[View, NameServer] = {}
        self._far = self._responder("far")

    def start(self) -> None:
        """Start them.

        Raises:
            BackendError: loopback cannot be bound.
        """
        for view in ("pod", "proxy"):
            responder = self._responder(view)
            server = NameServer(responder, self._acceptor, self._workers, self._errors)
            self._servers[view] = server
            server.start()

    def stop(self) -> None:
        """Stop them. Twice is once."""
        for server in self._servers.values():
            server.stop()
        self._servers.clear()

    def address(self, view: View) -> tuple[str, int]:
        """Where the one of a view listens.

        Raises:
            RuntimeError: it does not run.
        """
        try:
            return self._servers[view].address
        except KeyError:
            raise RuntimeError("the simulated outside is not running: call start() first") from None

    def answer(self, query: bytes, *, udp: bool, view: View) -> bytes | None:
        """Return the answer to a query from elsewhere; None: none is to be sent."""
        responder = self._far if view == "far" else self._servers[view].responder
        return responder.respond(query, udp=udp)

    def forget(self) -> None:
        """Ask anew from now on: a script has changed what names resolve to."""
        for responder in (self._far, *(it.responder for it in self._servers.values())):
            responder.forget()

    def _responder(self, view: View) -> Responder:
        return Responder(self._answers(view), self._zone.lock)

    def _answers(self, view: View) -> Callable[[str, bool], Reply]:
        def reply(name: str, wanted: bool) -> Reply:
            return self._zone.reply(view, name, wanted=wanted)

        return reply
