"""A run's own part of a cluster: its namespaces, what is applied there, and its test pods."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.api import Api, ApiError, istio_path
from pytest_egress.backends.cluster.applied import Applied
from pytest_egress.backends.cluster.facts import istiod_addresses, name_server
from pytest_egress.backends.cluster.keeper import Images
from pytest_egress.backends.cluster.meshes import Meshes
from pytest_egress.backends.cluster.pod import (
    Injected,
    bootstrap,
    injected,
    pod_of,
    witness_filter,
)
from pytest_egress.backends.cluster.progress import Say
from pytest_egress.backends.cluster.proxy import SidecarProxy
from pytest_egress.backends.cluster.reading import Reading
from pytest_egress.backends.cluster.testpod import TestPod
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.mesh import ClusterMesh
    from pytest_egress.backends.private import PrivateDirectory
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
        self._service_account = service_account
        self._revision = revision
        self._live = live
        self._keep = keep
        self._timeout = timeout
        self._say = say
        self._images = Images(pod_image, timeout, say, bring)
        self._lock = threading.RLock()
        self._applied = self._empty()
        self._proxies: list[tuple[Workload, SidecarProxy]] = []
        self._lost: list[tuple[Workload, BackendError]] = []  # pods that did not come up
        self._meshes = Meshes(outside, pod_root, live=live)
        self._name_server: str | None = None
        self._begun = False

    def enforce(self, contract: Contract, workload: Workload) -> ClusterMesh:
        """Return once the workload's sidecar has applied ``contract``.

        Raises:
            BackendError: the cluster cannot do it.
        """
        with self._lock:
            generation = self._outside.dns_generation
            self._must_be_there()
            proxy = self._proxy(workload, contract)
            if any(it.stale(generation) for it in self._meshes.enforcing(contract, workload)):
                self._let_forget(proxy)
            applied = self._applied
            applied.use(contract, workload, self._spaces())
            mesh = self._meshes.of(contract, workload, proxy, generation)
            if proxy.generation != applied.generation or proxy.control_failure:
                proxy.generation = applied.generation
                proxy.wait(self._timeout)
                namespaces = {
                    cluster: own
                    for own, cluster in applied.layout.namespaces(contract, workload).items()
                }
                proxy.reading.use(mesh.program, proxy.pod.listeners(), namespaces)
            mesh.prepare()
            return mesh

    def close(self) -> None:
        """Remove every namespace, let go of the pods. Twice is once."""
        with self._lock:
            for _, proxy in self._proxies:
                proxy.pod.close()
            self._proxies.clear()
            self._meshes.clear()
        self._applied.close()

    def _empty(self) -> Applied:
        return Applied(
            self._api, self._prefix, revision=self._revision, keep=self._keep, say=self._say
        )

    def _spaces(self) -> set[str]:
        return {it.pod.namespace for _, it in self._proxies}

    def _must_be_there(self) -> None:
        """Begin anew, under other names, where a pod has been lost: evicted, or its namespace gone.

        Raises:
            BackendError: the cluster does not tell.
        """
        suspects = [proxy for _, proxy in self._proxies if proxy.control_failure]
        if all(proxy.pod.exists() for proxy in suspects):
            return
        self._say("a test pod is gone: the run's namespaces are made anew")
        self.close()
        self._prefix += "-r"
        self._applied = self._empty()

    def _let_forget(self, proxy: SidecarProxy) -> None:
        """Have a proxy drop its clusters, with the addresses that they know and have ejected.

        Raises:
            BackendError: it does not.
        """
        self._applied.withdraw()
        self._applied.mark(self._spaces())
        proxy.generation = self._applied.generation
        proxy.wait(self._timeout)
        self._meshes.clear()

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
        check(self._api.may, "isolated", "", context=self._api.context)
        sweep(self._api)
        self._begun = True

    def _proxy(self, workload: Workload, contract: Contract) -> SidecarProxy:
        for seen_by, known in self._proxies:
            if seen_by == workload:
                return known
        for seen_by, error in self._lost:
            if seen_by == workload:
                # What the cluster could not do is not waited for again.
                raise BackendError(error.tried, error.output, error.next_step)
        self._begin()
        self._applied.withdraw()
        space = self._applied.layout.name(workload.namespace)
        self._applied.make_namespaces([space])
        name = f"test-pod-{len(self._proxies) + len(self._lost)}"
        reading = Reading(self._meshes.program(contract, workload))
        pod = TestPod(
            self._api,
            space,
            name,
            self._directory.subdirectory("p"),
            reading,
            None if self._live else self._outside,
            "" if self._live else self._server(),
            self._say,
            images=self._images,
        )
        try:
            self._make_pod(name, space, workload)
            pod.start(self._timeout)
        except BaseException as error:
            pod.close()
            if isinstance(error, BackendError) and not isinstance(error, ApiError):
                self._lost.append((workload, error))
            raise
        proxy = SidecarProxy(pod, reading, self._outside, self._say, live=self._live)
        self._proxies.append((workload, proxy))
        return proxy

    def _make_pod(self, name: str, space: str, workload: Workload) -> None:
        from pytest_egress.backends.ownership import labels

        doing = f"make the test pod {space}/{name}"
        pods = f"/api/v1/namespaces/{space}/pods"
        trusted = "" if self._live else self._outside.ca_file.read_text()
        settings = bootstrap(name, space, trusted)
        self._api.create(f"/api/v1/namespaces/{space}/configmaps", settings, doing)
        self._api.create(
            istio_path(space, "envoyfilters", version="v1alpha3"),
            witness_filter(name, space),
            doing,
        )

        def body(simulated: Injected | None) -> dict[str, Any]:
            istiod = istiod_addresses(self._api, simulated) if simulated else {}
            return pod_of(
                name,
                space,
                workload,
                image=self._pod_image,
                service_account=self._service_account,
                labels=labels(),
                simulated=simulated,
                istiod=istiod,
                name_server=self._server() if simulated else "",
            )

        self._wait_for_account(space, doing)
        seen = injected(self._api.create(pods, body(None), doing, dryRun="All"))
        self._api.create(pods, body(None if self._live else seen), doing)

    def _server(self) -> str:
        if self._name_server is None:
            self._name_server = name_server(self._api)
        return self._name_server

    def _wait_for_account(self, space: str, doing: str) -> None:
        """Wait for the service account that a new namespace gets."""
        from pytest_egress.backends.cluster.progress import until

        path = f"/api/v1/namespaces/{space}/serviceaccounts/{self._service_account}"
        if self._service_account != "default":
            account = {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": self._service_account, "namespace": space},
            }
            self._api.create(f"/api/v1/namespaces/{space}/serviceaccounts", account, doing)

        def missing() -> str:
            try:
                self._api.get(path, doing)
            except ApiError as error:
                if error.status == 404:
                    return "its service account is not there"
                raise
            return ""

        failure = until(missing, self._timeout, "waiting for a service account", self._say)
        if failure:
            raise BackendError(f"cannot {doing}: {failure}")
