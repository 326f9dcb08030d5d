"""Contracts enforced in containers: one pod for each distinct contract and workload."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_egress.backends.docker.engine import Engine
from pytest_egress.backends.simulating import SimulatingBackend

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pytest_egress.backends.docker.dialled import Mirror, SocketProxy
    from pytest_egress.backends.docker.mesh import DockerMesh
    from pytest_egress.backends.docker.pod import DockerPod
    from pytest_egress.backends.docker.proxy import DockerProxy, Role
    from pytest_egress.backends.gateways import Gateways
    from pytest_egress.backends.protocol import Capability
    from pytest_egress.backends.registry import Get
    from pytest_egress.backends.spread import Spread
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload
    from pytest_egress.envoy import Program
    from pytest_egress.envoy.gateway.program import GatewayProgram
    from pytest_egress.envoy.secrets import Identity

__all__ = ["DockerBackend", "create"]

_CAPTURE = "virtualOutbound"
_MOST_PODS = 4  # at a time: each has two containers


class DockerBackend(SimulatingBackend["DockerMesh | Spread[DockerMesh]"]):
    """Runs a pod of two containers for each distinct contract and workload, or several.

    Args:
        envoy_image: has a program ``envoy``.
        pod_image: has Python 3.10 or newer.
        pods: of each contract and workload.
        keep: containers that have ended are not removed.
        envoy: path of an Envoy of this machine, which is asked what it refuses of a contract.
        live: ask the real outside in place of the simulated one.
        pod_root: the directory that stands for the pod's root.
        startup_timeout: seconds that an Envoy may take until it serves.
    """

    name = "docker"

    def __init__(
        self,
        *,
        envoy_image: str,
        pod_image: str,
        pods: int = 1,
        keep: bool = False,
        envoy: str = "",
        live: bool = False,
        pod_root: str = "/",
        startup_timeout: float = 60.0,
    ) -> None:
        super().__init__(envoy=envoy, live=live, pod_root=pod_root, startup_timeout=startup_timeout)
        self.engine = Engine(keep=keep)
        self._envoy_image = envoy_image
        self._pod_image = pod_image
        self.pods = pods
        self.most_proxies = max(2, _MOST_PODS // pods)
        self._standby: list[Future[DockerPod]] = []
        self._swept = False
        self._refused_capture = ""

    @property
    def lacking(self) -> Mapping[Capability, str]:
        """What this backend cannot do, and why."""
        lacking: dict[Capability, str] = {}
        if self._refused_capture:
            reason = (
                "it takes a container with the capability NET_ADMIN and a kernel with nf_tables: "
                f"{self._refused_capture}"
            )
            lacking |= {"pod-exec": reason, "pod-serve": reason, "pod-run": reason}
        if self.live:
            lacking["simulate"] = "the real outside is asked (--egress-live)"
            lacking["dns-proxy"] = "names are those of the container's network (--egress-live)"
        else:
            lacking["live"] = "the outside is simulated: run with --egress-live"
        return lacking

    def describe(self) -> str:
        """One line for pytest's header."""
        live = ", live" if self.live else ""
        return f"docker ({self._envoy_image}{live})"

    def prepare(self) -> None:
        """Start pods in the background; a failure is told when a contract is to be enforced."""
        with self._lock:
            while len(self._standby) < self.pods:
                self._standby.append(self._start_pod())

    def close(self) -> None:
        """End every container and the outside. Twice is once."""
        with self._lock:
            standby, self._standby = self._standby, []
        for begun in standby:
            if begun.exception() is None:
                begun.result().close()
        super().close()
        self.engine.close()

    def _start(
        self, contract: Contract, workload: Workload, leases: int, generation: int
    ) -> DockerMesh | Spread[DockerMesh]:
        from pytest_egress.backends.spread import Spread, counts_for_itself

        program = self._compile(contract, workload)
        gateways = self._compile_gateways(contract)
        # What a proxy counts, it would count in each pod by itself.
        alone = counts_for_itself(program, *(it.program for it in gateways))
        pods = self._take_pods(1 if alone else self.pods)
        members: list[DockerMesh] = []
        try:
            for pod in pods:
                member = self._member(contract, workload, program, gateways, generation, pod)
                members.append(member)
        except BaseException:
            for pod in pods:
                pod.close()
            raise
        mesh = members[0] if len(members) == 1 else Spread(members)
        mesh.prepare()
        self._bring_up(mesh, leases)
        return mesh

    def _member(
        self,
        contract: Contract,
        workload: Workload,
        program: Program,
        compiled: list[GatewayProgram],
        generation: int,
        pod: DockerPod,
    ) -> DockerMesh:
        """One pod with a contract's proxies, which are to be started.

        Raises:
            BackendError: the engine refuses.
        """
        from pytest_egress.backends.declaring import clients_of, endpoints_of
        from pytest_egress.backends.docker.mesh import DockerMesh

        identity = self._sidecar_identity(contract, workload) if compiled else None
        proxy: DockerProxy
        meshes: type[DockerMesh] = DockerMesh
        mirror = None
        if pod.refused:
            from pytest_egress.backends.docker.dialled import Mirror
            from pytest_egress.backends.docker.unredirected import SocketMesh

            meshes = SocketMesh
            mirror = Mirror(pod, self.outside, live=self.live)
            proxy = self._dialled(pod, mirror, "proxy", program, (_CAPTURE,), identity)
            self._refused_capture = pod.refused
        else:
            proxy = self._redirected(pod, program, identity)
        try:
            gateways = self._lead(contract, compiled, generation, pod, mirror)
        except BaseException:
            proxy.close()
            raise
        return meshes(
            contract,
            workload,
            proxy,
            self.outside,
            endpoints_of(program, *(it.program for it in compiled)),
            clients_of(contract, self.pod_root),
            generation,
            live=self.live,
            gateways=gateways,
        )

    def _lead(
        self,
        contract: Contract,
        compiled: list[GatewayProgram],
        generation: int,
        pod: DockerPod,
        mirror: Mirror | None,
    ) -> Gateways | None:
        """The gateways that a pod's sidecar leads to, in that pod: None for most contracts.

        Raises:
            BackendError: the engine refuses.
        """
        if not compiled:
            return None
        from pytest_egress.backends.gateways import Gateways

        def make(program: Program, listeners: tuple[str, ...], identity: Identity) -> SocketProxy:
            return self._dialled(pod, mirror, "gateway", program, listeners, identity)

        authority = self._mesh_authority()
        gateways = Gateways(contract, compiled, make, self.outside, generation, authority)
        try:
            gateways.configure(self._startup_timeout)
        except BaseException:
            gateways.release()
            raise
        return gateways

    def _redirected(
        self, pod: DockerPod, program: Program, identity: Identity | None
    ) -> DockerProxy:
        from pytest_egress.backends.docker.proxy import DockerProxy

        return DockerProxy(
            program,
            pod,
            self._envoy_image,
            self._directory().subdirectory("d"),
            self.outside,
            live=self.live,
            pod_root=self.pod_root,
            identity=identity,
        )

    def _dialled(
        self,
        pod: DockerPod,
        mirror: Mirror | None,
        role: Role,
        program: Program,
        listeners: tuple[str, ...],
        identity: Identity | None,
    ) -> SocketProxy:
        from pytest_egress.backends.docker.dialled import SocketProxy

        return SocketProxy(
            program,
            pod,
            self._envoy_image,
            self._directory().subdirectory("d"),
            self.outside,
            listeners,
            mirror,
            live=self.live,
            pod_root=self.pod_root,
            identity=identity,
            role=role,
        )

    def _take_pods(self, count: int) -> list[DockerPod]:
        """Pods that wait for their proxies: those that were begun beforehand, and new ones.

        Raises:
            BackendError: one does not start.
        """
        with self._lock:
            begun, self._standby = self._standby[:count], self._standby[count:]
        begun += [self._start_pod() for _ in range(count - len(begun))]
        pods: list[DockerPod] = []
        try:
            for it in begun:
                pod = it.result()
                pods.append(pod if pod.running() else self._start_pod().result())
        except BaseException:
            for it in begun:
                if it.exception() is None:
                    it.result().close()
            for pod in pods:
                pod.close()
            raise
        return pods

    def _start_pod(self) -> Future[DockerPod]:
        from concurrent.futures import Future

        future: Future[DockerPod] = Future()

        def start() -> None:
            try:
                future.set_result(self._new_pod())
            except BaseException as error:  # noqa: BLE001  told to whoever takes the pod
                future.set_exception(error)

        threading.Thread(target=start, name="egress-docker-pod", daemon=True).start()
        return future

    def _new_pod(self) -> DockerPod:
        from pytest_egress.backends.docker.leftovers import sweep
        from pytest_egress.backends.docker.pod import DockerPod

        self.engine.need(self._pod_image, "--egress-pod-image")
        self.engine.need(self._envoy_image, "--egress-envoy-image")
        with self._lock:
            swept, self._swept = self._swept, True
        if not swept:
            sweep(self.engine)
        return DockerPod(self.engine, self._pod_image, self.outside, live=self.live)


def create(get: Get) -> DockerBackend:
    """The backend that the settings ask for."""
    return DockerBackend(
        envoy_image=get("envoy-image"),
        pod_image=get("pod-image"),
        pods=get("pods"),
        keep=get("keep"),
        envoy=get("envoy"),
        live=get("live"),
        pod_root=get("pod-root"),
    )
