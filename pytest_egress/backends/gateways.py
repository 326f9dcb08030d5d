"""The gateways of one contract, shared by all its workloads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pytest_egress.backends.gateway import Gateway, GatewayPort, MakeProxy
from pytest_egress.backends.mesh_ca import MeshAuthority
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.kubernetes.registry import gateway_workloads
from pytest_egress.envoy.gateway.program import GatewayProgram, compile_gateway
from pytest_egress.evidence import Evidence, Hop, Way
from pytest_egress.upstream import Outside

__all__ = ["Gateways", "compile_gateways"]


def compile_gateways(contract: Contract) -> list[GatewayProgram]:
    """What istiod would push to each gateway of a contract."""
    return [compile_gateway(contract, workload) for workload in gateway_workloads(contract)]


class Gateways:
    """Running gateways; they end when the last mesh that leads to them has let go.

    Whoever makes them is the first to hold them.

    Args:
        contract: whose gateways they are.
        compiled: what istiod would push to each.
        make: makes the proxy of each.
        outside: what their upstream connections are led to.
        generation: of the outside's names when they were made.
        authority: the mesh's CA.
    """

    def __init__(
        self,
        contract: Contract,
        compiled: Iterable[GatewayProgram],
        make: MakeProxy,
        outside: Outside,
        generation: int,
        authority: MeshAuthority,
    ) -> None:
        self.contract = contract
        self._generation = generation
        self._outside = outside
        self._resets = outside.resets
        self._users = 1
        self._lock = threading.Lock()
        self._all = tuple(
            Gateway(
                it,
                make,
                authority.identity(
                    contract.mesh.trust_domain,
                    it.workload.namespace,
                    it.workload.pods[0].service_account,
                ),
            )
            for it in compiled
        )
        self._ports: dict[str, GatewayPort] = {}
        for gateway in self._all:
            self._ports |= gateway.ports

    def __iter__(self) -> Iterator[Gateway]:
        return iter(self._all)

    @property
    def sockets(self) -> Mapping[tuple[str, int], Path]:
        """Where each port of each pod really is, by address and port."""
        return {key: path for gateway in self._all for key, path in gateway.sockets.items()}

    def configure(self, timeout: float) -> None:
        """Hand each Envoy its bootstrap.

        Raises:
            BackendError: one has ended.
        """
        for gateway in self._all:
            gateway.proxy.configure(timeout, self.sockets)

    def wait(self, timeout: float) -> None:
        """Return once the positive control has passed through each of them.

        Raises:
            BackendError: one does not serve, or the control does not come through.
        """
        for gateway in self._all:
            gateway.proxy.wait(timeout)

    def running(self) -> bool:
        """Whether all are alive."""
        return all(gateway.proxy.running() for gateway in self._all)

    def stale(self, generation: int) -> bool:
        """Whether a test that begins now needs others; as `LocalMesh.stale`."""
        resets = self._outside.resets
        troubled = any(it.remembers and it.proxy.witness.troubled for it in self._all)
        if troubled and resets != self._resets:
            return True
        self._resets = resets
        return self._generation != generation

    def follow(self, evidence: Evidence) -> Way | None:
        """Where the sidecar's record led to; None where that is no gateway."""
        port = self._ports.get(evidence.upstream_host)
        if port is None:
            return None
        first, second = _told(evidence, port), port.gateway.hop(evidence, port)
        return Way(
            second.evidence or first,
            (Hop("sidecar", first), second),
            port.gateway.proxy.control_failure,
        )

    def hold(self) -> bool:
        """Keep them running until `release`; False when they have ended."""
        with self._lock:
            alive = self._users > 0 and self.running()
            self._users += alive
            return alive

    def release(self) -> None:
        """Stop them, unless someone else holds them."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
        for gateway in self._all:
            gateway.proxy.close()


def _told(evidence: Evidence, port: GatewayPort) -> Evidence:
    """The sidecar's record with the pod's address in place of our socket's path."""
    address = f"{port.address}:{port.number}"
    reason = evidence.upstream_transport_failure_reason.replace(evidence.upstream_host, address)
    return replace(evidence, upstream_host=address, upstream_transport_failure_reason=reason)
