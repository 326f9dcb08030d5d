"""A pod whose traffic the kernel may not redirect: the proxy is dialled at a Unix socket.

Without NET_ADMIN the pod is what ``local`` is, in containers: each connection says in a PROXY
header where it wanted to go, and the proxy finds the simulated outside on loopback. The test
process dials and probes, and every connection passes through the pod. Programs cannot be captured.
"""

from __future__ import annotations

import errno
import itertools
import socket
import threading
from dataclasses import replace
from typing import Any

from pytest_egress.backends.dns_proxy import AgentResolver
from pytest_egress.backends.docker.dialled import SocketProxy
from pytest_egress.backends.docker.mesh import DockerMesh
from pytest_egress.backends.protocol import PodSocket
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

__all__ = ["SocketMesh"]


class SocketMesh(DockerMesh):
    """A pod whose connections are dialled, and its probes made, by the test process."""

    sidecar: SocketProxy

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._carrier = ""  # the mirror dials the outside's places
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
            client = self.sidecar.client_of(evidence.upstream_local_address, evidence.upstream_host)
            evidence = replace(evidence, upstream_local_address=client)
        return super()._accepted(evidence, ended=ended)
