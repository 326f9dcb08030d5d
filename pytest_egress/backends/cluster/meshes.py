"""The meshes of a run on a cluster: one for each contract, workload and pod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.mesh import ClusterMesh
    from pytest_egress.backends.cluster.proxy import SidecarProxy
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload
    from pytest_egress.envoy import Program
    from pytest_egress.upstream import Outside

__all__ = ["Meshes"]


class Meshes:
    """Those that there are.

    Args:
        outside: the simulated one; in a live run it is not asked.
        pod_root: the directory that stands for the pod's root.
        live: the real outside is asked.
    """

    def __init__(self, outside: Outside, pod_root: str, *, live: bool) -> None:
        self._outside = outside
        self._pod_root = pod_root
        self._live = live
        self._known: list[ClusterMesh] = []
        self._compiled: tuple[Contract, Workload, Program] | None = None

    def program(self, contract: Contract, workload: Workload) -> Program:
        """What istiod makes of a contract, as far as it is known here; the last is kept."""
        known = self._compiled
        if known is None or known[0] is not contract or known[1] != workload:
            known = self._compiled = (contract, workload, _compiled(contract, workload))
        return known[2]

    def of(
        self, contract: Contract, workload: Workload, proxy: SidecarProxy, generation: int
    ) -> ClusterMesh:
        """The mesh of a contract in a pod, made where there is none.

        Args:
            contract: it.
            workload: who asks.
            proxy: of the pod.
            generation: of the outside's names, for a mesh that is made.
        """
        from pytest_egress.backends.cluster.mesh import ClusterMesh
        from pytest_egress.backends.declaring import clients_of, endpoints_of

        for known in self._known:
            if known.enforces(contract, workload) and known.pod is proxy.pod:
                return known
        program = self.program(contract, workload)
        mesh = ClusterMesh(
            contract,
            workload,
            proxy,
            self._outside,
            endpoints_of(program),
            clients_of(contract, self._pod_root),
            generation,
            program,
            live=self._live,
        )
        self._known.append(mesh)
        return mesh

    def enforcing(self, contract: Contract, workload: Workload) -> Iterator[ClusterMesh]:
        """Those of a contract, in whichever pod."""
        return (it for it in self._known if it.enforces(contract, workload))

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()


def _compiled(contract: Contract, workload: Workload) -> Program:
    from pytest_egress.contract.allocation import allocate
    from pytest_egress.envoy import compile_contract

    return compile_contract(allocate(contract) if workload.dns_capture else contract, workload)
