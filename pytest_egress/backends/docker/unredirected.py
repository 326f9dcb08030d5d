"""A pod whose traffic the kernel may not redirect: the proxy is dialled at a Unix socket.

Without NET_ADMIN the pod is what ``local`` is, in containers: each connection says in a PROXY
header where it wanted to go, and the proxy finds the simulated outside on loopback. The test
process dials and probes, and every connection passes through the pod. Programs cannot be captured.
"""

from __future__ import annotations

import errno
import itertools
import queue
import socket
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_egress.backends.agent import Agent
from pytest_egress.backends.dns_proxy import AgentResolver
from pytest_egress.backends.docker.mesh import DockerMesh
from pytest_egress.backends.docker.pod import LIVE_CONTROL, SOCKETS, WITNESS
from pytest_egress.backends.docker.proxy import ADMIN, DockerProxy
from pytest_egress.backends.protocol import PodSocket
from pytest_egress.envoy.embed import Places, Sockets
from pytest_egress.envoy.instruments import CONTROL_ADDRESS
from pytest_egress.errors import BackendError
from pytest_egress.evidence import Evidence, UpstreamProof
from pytest_egress.probe import (
    Attempt,
    DnsAnswer,
    DnsResolver,
    Options,
    Prober,
    Resolver,
    SystemResolver,
    Target,
)
from pytest_egress.upstream import Outside

__all__ = ["Mirror", "SocketMesh", "SocketProxy"]

_SOCKET = f"{SOCKETS}/outbound.sock"
_CONTROL_SOURCE = "127.255.255.253"
_MOST = 10_000  # connections that are told apart


class Mirror:
    """Lets the places of an outside answer in a pod at the addresses that they have here.

    Args:
        agent: listens in the pod.
        outside: whose places they are.
    """

    def __init__(self, agent: Agent, outside: Outside) -> None:
        self._agent = agent
        self._new: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._clients: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._listening: set[tuple[str, int]] = set()
        self._end = outside.watch(lambda ip, port: self._new.put((ip, port)))

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
    """An Envoy that listens on a Unix socket, in a volume that it shares with the pod."""

    control = CONTROL_ADDRESS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.mirror = Mirror(self.pod.agent, self._outside)
        self._numbers = itertools.count(1)
        self._dialled = ""
        if not self._live:
            address, port = self._outside.proxy_dns
            self.pod.agent.connection.serve_names(address, port, self._name, name="proxy")

    def dial(
        self, source: tuple[str, int], destination: tuple[str, int], timeout: float
    ) -> PodSocket:
        """Open a connection as one from ``source`` to ``destination``.

        Raises:
            OSError: the proxy does not accept it, or the pod is gone.
        """
        try:
            self.mirror.flush()
            sock, _ = self.pod.agent.connection.dial("", 0, timeout, path=_SOCKET)
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

    def configure(self, timeout: float, gateways: object = None) -> None:
        """Start Envoy with its bootstrap."""
        super().configure(timeout, gateways)
        self.mirror.flush()

    def close(self) -> None:
        """End the proxy and its pod. Twice is once."""
        self.mirror.close()
        super().close()

    def _attempt(self, target: Target, options: Options) -> tuple[Attempt, str]:
        source = (_CONTROL_SOURCE, next(self._numbers) % 65536)

        def dial(address: str, port: int, timeout: float) -> socket.socket:
            return self.dial(source, (address, port), timeout)

        attempt = Prober(dial, SystemResolver()).attempt(target, options)
        return attempt, f"{source[0]}:{source[1]}"

    def _sockets(self) -> Sockets:
        place = LIVE_CONTROL if self._live else self._outside.locate(*CONTROL_ADDRESS)
        return Sockets({"virtualOutbound": Path(_SOCKET)}, ADMIN, WITNESS, place)

    def _places(self) -> Places:
        return self._outside

    def _name(self, query: bytes, udp: bool) -> bytes | None:
        return self._outside.answer(query, udp=udp, view="proxy")


class SocketMesh(DockerMesh):
    """A pod whose connections are dialled, and its probes made, by the test process."""

    sidecar: SocketProxy

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._numbers = itertools.count()
        self._dialled = threading.local()
        resolver: Resolver = SystemResolver() if self.live else DnsResolver(self._outside.pod_dns)
        if self.workload.dns_capture:
            resolver = AgentResolver(self.program.names, self.workload.namespace, resolver)
        self._resolver = resolver
        self._prober = Prober(self.dial, resolver, ca_file=self.ca_file)

    def dial(self, address: str, port: int, timeout: float) -> PodSocket:
        """Open a connection that the proxy takes for one of the pod's.

        Raises:
            OSError: the proxy does not accept it, or the pod is gone.
        """
        if ":" in address:
            raise OSError(errno.EAFNOSUPPORT, "the pod has no IPv6 address")
        number = next(self._numbers)
        high, low = divmod(number, 60_000)
        place = f"10.255.{high // 256 % 256}.{high % 256}"
        if not self._live:
            place = self._outside.original(address, port)
        connection = self.sidecar.dial((place, 1024 + low), (address, port), timeout)
        self._dialled.source = connection.source
        return connection

    def lookup(self, name: str, family: str = "A", timeout: float = 5.0) -> DnsAnswer:
        """Resolve ``name`` as the pod's application would."""
        families = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}
        return self._resolver.lookup(name, families[family], timeout)

    def _attempt(self, target: Target, options: Options) -> tuple[Attempt, str | None]:
        self._dialled.source = None
        return self._prober.attempt(target, options), self._dialled.source

    def _accepted(self, evidence: Evidence | None, *, ended: bool = False) -> UpstreamProof | None:
        if evidence is not None:
            client = self.sidecar.mirror.client_of(
                evidence.upstream_local_address, evidence.upstream_host
            )
            evidence = replace(evidence, upstream_local_address=client)
        return super()._accepted(evidence, ended=ended)
