"""Proxies of a pod that are dialled at Unix sockets, in a volume that they share with the pod.

A PROXY header says where each connection comes from and wanted to go. That is how a gateway is
reached in any pod, and the pod's own proxy where the kernel may not redirect to it.
"""

from __future__ import annotations

import itertools
import queue
import socket
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_egress.backends.docker.pod import LIVE_CONTROL, SOCKETS, DockerPod
from pytest_egress.backends.docker.proxy import ADMIN, DockerProxy, Role, TrueAddresses
from pytest_egress.backends.protocol import PodSocket
from pytest_egress.envoy import Program
from pytest_egress.envoy.embed import Places, Sockets
from pytest_egress.envoy.instruments import CONTROL_ADDRESS, CONTROL_IN_POD
from pytest_egress.envoy.secrets import Identity
from pytest_egress.errors import BackendError
from pytest_egress.probe import Attempt, Options, Prober, SystemResolver, Target
from pytest_egress.upstream import Outside

__all__ = ["Mirror", "SocketProxy"]

_CONTROL_SOURCE = "127.255.255.253"
_MOST = 10_000  # connections that are told apart


class Mirror:
    """Lets the outside answer in a pod at the addresses that it has here.

    That is what the pod's proxies dial where the kernel may not redirect them.

    Args:
        pod: whose agent listens.
        outside: whose places they are.
        live: the real outside is asked: its names are not answered.
    """

    def __init__(self, pod: DockerPod, outside: Outside, *, live: bool) -> None:
        self._agent = pod.agent
        self._outside = outside
        self._new: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._clients: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._listening: set[tuple[str, int]] = set()
        self._end = outside.watch(lambda ip, port: self._new.put((ip, port)))
        if not live:
            address, port = outside.proxy_dns
            self._agent.connection.serve_names(address, port, self._name, name="proxy")

    def flush(self) -> None:
        """Return once all that answers here answers in the pod.

        Raises:
            BackendError: the pod is gone, or does not allow it.
        """
        with self._lock:
            while not self._new.empty():
                where = self._new.get()
                if where not in self._listening:
                    self._listening.add(where)
                    self._agent.connection.listen(*where, "{}:{}".format(*where), self._accepted)

    def client_of(self, client: str, place: str) -> str:
        """What a client in the pod is called here, as one of ``place``."""
        return self._clients.get((client, place), client)

    def close(self) -> None:
        """Take in nothing new."""
        self._end()

    def _name(self, query: bytes, udp: bool) -> bytes | None:
        return self._outside.answer(query, udp=udp, view="proxy")

    def _accepted(self, client: str, place: tuple[str, int]) -> socket.socket | None:
        sock = socket.socket()
        try:
            sock.connect(place)
        except OSError:  # refused, as scripted
            sock.close()
            return None
        self._clients[client, "{}:{}".format(*place)] = "{}:{}".format(*sock.getsockname())
        while len(self._clients) > _MOST:
            self._clients.popitem(last=False)
        return sock


class SocketProxy(DockerProxy):
    """An Envoy that is dialled at Unix sockets.

    Args:
        listeners: names of the listeners that are dialled; the first one passes the control.
        mirror: where it finds the outside; None: the kernel redirects what it dials.
    """

    def __init__(
        self,
        program: Program,
        pod: DockerPod,
        image: str,
        directory: Path,
        outside: Outside,
        listeners: Iterable[str],
        mirror: Mirror | None,
        *,
        live: bool,
        pod_root: str = "/",
        identity: Identity | None = None,
        role: Role = "proxy",
    ) -> None:
        super().__init__(
            program,
            pod,
            image,
            directory,
            outside,
            live=live,
            pod_root=pod_root,
            identity=identity,
            role=role,
        )
        pod.share_sockets()
        own = f"{SOCKETS}/{directory.name}"
        self.listeners = {name: Path(f"{own}-{n}.sock") for n, name in enumerate(listeners)}
        self.control = CONTROL_ADDRESS if mirror else CONTROL_IN_POD
        self._admin = ADMIN if role == "proxy" else Path(f"{own}-admin.sock")
        self._mirror = mirror
        self._numbers = itertools.count(1)

    def dial(
        self,
        source: tuple[str, int],
        destination: tuple[str, int],
        timeout: float,
    ) -> PodSocket:
        """Open a connection to the first listener, as one from ``source`` to ``destination``.

        Raises:
            OSError: the proxy does not accept it, or the pod is gone.
        """
        path = next(iter(self.listeners.values()))
        try:
            self._flush()
            sock, _ = self.pod.agent.connection.dial("", 0, timeout, path=str(path))
        except BackendError as error:
            raise OSError(error.tried) from None
        connection = PodSocket(fileno=sock.detach())
        connection.source = f"{source[0]}:{source[1]}"
        try:
            connection.settimeout(timeout)
            addresses = f"{source[0]} {destination[0]} {source[1]} {destination[1]}"
            connection.sendall(f"PROXY TCP4 {addresses}\r\n".encode("ascii"))
        except BaseException:
            connection.close()
            raise
        return connection

    def configure(
        self, timeout: float, gateways: Mapping[tuple[str, int], Path] | None = None
    ) -> None:
        """Start Envoy with its bootstrap."""
        super().configure(timeout, gateways)
        self._flush()

    def client_of(self, client: str, place: str) -> str:
        """What a client of the outside is called there."""
        return self._mirror.client_of(client, place) if self._mirror else client

    def close(self) -> None:
        """End the proxy, and the pod whose own it is. Twice is once."""
        if self._mirror is not None and self._role == "proxy":
            self._mirror.close()
        super().close()

    def _flush(self) -> None:
        if self._mirror is not None:
            self._mirror.flush()

    def _attempt(self, target: Target, options: Options) -> tuple[Attempt, str]:
        source = (_CONTROL_SOURCE, next(self._numbers) % 65536)

        def dial(address: str, port: int, timeout: float) -> socket.socket:
            return self.dial(source, (address, port), timeout)

        attempt = Prober(dial, SystemResolver()).attempt(target, options)
        return attempt, f"{source[0]}:{source[1]}"

    def _sockets(self) -> Sockets:
        if self._live:
            control = LIVE_CONTROL
        elif self._mirror is None:
            control = CONTROL_IN_POD
        else:
            control = self._outside.locate(*CONTROL_ADDRESS)
        in_pod = self._mirror is None
        return Sockets(self.listeners, self._admin, self._reports, control, in_pod=in_pod)

    def _places(self) -> Places:
        return TrueAddresses() if self._mirror is None else self._outside
