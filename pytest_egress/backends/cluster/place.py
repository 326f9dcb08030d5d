"""A run's own part of a cluster: its namespaces, what is applied there, and its test pods."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.cluster.applied import Applied
from pytest_egress.backends.cluster.keeper import Images
from pytest_egress.backends.cluster.maker import PodMaker
from pytest_egress.backends.cluster.meshes import Meshes, members
from pytest_egress.backends.cluster.pod import pod_of
from pytest_egress.backends.cluster.progress import Say, step
from pytest_egress.backends.cluster.proxy import SidecarProxy
from pytest_egress.backends.cluster.reading import Reading
from pytest_egress.backends.cluster.serving import Serving
from pytest_egress.backends.cluster.testpod import PodLostError
from pytest_egress.backends.spread import at_once
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.gateway_pods import GatewayPods
    from pytest_egress.backends.cluster.gateways import ClusterGateway
    from pytest_egress.backends.cluster.mesh import ClusterMesh
    from pytest_egress.backends.cluster.pod import Injected
    from pytest_egress.backends.cluster.testpod import TestPod
    from pytest_egress.backends.private import PrivateDirectory
    from pytest_egress.backends.spread import Spread
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload
    from pytest_egress.upstream import Outside

__all__ = ["Place"]


class Place:
    """Namespaces that nobody else uses.

    Args:
        api: of the cluster.
        prefix: what the names of the namespaces begin with.
        outside: the simulated one; in a live run it is not asked.
        directory: private to the run.
        pod_image: of the test pods.
        pods: test pods of each workload.
        service_account: of the test pods.
        revision: of Istio; empty: the default one.
        live: the real outside is asked.
        pod_root: the directory that stands for the pod's root.
        keep: the namespaces stay.
        timeout: seconds that a pod, or a contract, may take to be there.
        say: tells what is being waited for.
        bring: called with each image that is run in a pod, before it is.
    """

    def __init__(
        self,
        api: Api,
        prefix: str,
        outside: Outside,
        directory: PrivateDirectory,
        *,
        pod_image: str,
        pods: int,
        service_account: str,
        revision: str,
        live: bool,
        pod_root: str,
        keep: bool,
        timeout: float,
        say: Say,
        bring: Callable[[str], None],
    ) -> None:
        self._api = api
        self._prefix = prefix
        self._outside = outside
        self._directory = directory
        self._pod_image = pod_image
        self._pods = pods
        self._numbers = itertools.count()  # of test pods
        self._service_account = service_account
        self._revision = revision
        self._live = live
        self._keep = keep
        self._timeout = timeout
        self._say = say
        images = Images(pod_image, timeout, say, bring)
        self._lock = threading.RLock()
        self._applied = self._empty()
        self._proxies: list[tuple[Workload, SidecarProxy]] = []
        # Pods that did not come up, with the files that they were to have.
        self._lost: list[tuple[Workload, Mapping[str, bytes], BackendError]] = []
        self._serving = Serving(api, outside, pod_root, live=live)
        self._meshes = Meshes(outside, pod_root, live=live)
        self._maker = PodMaker(
            api,
            outside,
            directory,
            keep=self._serving.keep,
            images=images,
            live=live,
            timeout=timeout,
            say=say,
        )
        self._gateways: GatewayPods | None = None  # made by the first contract that has some
        self._begun = False

    def enforce(self, contract: Contract, workload: Workload) -> ClusterMesh | Spread[ClusterMesh]:
        """Return once the workload's sidecars have applied ``contract``.

        Raises:
            BackendError: the cluster cannot do it.
        """
        with self._lock:
            try:
                return self._enforce(contract, workload)
            except PodLostError as error:
                self._say(error.tried)
                return self._enforce(contract, workload)

    def _enforce(self, contract: Contract, workload: Workload) -> ClusterMesh | Spread[ClusterMesh]:
        generation = self._outside.dns_generation
        self._must_be_there()
        gateways = self._led(contract)
        proxies = self._sidecars(workload, contract)
        stale = any(it.stale(generation) for it in self._meshes.enforcing(contract, workload))
        # What a live sidecar's pool keeps to a gateway cannot be cut: its cluster has to go.
        pooled = self._live and gateways and not self._applied.holds(contract, workload)
        if stale or pooled:
            self._let_forget(proxies, gateways)
            proxies = self._sidecars(workload, contract)
        self._serving.serve(contract, workload, self._applied)
        self._applied.use(contract, workload, self._spaces(), self._gateway_spaces())
        mesh = self._meshes.of(contract, workload, proxies, generation, gateways)
        self._lead(members(mesh), gateways, contract, workload)
        self._update(members(mesh), contract, workload)
        mesh.prepare()
        return mesh

    def close(self) -> None:
        """Remove every namespace, let go of the pods. Twice is once.

        Raises:
            BackendError: the cluster does not remove them; with their names.
        """
        with self._lock:
            for _, proxy in self._proxies:
                proxy.pod.close()
            self._proxies.clear()
            self._meshes.clear()
            if self._gateways is not None:
                self._gateways.forget()
        self._applied.close()

    def _empty(self) -> Applied:
        return Applied(
            self._api, self._prefix, revision=self._revision, keep=self._keep, say=self._say
        )

    def _spaces(self) -> set[str]:
        return {it.pod.namespace for _, it in self._proxies}

    def _must_be_there(self) -> None:
        """Leave out pods that have been lost: evicted, deleted, or their namespace is gone.

        Where none of a workload is left, all begins anew, under other names.

        Raises:
            BackendError: the cluster does not tell.
        """
        for workload, proxy in list(self._proxies):
            if not proxy.control_failure or not proxy.generation:
                continue  # it is there as far as is known, or has not been used
            same = [it for seen_by, it in self._proxies if seen_by == workload]
            go_on = not all(it.control_failure for it in same)
            # While probes are under way in the others, nothing keeps them waiting.
            if (go_on and self._meshes.busy(workload)) or proxy.pod.exists():
                continue
            if not go_on:
                self._begin_anew("a test pod")
                return
            self._leave_out(proxy, "it is gone")
        if self._gateways is not None and self._gateways.lost():
            self._begin_anew("the pod of a gateway")

    def _begin_anew(self, gone: str) -> None:
        self._say(f"{gone} is gone: the run's namespaces are made anew")
        self.close()
        self._prefix += "-r"
        self._applied = self._empty()
        self._serving.forget()

    def _leave_out(self, proxy: SidecarProxy, why: str) -> None:
        self._proxies = [(seen_by, it) for seen_by, it in self._proxies if it is not proxy]
        proxy.pod.close()
        self._meshes.forget_lost()
        name = f"{proxy.pod.namespace}/{proxy.pod.name}"
        self._say(f"the run goes on without the test pod {name}: {why}")

    def _let_forget(
        self, proxies: Sequence[SidecarProxy], gateways: Sequence[ClusterGateway]
    ) -> None:
        """Have proxies drop their clusters, with the addresses that they know and have ejected.

        Raises:
            BackendError: none does.
        """
        self._applied.withdraw()
        self._applied.mark(self._spaces(), self._gateway_spaces())
        for proxy in proxies:
            proxy.endpoints = {}
        self._wait(proxies, lambda _: None, others=False)
        for gateway in gateways:
            gateway.proxy.generation = self._applied.generation
            gateway.proxy.wait(self._timeout)
        self._meshes.clear()

    def _gateway_spaces(self) -> set[str]:
        return self._gateways.spaces if self._gateways is not None else set()

    def _led(self, contract: Contract) -> list[ClusterGateway]:
        """The contract's gateways, each with a pod; none for most contracts.

        Raises:
            BackendError: the cluster cannot do it.
        """
        if not contract.speaks_of_services:
            return []
        from pytest_egress.backends.gateways import compile_gateways

        compiled = compile_gateways(contract)
        if not compiled:
            return []
        if self._gateways is None:
            from pytest_egress.backends.cluster.gateway_pods import GatewayPods

            self._gateways = GatewayPods(
                self._maker,
                self._outside,
                image=self._pod_image,
                live=self._live,
                timeout=self._timeout,
                say=self._say,
            )

        def before(spaces: Iterable[str]) -> None:
            self._begin()
            self._applied.withdraw()
            self._applied.make_namespaces(spaces)

        files = self._serving.files(contract, gateway=True)
        return self._gateways.stand_for(compiled, files, self._applied.layout, before)

    def _lead(
        self,
        there: Sequence[ClusterMesh],
        gateways: Sequence[ClusterGateway],
        contract: Contract,
        workload: Workload,
    ) -> None:
        """Have gateways apply a contract, and the sidecars led to them.

        Raises:
            BackendError: a gateway has not applied it in time.
        """
        if self._gateways is None:
            return
        spaces = self._applied.layout.namespaces(contract, workload)
        namespaces = {cluster: own for own, cluster in spaces.items()}
        from pytest_egress.backends.cluster.gateways import led_clusters

        self._gateways.bring_up(gateways, self._applied.generation, namespaces)
        renaming = self._applied.layout.renaming(contract, workload)
        endpoints = led_clusters(there[0].program, gateways, renaming)
        for mesh in there:
            mesh.sidecar.pod.entrances = self._gateways.entrances
            mesh.sidecar.endpoints = endpoints

    def _update(self, there: Sequence[ClusterMesh], contract: Contract, workload: Workload) -> None:
        """Return once the proxies have what was applied; one that has not is left out.

        Raises:
            BackendError: no proxy has it.
        """
        generation = self._applied.generation
        behind = [it for it in there if it.sidecar.generation != generation]
        failed = [it for it in there if it.sidecar.control_failure]
        if not behind and len(failed) < len(there):
            return  # those that fail are looked after while the others go on
        spaces = self._applied.layout.namespaces(contract, workload)
        namespaces = {cluster: own for own, cluster in spaces.items()}
        program = there[0].program

        def use(proxy: SidecarProxy) -> None:
            proxy.reading.use(program, proxy.pod.admin.listeners(), namespaces)

        late = [it.sidecar for it in there if it in behind or it in failed]
        self._wait(late, use, others=len(late) < len(there))

    def _wait(
        self,
        proxies: Sequence[SidecarProxy],
        then: Callable[[SidecarProxy], None],
        *,
        others: bool,
    ) -> None:
        """Return once proxies have all that was applied; one that has not is left out.

        Args:
            proxies: that are waited for.
            then: done with each that has it.
            others: whether there are others to go on with.

        Raises:
            BackendError: there is none to go on with.
        """

        def wait(proxy: SidecarProxy) -> BackendError | None:
            proxy.generation = self._applied.generation
            try:
                proxy.wait(self._timeout)
                then(proxy)
            except BackendError as error:
                return error
            return None

        found = zip(proxies, at_once(wait, proxies), strict=True)
        failed = {proxy: error for proxy, error in found if error is not None}
        if failed and len(failed) == len(proxies) and not others:
            raise next(iter(failed.values()))
        for proxy, error in failed.items():
            self._leave_out(proxy, error.tried)

    # -- pods -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Before anything is made: are the rights there, and did dead runs leave something?

        Raises:
            BackendError: rights are missing; with all of them.
        """
        from pytest_egress.backends.cluster.leftovers import sweep
        from pytest_egress.backends.cluster.rbac import check

        if self._begun:
            return
        with step("asking for this account's rights", self._say):
            check(self._api.may, "isolated", "", context=self._api.context)
            sweep(self._api)
        self._begun = True

    def _sidecars(self, workload: Workload, contract: Contract) -> list[SidecarProxy]:
        """Those of a workload's test pods, which are made where there are none.

        Raises:
            BackendError: the cluster cannot do it.
        """
        files = self._serving.files(contract)
        found = [
            known
            for seen_by, known in self._proxies
            if seen_by == workload and files.items() <= known.pod.files.items()
        ]
        if found:
            return found
        for seen_by, wanted, error in self._lost:
            if seen_by == workload and wanted == files:
                # What the cluster could not do is not waited for again.
                raise BackendError(error.tried, error.output, error.next_step)
        from pytest_egress.backends.ownership import labels

        self._begin()
        self._applied.withdraw()
        space = self._applied.layout.name(workload.namespace)
        self._applied.make_namespaces([space])
        self._maker.account(space, self._service_account)
        program = self._meshes.program(contract, workload)
        made: list[TestPod] = []

        def start(name: str) -> SidecarProxy:
            def body(
                simulated: Injected | None, istiod: Mapping[str, str], server: str
            ) -> dict[str, Any]:
                return pod_of(
                    name,
                    space,
                    workload,
                    image=self._pod_image,
                    service_account=self._service_account,
                    labels=labels(),
                    simulated=simulated,
                    istiod=istiod,
                    name_server=server,
                    files=files,
                )

            reading = Reading(program)
            pod = self._maker.make(name, space, body, reading, files=files)
            made.append(pod)
            return SidecarProxy(pod, reading, self._outside, self._say, live=self._live)

        try:
            proxies = at_once(start, [f"test-pod-{next(self._numbers)}" for _ in range(self._pods)])
        except BaseException as error:
            for pod in made:
                pod.close()
            if isinstance(error, BackendError) and not isinstance(error, ApiError):
                self._lost.append((workload, files, error))
            raise
        self._proxies += [(workload, proxy) for proxy in proxies]
        return proxies
