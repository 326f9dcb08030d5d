"""The meshes of a run on a cluster: one for each contract and workload, of one pod or several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_egress.backends.spread import Spread, counts_for_itself

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.gateways import ClusterGateway, ClusterGateways
    from pytest_egress.backends.cluster.mesh import ClusterMesh
    from pytest_egress.backends.cluster.proxy import SidecarProxy
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload
    from pytest_egress.envoy import Program
    from pytest_egress.upstream import Outside

__all__ = ["Meshes", "members"]


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
        self._known: list[ClusterMesh | Spread[ClusterMesh]] = []
        self._compiled: tuple[Contract, Workload, Program] | None = None

    def program(self, contract: Contract, workload: Workload) -> Program:
        """What istiod makes of a contract, as far as it is known here; the last is kept."""
        known = self._compiled
        if known is None or known[0] is not contract or known[1] != workload:
            known = self._compiled = (contract, workload, _compiled(contract, workload))
        return known[2]

    def of(
        self,
        contract: Contract,
        workload: Workload,
        proxies: Sequence[SidecarProxy],
        generation: int,
        gateways: Sequence[ClusterGateway] = (),
    ) -> ClusterMesh | Spread[ClusterMesh]:
        """The mesh of a contract in the pods of a workload, made where there is none.

        Args:
            contract: it.
            workload: who asks.
            proxies: of the pods.
            generation: of the outside's names, for a mesh that is made.
            gateways: of the contract.
        """
        from pytest_egress.backends.cluster.mesh import ClusterMesh
        from pytest_egress.backends.declaring import clients_of, endpoints_of

        for known in self.enforcing(contract, workload):
            return known
        program = self.program(contract, workload)
        programs = (program, *(it.program for it in gateways))
        endpoints, clients = endpoints_of(*programs), clients_of(contract, self._pod_root)

        def member(proxy: SidecarProxy) -> ClusterMesh:
            return ClusterMesh(
                contract,
                workload,
                proxy,
                self._outside,
                endpoints,
                clients,
                generation,
                program,
                live=self._live,
                gateways=self._led_through(gateways, generation),
            )

        # What a proxy counts, it would count in each pod by itself.
        those = proxies[:1] if counts_for_itself(program) else proxies
        mesh = member(those[0]) if len(those) == 1 else Spread([member(it) for it in those])
        self._known.append(mesh)
        return mesh

    def _led_through(
        self, gateways: Sequence[ClusterGateway], generation: int
    ) -> ClusterGateways | None:
        if not gateways:
            return None
        from pytest_egress.backends.cluster.gateways import ClusterGateways

        return ClusterGateways(gateways, generation, lambda: self._outside.resets)

    def enforcing(
        self, contract: Contract, workload: Workload
    ) -> Iterator[ClusterMesh | Spread[ClusterMesh]]:
        """Those of a contract."""
        return (it for it in self._known if it.enforces(contract, workload))

    def busy(self, workload: Workload) -> bool:
        """Whether probes of a workload are under way in one of several pods."""
        return any(
            it.workload == workload and it.under_way for it in self._known if isinstance(it, Spread)
        )

    def forget_lost(self) -> None:
        """Forget those whose pods are all gone."""
        self._known = [it for it in self._known if it.running()]

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()


def _compiled(contract: Contract, workload: Workload) -> Program:
    from pytest_egress.contract.allocation import allocate
    from pytest_egress.envoy import compile_contract

    return compile_contract(allocate(contract) if workload.dns_capture else contract, workload)


def members(mesh: ClusterMesh | Spread[ClusterMesh]) -> tuple[ClusterMesh, ...]:
    """The mesh of each pod that is there."""
    each = mesh.meshes if isinstance(mesh, Spread) else (mesh,)
    return tuple(it for it in each if it.running())
