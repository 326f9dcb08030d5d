"""The gateways of a contract on a cluster: what they say of a sidecar's connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_egress.evidence import Evidence, Hop, Way

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.entrance import Entrance
    from pytest_egress.backends.cluster.proxy import SidecarProxy
    from pytest_egress.backends.cluster.renaming import Renaming
    from pytest_egress.envoy import Program
    from pytest_egress.envoy.gateway.program import GatewayProgram

__all__ = ["ClusterGateway", "ClusterGateways", "led_clusters"]

_RECORD_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class ClusterGateway:
    """A gateway of one contract, and the pod that stands for it.

    Attributes:
        compiled: what istiod makes of the contract for it, as far as it is known here.
        proxy: of the pod.
        entrance: to the pod.
        address: of the pod.
    """

    compiled: GatewayProgram
    proxy: SidecarProxy
    entrance: Entrance
    address: str

    @property
    def name(self) -> str:
        """Its name and namespace, as in the contract."""
        return f"{self.compiled.workload.name}.{self.compiled.workload.namespace}"

    @property
    def program(self) -> Program:
        """What istiod makes of the contract for it."""
        return self.compiled.program

    def hop(self, evidence: Evidence) -> Hop:
        """What it says of what the sidecar's record ``evidence`` tells of."""
        port = int(evidence.upstream_host.rpartition(":")[2] or 0)
        if port not in self.entrance.ports and not _answered(evidence):
            reason = self.compiled.closed.get(port, "no listener has that port")
            self.proxy.look()
            return Hop(self.name, refusal=f"nothing listens on port {port}: {reason}")
        found = self._record(evidence)
        if found is None:
            self.proxy.look()
            return Hop(self.name)
        if not found.cluster:
            self.proxy.look()
        return Hop(self.name, replace(found, proxy=self.name, destination=evidence.upstream_host))

    def _record(self, evidence: Evidence) -> Evidence | None:
        wanted = _same(evidence)
        sources = self.entrance.sources(evidence.upstream_local_address, evidence.upstream_host)
        for source in sources:
            timeout = _RECORD_TIMEOUT if source == sources[-1] else 0.0
            found = self.proxy.witness.pick(source, wanted, timeout)
            if found is not None:
                return found  # type: ignore[no-any-return]  # the witness is of one of two kinds
        return None


class ClusterGateways:
    """Those of one contract; their pods outlive it.

    Args:
        gateways: each of them.
        generation: of the outside's names when they were asked for.
        resets: how often the outside has been reset, at any time.
    """

    def __init__(
        self, gateways: Sequence[ClusterGateway], generation: int, resets: Callable[[], int]
    ) -> None:
        self._all = tuple(gateways)
        self._by_address = {it.address: it for it in gateways}
        self._generation = generation
        self._resets = resets
        self._reset = resets()

    def __iter__(self) -> Iterator[ClusterGateway]:
        """Each of them."""
        return iter(self._all)

    @property
    def sockets(self) -> Mapping[tuple[str, int], Path]:
        """None: their pods listen at their addresses."""
        return {}

    def wait(self, timeout: float) -> None:
        """Return once each has what was applied last.

        Raises:
            BackendError: one has not within ``timeout`` seconds.
        """
        for gateway in self._all:
            gateway.proxy.wait(timeout)

    def running(self) -> bool:
        """Whether the pods are there, as far as it is known without asking."""
        return all(gateway.proxy.running() for gateway in self._all)

    def stale(self, generation: int) -> bool:
        """Whether a test that begins now needs others; as `SimulatedMesh.stale`."""
        resets = self._resets()
        troubled = any(
            gateway.proxy.witness.troubled
            for gateway in self._all
            if any("outlier_detection" in it for it in gateway.program.clusters)
        )
        if troubled and resets != self._reset:
            return True
        self._reset = resets
        return self._generation != generation

    def follow(self, evidence: Evidence) -> Way | None:
        """Where the sidecar's record led to; None where that is no gateway."""
        gateway = self._by_address.get(evidence.upstream_host.rpartition(":")[0])
        if gateway is None:
            return None
        hop = gateway.hop(evidence)
        return Way(
            hop.evidence or evidence,
            (Hop("sidecar", evidence), hop),
            gateway.proxy.control_failure,
        )

    def release(self) -> None:
        """Nothing: the pods outlive a contract."""


def led_clusters(
    program: Program, gateways: Iterable[ClusterGateway], renaming: Renaming
) -> dict[str, str]:
    """The clusters of a sidecar that lead to pods of gateways, with the pods' addresses.

    Args:
        program: the sidecar's.
        gateways: of the contract.
        renaming: what is called otherwise in the cluster.
    """
    hosts = {
        service.host: gateway.address
        for gateway in gateways
        for service in gateway.compiled.workload.services
    }
    return {
        renaming.host(name): hosts[host]
        for name in (str(it["name"]) for it in program.clusters)
        if (host := name.rpartition("|")[2]) in hosts
    }


def _answered(evidence: Evidence) -> bool:
    """Whether a sidecar got something back, as over a connection that its pool had kept."""
    return evidence.response_code_details == "via_upstream" or (
        evidence.kind != "http" and evidence.bytes_sent > 0
    )


def _same(evidence: Evidence) -> Callable[[Evidence], bool]:
    """Whether a gateway's record is of what a sidecar's record tells of.

    A request has the same id at both, unless the gateway cannot read it. Where one proxy reads no
    requests, it is the connection.
    """

    def same(record: Evidence) -> bool:
        if record.kind == "http" == evidence.kind:
            return record.request_id in {"", evidence.request_id}
        return evidence.kind != "connection" or record.kind == "connection"

    return same
