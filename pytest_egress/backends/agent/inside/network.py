"""The pod's network as istio-init makes it, in a network namespace that is the pod's alone."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import Any

from pytest_egress.capture.namespace.netlink import (
    NatRule,
    install,
    loopback_up,
    make_every_address_local,
    redirects,
)

__all__ = ["Network"]

_LOOPBACK = "127.0.0.1"
_FILL_TIMEOUT = 1000  # milliseconds; a connection on loopback is there at once


class Network:
    """Redirects what the pod's programs open, and turns away what the proxy dials."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[NatRule] = []
        self._proxy = -1
        self._closed: socket.socket | None = None
        self._full: list[socket.socket] = []

    def capture(self, request: dict[str, Any]) -> dict[str, Any]:
        """Redirect what the pod's programs open to the proxy.

        The request has ``tcp`` and ``dns`` (ports; null leaves names alone), ``proxy`` (the number
        of its user) and ``outside``: a port to which the proxy's own connections are led, which
        makes every IPv4 address exist in this namespace; null lets them go where they go.
        """
        proxy, outside = request["proxy"], request["outside"]
        if outside is not None:
            loopback_up()
            make_every_address_local()
        rules = redirects(request["tcp"], request["dns"], proxy=proxy, outside_port=outside)
        with self._lock:
            install(rules)
            self._rules, self._proxy = rules, proxy
        return {}

    def turn_away(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let connects of the proxy fail, in place of what was said before.

        The request has ``destinations``: address, port (0: every one) and ``refuse``, ``hang`` or
        ``listen``, which lets them go where the others go; the first that matches counts.
        """
        with self._lock:
            outside = self._rules[0].to
            ports = {"refuse": self._refusing(), "hang": self._hanging(), "listen": outside}
            away = [
                NatRule(ports[state], "tcp", port, address, 32, user=self._proxy)
                for address, port, state in request["destinations"]
            ]
            install([*away, *self._rules])
        return {}

    def _refusing(self) -> int:
        """A port that is ours and at which nobody listens."""
        if self._closed is None:
            self._closed = socket.socket()
            self._closed.bind((_LOOPBACK, 0))
        return int(self._closed.getsockname()[1])

    def _hanging(self) -> int:
        """A port whose accept queue is full: Linux drops each SYN."""
        if not self._full:
            listener, filler = socket.socket(), socket.socket()
            self._full += [listener, filler]
            listener.bind((_LOOPBACK, 0))
            listener.listen(0)
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
            poll = select.poll()
            poll.register(filler, select.POLLOUT)
            poll.poll(_FILL_TIMEOUT)
        return int(self._full[0].getsockname()[1])
