"""The test pod: a container with the agent, whose network is captured as istio-init does it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.agent import Agent, AgentLostError, Stream
from pytest_egress.backends.agent.command import PROXY_USER
from pytest_egress.backends.agent.heard import tell
from pytest_egress.backends.docker.engine import Engine, told
from pytest_egress.backends.docker.stream import AttachedStream
from pytest_egress.backends.files import CA_PATH, File
from pytest_egress.errors import BackendError, ProbeError
from pytest_egress.probe import DnsAnswer
from pytest_egress.upstream import Outside
from pytest_egress.upstream.door import State

if TYPE_CHECKING:
    from docker.models.containers import Container

__all__ = [
    "LIVE_CONTROL",
    "NAMES_PORT",
    "PROXY_NAMES",
    "SOCKETS",
    "DockerPod",
]

#: The ports of istio-init and of Istio's agent.
CAPTURE_PORT, NAMES_PORT = 15001, 15053
_OUTSIDE_PORT = 15995  # in Istio's own range, which no application uses
#: Where the proxy finds its name server.
PROXY_NAMES = ("127.0.0.1", 15996)
#: What answers the positive control where the real outside is asked.
LIVE_CONTROL = ("127.0.0.1", 15998)

_LOOPBACK = "127.0.0.1"
_ANY = "0.0.0.0"  # noqa: S104  of a namespace that nobody else is in
#: Where proxies have Unix sockets, in a volume that they share with the pod.
SOCKETS = "/run/pytest-egress"


class DockerPod:
    """A running test pod that waits for its proxy.

    Args:
        engine: where it runs.
        image: needs Python 3.10 or newer.
        outside: what all of its proxy's connections are led to.
        live: the proxy's connections go where they go, only the control's come to ``outside``.

    Raises:
        BackendError: it cannot be started.
    """

    def __init__(self, engine: Engine, image: str, outside: Outside, *, live: bool) -> None:
        self.engine = engine
        self._outside = outside
        self.live = live
        #: Answers the names that the pod asks for; the outside's own, unless it is replaced.
        self.names: Callable[[bytes, bool], bytes | None] = self._names_of_outside
        #: Told of each name that the pod has looked up, and of the answer.
        self.heard: Callable[[str, DnsAnswer], None] | None = None
        #: Empty where the kernel redirects the pod's traffic to the proxy, else what refuses it.
        self.refused = ""
        self._closed = False
        self._trusts = False
        self._shares_sockets = False
        self._turning = threading.Lock()
        self._away: list[tuple[str, int, State]] = []
        self._end_watch: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._container: Container | None = None
        self._image = image
        self.agent = Agent(self._start, name=f"the test pod ({image})", start_timeout=60.0)
        try:
            self.agent.start()
            self._capture()
        except BaseException:
            self.close()
            raise

    @property
    def container(self) -> Container:
        """The container, which the others of the pod share their namespaces with."""
        assert self._container is not None
        return self._container

    @property
    def carrier(self) -> str:
        """What the outside tells this pod's connections from another one's by."""
        return str(self.container.id)

    @property
    def ca(self) -> bytes:
        """The simulated outside's CA, PEM."""
        return self._outside.ca_file.read_bytes()

    @property
    def shared(self) -> dict[str, Any]:
        """How another container becomes a part of the pod; it ends with the pod."""
        name = f"container:{self.container.id}"
        volumes = [str(self.container.id)] if self._shares_sockets else []
        return {"network_mode": name, "pid_mode": name, "volumes_from": volumes}

    def trust(self) -> None:
        """Have the simulated outside's CA in the container: its first command needs it.

        Raises:
            BackendError: the engine refuses.
        """
        with self._lock:
            if not self._trusts and not self.live:
                self.engine.put(self.container, (File(CA_PATH, self.ca),))
            self._trusts = True

    def share_sockets(self) -> None:
        """Let containers that become a part of the pod from now on listen below `SOCKETS`.

        Raises:
            AgentLostError: the pod is gone.
        """
        if not self._shares_sockets:
            self.agent.exec(["chmod", "1777", SOCKETS])
            self._shares_sockets = True

    def carry(self, path: Path) -> tuple[str, int]:
        """Carry what connects to a port of the pod's loopback to a Unix socket of this machine.

        Returns:
            The address and port.

        Raises:
            AgentLostError: the pod is gone.
        """
        port = self.agent.connection.listen(_LOOPBACK, 0, str(path), partial(_connected, path))
        return _LOOPBACK, port

    def running(self) -> bool:
        """Whether the agent is there."""
        return not self._closed and self.agent.alive()

    def close(self) -> None:
        """End the pod, and with it every container that shares its namespaces. Twice is once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._end_watch()
        self.agent.close()
        if self._container is not None:
            self.engine.remove(self._container)

    def _start(self, command: Sequence[str]) -> Stream:
        """Start the container with the agent; it ends when the stream does."""
        if self._container is not None:
            raise BackendError("the test pod has ended", self._last_words())
        self._container = container = self.engine.create(
            self._image,
            list(command),
            "pod",
            entrypoint=[],
            user="0",
            init=True,
            stdin_open=True,
            cap_add=["NET_ADMIN"],
            dns_search=["."],
            volumes=[SOCKETS],
            network_mode="bridge" if self.live else "none",
            hostname="pytest-egress",
        )
        with told(f"the test pod ({self._image}) does not start"):
            attached = self.engine.client.api.attach_socket(
                container.id, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
            stream = AttachedStream(attached)
            try:
                container.start()
            except BaseException:
                stream.close()
                stream.release()
                raise
        return stream

    def _capture(self) -> None:
        connection = self.agent.connection
        try:
            connection.capture(
                tcp=CAPTURE_PORT,
                dns=None if self.live else NAMES_PORT,
                proxy=PROXY_USER,
                outside=None if self.live else _OUTSIDE_PORT,
            )
        except ProbeError as error:
            self.refused = str(error)
        if not self.live and not self.refused:
            self._end_watch = self._outside.watch_connects(self._turn_away)
        if self.live:
            connection.listen(*LIVE_CONTROL, "control", self._control)
        elif not self.refused:
            connection.listen(_ANY, _OUTSIDE_PORT, "outside", self._take)
            # Where a redirect leads: an answer from another address is not translated back.
            connection.serve_names(_LOOPBACK, NAMES_PORT, self._name)
            connection.serve_names(*PROXY_NAMES, self._proxy_name, name="proxy")

    def _turn_away(self, destinations: list[tuple[str, int, State]]) -> None:
        """Have connects of the proxy fail as scripted."""
        with self._turning:
            if destinations == self._away or self._closed:
                return
            self._away = destinations
            with contextlib.suppress(AgentLostError):  # the next probe says so
                self.agent.connection.turn_away(destinations)

    def _take(self, client: str, destination: tuple[str, int]) -> socket.socket | None:
        if self._closed:
            return None
        address, _, port = client.rpartition(":")
        return self._outside.take((address, int(port)), *destination, carrier=self.carrier)

    def _control(self, client: str, _: tuple[str, int]) -> socket.socket | None:
        return self._take(client, LIVE_CONTROL)

    def _name(self, query: bytes, udp: bool) -> bytes | None:
        answer = self.names(query, udp)
        if self.heard is not None:
            tell(self.heard, query, answer)
        return answer

    def _names_of_outside(self, query: bytes, udp: bool) -> bytes | None:
        return self._outside.answer(query, udp=udp)

    def _proxy_name(self, query: bytes, udp: bool) -> bytes | None:
        return self._outside.answer(query, udp=udp, view="far")

    def _last_words(self) -> str:
        with contextlib.suppress(Exception):
            return str(self.container.logs(tail=20), "utf-8", "replace")
        return ""


def _connected(path: Path, _: str, __: tuple[str, int]) -> socket.socket | None:
    """A connection to a Unix socket, None where nobody listens."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection
