"""A gateway of ours: the second Envoy that a sidecar's routes lead to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pytest_egress.backends.mesh_proxy import Proxy
from pytest_egress.envoy import Program
from pytest_egress.envoy.gateway.program import GatewayProgram
from pytest_egress.envoy.instruments import CONTROL_CLUSTER
from pytest_egress.envoy.names import WILDCARD_ADDRESS
from pytest_egress.envoy.secrets import Identity
from pytest_egress.evidence import Evidence, Hop

__all__ = ["Gateway", "GatewayPort", "GatewayProxy", "MakeProxy"]


class GatewayProxy(Proxy, Protocol):
    """A proxy of ours that a sidecar dials at Unix sockets."""

    @property
    def listeners(self) -> Mapping[str, Path]:
        """Where each of its listeners is dialled."""
        ...


#: Makes a proxy of a program; the listeners that are dialled, the one for the control first; its
#: certificate of the mesh.
MakeProxy = Callable[[Program, tuple[str, ...], Identity], GatewayProxy]


@dataclass(frozen=True, slots=True)
class GatewayPort:
    """A port of a gateway's pods, and why nothing listens there, if nothing does."""

    gateway: Gateway
    address: str
    number: int
    closed: str = ""


class Gateway:
    """The pods of one gateway, whatever their number, as one Envoy.

    Args:
        compiled: the gateway and its configuration.
        make: makes its proxy.
        identity: their certificate of the mesh.
    """

    def __init__(self, compiled: GatewayProgram, make: MakeProxy, identity: Identity) -> None:
        self.program = compiled.program
        self.name = f"{compiled.workload.name}.{compiled.workload.namespace}"
        self.remembers = any("outlier_detection" in it for it in self.program.clusters)
        names = [str(it["name"]) for it in self.program.listeners]
        self.proxy = make(self.program, (CONTROL_CLUSTER, *names), identity)
        #: Where each port of each pod really is, by address and port.
        self.sockets: dict[tuple[str, int], Path] = {}
        #: What stands behind a path of ``sockets``.
        self.ports: dict[str, GatewayPort] = {}
        for pod in compiled.workload.pods:
            for number in compiled.workload.pod_ports(pod):
                self._place(pod.address, number, compiled.closed)
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Evidence]] = {}

    def hop(self, evidence: Evidence, port: GatewayPort) -> Hop:
        """What this gateway says of what the sidecar's record ``evidence`` tells of.

        Each request of a connection is told once, in order.
        """
        if port.closed:
            return Hop(self.name, refusal=f"nothing listens on port {port.number}: {port.closed}")
        if not self.proxy.running():
            return Hop(self.name)
        source = evidence.source
        with self._lock:
            records = self._waiting.pop(source, [])
            if evidence.kind == "opened":
                records += self.proxy.witness.take(source)
            elif not any(it.kind == evidence.kind for it in records):
                records += self.proxy.records(source)
            found = _deciding(records, evidence.kind)
            if found is not None and found.kind == "http":
                self._waiting[source] = records[records.index(found) + 1 :]
        if found is None:
            return Hop(self.name)
        # The PROXY header told it the destination that the pod dialled.
        destination = f"{port.address}:{port.number}"
        return Hop(self.name, replace(found, proxy=self.name, destination=destination))

    def _place(self, address: str, number: int, closed: Mapping[int, str]) -> None:
        """A pod's own address goes before the wildcard, as the kernel has it."""
        for bind in (address, WILDCARD_ADDRESS):
            path = self.proxy.listeners.get(f"{bind}_{number}")
            if path is not None:
                self.sockets[address, number] = path
                self.ports[str(path)] = GatewayPort(self, address, number)
                return
        path = self.proxy.directory / f"{address}-{number}.closed"
        self.sockets[address, number] = path
        reason = closed.get(number, "no listener has that port")
        self.ports[str(path)] = GatewayPort(self, address, number, reason)


def _deciding(records: list[Evidence], kind: str) -> Evidence | None:
    """The record of the same kind as the sidecar's, else the one that tells most."""
    for wanted in (kind, "connection", "opened"):
        found = next((it for it in records if it.kind == wanted), None)
        if found is not None:
            return found
    return None
