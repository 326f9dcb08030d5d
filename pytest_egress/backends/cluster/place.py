"""A run's own part of a cluster: its namespaces, what is applied there, and its test pods."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.api import Api, ApiError, istio_path
from pytest_egress.backends.cluster.facts import istiod_addresses, name_server
from pytest_egress.backends.cluster.layout import Layout, Placed, control_objects, manifests
from pytest_egress.backends.cluster.pod import (
    Injected,
    bootstrap,
    injected,
    namespace,
    pod_of,
    witness_filter,
)
from pytest_egress.backends.cluster.progress import Say, step
from pytest_egress.backends.cluster.proxy import SidecarProxy
from pytest_egress.backends.cluster.reading import Reading
from pytest_egress.backends.cluster.rivals import rivals
from pytest_egress.backends.cluster.testpod import TestPod
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.mesh import ClusterMesh
    from pytest_egress.backends.private import PrivateDirectory
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload
    from pytest_egress.envoy import Program
    from pytest_egress.upstream import Outside

__all__ = ["Place", "compiled"]

_TICK = 0.1  # seconds, between tries to be younger
_AT_ONCE = 8  # requests under way at the same time


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
    ) -> None:
        self.layout = Layout(prefix)
        self._api = api
        self._outside = outside
        self._directory = directory
        self._pod_image = pod_image
        self._service_account = service_account
        self._revision = revision
        self._live = live
        self._pod_root = pod_root
        self._keep = keep
        self._timeout = timeout
        self._say = say
        self._lock = threading.RLock()
        self._namespaces: set[str] = set()
        self._applied: dict[tuple[str, str, str], Placed] = {}
        self._born: dict[tuple[str, str, str], str] = {}  # by the cluster's clock
        self._current: tuple[Contract, Workload] | None = None
        self._generation = 0
        self._proxies: list[tuple[Workload, SidecarProxy]] = []
        self._lost: list[tuple[Workload, BackendError]] = []  # pods that did not come up
        self._meshes: list[ClusterMesh] = []
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
            known = [it for it in self._meshes if it.enforces(contract, workload)]
            if any(it.stale(generation) for it in known):
                self._let_forget(proxy)
            if self._current is None or not _same(self._current, contract, workload):
                self._apply(contract, workload)
                self._current = (contract, workload)
            mesh = self._mesh(contract, workload, proxy, generation)
            if proxy.generation != self._generation or proxy.control_failure:
                proxy.generation = self._generation
                proxy.wait(self._timeout)
                namespaces = {
                    cluster: own
                    for own, cluster in self.layout.namespaces(contract, workload).items()
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
            names, self._namespaces = self._namespaces, set()
        if not self._keep:
            for name in sorted(names):
                self._api.delete(f"/api/v1/namespaces/{name}", f"delete the namespace {name}")

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
        self.layout = Layout(f"{self.layout.prefix}-r")
        self._applied.clear()
        self._current = None

    # -- contracts --------------------------------------------------------------------------------

    def _mesh(
        self, contract: Contract, workload: Workload, proxy: SidecarProxy, generation: int
    ) -> ClusterMesh:
        from pytest_egress.backends.cluster.mesh import ClusterMesh
        from pytest_egress.backends.declaring import clients_of, endpoints_of

        for known in self._meshes:
            if known.enforces(contract, workload) and known.pod is proxy.pod:
                return known
        program = compiled(contract, workload)
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
        self._meshes.append(mesh)
        return mesh

    def _apply(self, contract: Contract, workload: Workload) -> None:
        """Put a contract in the place of the one before, the control last.

        Raises:
            BackendError: the cluster refuses a part of it; with the resource's place.
        """
        spaces = self.layout.namespaces(contract, workload)
        self._make_namespaces(spaces.values())
        wanted = {it.key: it for it in manifests(contract, workload, self.layout)}
        self._generation += 1
        control: dict[tuple[str, str, str], Placed] = {}
        for name in {spaces[workload.namespace], *(it.pod.namespace for _, it in self._proxies)}:
            control |= {it.key: it for it in control_objects(name, self._generation)}
        gone = [it for key, it in self._applied.items() if key not in wanted | control]
        by_origin = {id(it.origin): it for it in wanted.values() if it.origin is not None}
        groups = [
            [by_origin[id(it)] for it in group if id(it) in by_origin]
            for group in rivals(contract, workload.namespace)
        ]
        late = [group for group in groups if not self._in_turn(group)]
        apart = {it.key for group in late for it in group}
        changed = [it for key, it in wanted.items() if key not in apart and not self._has(key, it)]
        with (
            step(f"applying {len(changed)} objects", self._say),
            ThreadPoolExecutor(_AT_ONCE, "pytest-egress-apply") as executor,
        ):
            list(executor.map(self._remove, gone))
            list(executor.map(self._put, changed))
            list(executor.map(self._put_in_turn, late))
            list(executor.map(self._put, control.values()))

    def _in_turn(self, group: list[Placed]) -> bool:
        """Whether rivals are there as they are wanted, each younger than those before it."""
        born = [self._born.get(it.key, "") for it in group if self._has(it.key, it)]
        return len(born) == len(group) and all(one < other for one, other in pairwise(born))

    def _put_in_turn(self, group: list[Placed]) -> None:
        """Create rivals, each younger than those before it by the cluster's clock.

        That one tells whole seconds.
        """
        for placed in group:
            if placed.key in self._applied:
                self._remove(placed)
        last = ""
        for placed in group:
            while True:
                self._put(placed)
                if self._born[placed.key] > last:
                    break
                self._remove(placed)
                time.sleep(_TICK)
            last = self._born[placed.key]

    def _withdraw(self) -> None:
        """Take back what is applied, for a while.

        A proxy that starts with it would look names up before there is an agent to answer, and
        would ask again only after a minute.
        """
        with ThreadPoolExecutor(_AT_ONCE, "pytest-egress-apply") as executor:
            list(executor.map(self._remove, list(self._applied.values())))
        self._current = None

    def _let_forget(self, proxy: SidecarProxy) -> None:
        """Have a proxy drop its clusters, with the addresses that they know and have ejected.

        Raises:
            BackendError: it does not.
        """
        self._withdraw()
        self._generation += 1
        spaces = {it.pod.namespace for _, it in self._proxies}
        control = [it for name in spaces for it in control_objects(name, self._generation)]
        with ThreadPoolExecutor(_AT_ONCE, "pytest-egress-apply") as executor:
            list(executor.map(self._put, control))
        proxy.generation = self._generation
        proxy.wait(self._timeout)
        self._meshes.clear()

    def _has(self, key: tuple[str, str, str], placed: Placed) -> bool:
        known = self._applied.get(key)
        return known is not None and known.body == placed.body

    def _put(self, placed: Placed) -> None:
        where = f" ({placed.origin.at('metadata', 'name')})" if placed.origin else ""
        doing = f"apply {placed.body['kind']} {placed.name}{where}"
        version = placed.body["apiVersion"].rpartition("/")[2]
        path = istio_path(placed.namespace, placed.plural, placed.name, version)
        if placed.key not in self._applied:
            base = istio_path(placed.namespace, placed.plural, version=version)
            created = self._api.create(base, placed.body, doing)
            self._born[placed.key] = created["metadata"]["creationTimestamp"]
        else:
            self._replace(path, placed.body, doing)
        self._applied[placed.key] = placed

    def _replace(self, path: str, body: Mapping[str, Any], doing: str) -> None:
        """Replace an object, which istiod may be writing to at the same time."""
        for attempt in range(5):
            known = self._api.get(path, doing)
            version = {"resourceVersion": known["metadata"]["resourceVersion"]}
            try:
                self._api.replace(
                    path, {**body, "metadata": {**body["metadata"], **version}}, doing
                )
            except ApiError as error:
                if error.status != 409 or attempt == 4:
                    raise
            else:
                return

    def _remove(self, placed: Placed) -> None:
        version = placed.body["apiVersion"].rpartition("/")[2]
        path = istio_path(placed.namespace, placed.plural, placed.name, version)
        self._api.delete(path, f"remove {placed.body['kind']} {placed.name}")
        del self._applied[placed.key]
        self._born.pop(placed.key, None)

    def _make_namespaces(self, names: Iterable[str]) -> None:
        from pytest_egress.backends.ownership import labels

        for name in names:
            if name not in self._namespaces:
                body = namespace(name, labels(keep=self._keep), self._revision)
                self._api.create("/api/v1/namespaces", body, f"make the namespace {name}")
                self._namespaces.add(name)

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
        self._withdraw()
        space = self.layout.name(workload.namespace)
        self._make_namespaces([space])
        name = f"test-pod-{len(self._proxies) + len(self._lost)}"
        reading = Reading(compiled(contract, workload))
        pod = TestPod(
            self._api,
            space,
            name,
            self._directory.subdirectory("p"),
            reading,
            None if self._live else self._outside,
            "" if self._live else self._server(),
            self._say,
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


def _same(current: tuple[Contract, Workload], contract: Contract, workload: Workload) -> bool:
    known, seen_by = current
    if known is not contract and known != contract:
        return False
    return seen_by.namespace == workload.namespace


def compiled(contract: Contract, workload: Workload) -> Program:
    """What istiod makes of a contract, as far as it is known here."""
    from pytest_egress.contract.allocation import allocate
    from pytest_egress.envoy import compile_contract

    return compile_contract(allocate(contract) if workload.dns_capture else contract, workload)
