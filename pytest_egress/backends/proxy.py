"""One Envoy of ours: given a program, dialled on its Unix sockets, seen by its witness."""

from __future__ import annotations

import itertools
import shutil
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_egress.backends.process import EnvoyProcess
from pytest_egress.backends.protocol import PodSocket
from pytest_egress.backends.trust_store import os_bundle
from pytest_egress.backends.witness import Witness
from pytest_egress.envoy import Program
from pytest_egress.envoy.embed import Sockets, embed
from pytest_egress.envoy.instruments import CONTROL_ADDRESS, CONTROL_CLUSTER
from pytest_egress.envoy.secrets import Identity, Secrets
from pytest_egress.errors import BackendError
from pytest_egress.evidence import Evidence
from pytest_egress.probe import Options, Prober, SystemResolver, Target
from pytest_egress.upstream import Outside
from pytest_egress.upstream.pool import dial

__all__ = ["EmbeddedProxy"]

_CONTROL_PORT = 9  # discard (RFC 863): no contract is tested against it
_CONTROL_SOURCE = "127.255.255.253"
_CONTROLS = 2  # the first opens the connection to the witness, meanwhile its record may be lost
_RECORD_TIMEOUT = 2.0  # seconds; a record takes 0.1 ms after the connection has ended


class EmbeddedProxy:
    """An Envoy that runs ``program``.

    Args:
        program: what istiod would push.
        process: an Envoy that waits for its bootstrap.
        outside: what its upstream connections are led to.
        listeners: names of the listeners that are dialled; the first one passes the control.
        live: the real outside is asked in place of the simulated one.
        pod_root: the directory that stands for the root of the proxy's pod.
        identity: its certificate of the mesh, for links with proxies of ours.
    """

    def __init__(
        self,
        program: Program,
        process: EnvoyProcess,
        outside: Outside,
        listeners: Iterable[str],
        *,
        live: bool,
        pod_root: str = "/",
        identity: Identity | None = None,
    ) -> None:
        self.program = program
        self.directory = directory = process.directory
        self.listeners = {
            name: directory / f"{number}.sock" for number, name in enumerate(listeners)
        }
        #: Empty once the positive control has passed through, else why it has not.
        self.control_failure = "no positive control has passed through this proxy"
        self.process = process
        self._outside = outside
        self._live = live
        self._pod_root = pod_root
        self._identity = identity
        self._controls = itertools.count(1)
        self.witness = Witness(directory / "witness.sock")

    def configure(
        self, timeout: float, gateways: Mapping[tuple[str, int], Path] | None = None
    ) -> None:
        """Hand Envoy its bootstrap.

        Raises:
            BackendError: it has ended.
        """
        self.process.configure(self.bootstrap(gateways), timeout)

    def bootstrap(self, gateways: Mapping[tuple[str, int], Path] | None = None) -> dict[str, Any]:
        """The bootstrap; ``gateways`` tells where pods of gateways really listen."""
        sockets = Sockets(
            listeners=self.listeners,
            admin=self.directory / "admin.sock",
            witness=self.witness.path,
            control=self._outside.locate(CONTROL_ADDRESS[0], _CONTROL_PORT),
            gateways=gateways or {},
        )
        live = self._live
        secrets = Secrets(
            lambda: os_bundle(self._pod_root) if live else str(self._outside.ca_file),
            self._pod_root,
            simulated=not live,
            identity=self._identity,
        )
        return embed(self.program, sockets, None if live else self._outside, secrets)

    def wait(self, timeout: float) -> None:
        """Return once the positive control has passed through.

        Raises:
            BackendError: Envoy does not serve, or the control does not come through.
        """
        self.process.wait_until(self._accepts, timeout)
        for _ in range(_CONTROLS):
            self.control_failure = self._control()
            if not self.control_failure:
                break
        else:
            raise BackendError(
                f"Envoy serves, but {self.control_failure}",
                self.process.output(),
                "this is a fault of the backend, not of the contract: please report it",
            )

    def dial(
        self, listener: str, source: tuple[str, int], destination: tuple[str, int], timeout: float
    ) -> PodSocket:
        """Open a connection to a listener, as one from ``source`` to ``destination``.

        Raises:
            OSError: the proxy does not accept it.
        """
        connection = PodSocket(socket.AF_UNIX)
        connection.source = f"{source[0]}:{source[1]}"
        try:
            connection.settimeout(timeout)
            dial(connection, str(self.listeners[listener]))
            addresses = f"{source[0]} {destination[0]} {source[1]} {destination[1]}"
            connection.sendall(f"PROXY TCP4 {addresses}\r\n".encode("ascii"))
        except BaseException:
            connection.close()
            raise
        return connection

    def records(self, source: str) -> tuple[Evidence, ...]:
        """What the proxy says of the connection from ``source``, once it is complete."""
        return self.witness.wait(source, _RECORD_TIMEOUT)

    def settle(self) -> str:
        """Return once the records of all that has happened so far are here; empty, or why not.

        The proxy works in one thread: when a control has passed through it, what came before is
        done, and its records have been sent.
        """
        return self._control() or (
            "" if self.witness.settle() else "the proxy's records cannot be received"
        )

    def running(self) -> bool:
        """Whether Envoy is alive."""
        return self.process.running()

    @property
    def pid(self) -> int:
        """The process id of Envoy."""
        return self.process.pid

    def close(self) -> None:
        """Stop Envoy and remove its directory. Twice is once."""
        self.process.stop()
        self.witness.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _accepts(self) -> bool:
        first = next(iter(self.listeners.values()))
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                dial(connection, str(first))
            except OSError:
                return False
            return True

    def _control(self) -> str:
        """Pass the positive control through the proxy; empty, or what went wrong."""
        first = next(iter(self.listeners))
        source = (_CONTROL_SOURCE, next(self._controls) % 65536)

        def dial(address: str, port: int, timeout: float) -> socket.socket:
            return self.dial(first, source, (address, port), timeout)

        target = Target("tcp", *CONTROL_ADDRESS, "")
        options = Options(address=CONTROL_ADDRESS[0], timeout=10.0)
        attempt = Prober(dial, SystemResolver()).attempt(target, options)
        signature = f"EGRESS-UPSTREAM {self._outside.sign(attempt.nonce)}\r\n".encode()
        if signature not in attempt.received:
            seen = attempt.failure.message if attempt.failure else repr(attempt.received)
            return f"the positive control did not come back through it: {seen}"
        records = self.records(f"{source[0]}:{source[1]}")
        if not any(record.cluster == CONTROL_CLUSTER for record in records):
            return "its record of the positive control did not arrive"
        return ""
