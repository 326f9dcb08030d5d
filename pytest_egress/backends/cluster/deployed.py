"""A cluster as it is deployed: nothing is applied, probes ask what really happens.

Only the test pod is made, in the workload's own namespace. What the sidecar says is read from its
own access log.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.api import Api, ApiError, istio_path
from pytest_egress.backends.cluster.facts import istiod_addresses, name_server
from pytest_egress.backends.cluster.keeper import Images
from pytest_egress.backends.cluster.layout import PLURALS, resources
from pytest_egress.backends.cluster.meshes import Meshes, members
from pytest_egress.backends.cluster.pod import injected, pod_of
from pytest_egress.backends.cluster.progress import Say, step
from pytest_egress.backends.cluster.proxy import SidecarProxy
from pytest_egress.backends.cluster.reading import Reading
from pytest_egress.backends.cluster.testpod import TestPod
from pytest_egress.backends.spread import at_once
from pytest_egress.errors import BackendError
from pytest_egress.probe import Options, Target

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.mesh import ClusterMesh
    from pytest_egress.backends.cluster.rbac import Mode
    from pytest_egress.backends.private import PrivateDirectory
    from pytest_egress.backends.spread import Spread
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload
    from pytest_egress.upstream import Outside

__all__ = ["Deployed", "differences"]

#: Every cluster has it, and every sidecar knows it unless a Sidecar hides it.
_KNOWN_SERVICE = "kubernetes.default.svc.cluster.local"


class Deployed:
    """The namespaces of a cluster as they are, with test pods of ours.

    Args:
        api: of the cluster.
        outside: the simulated one; in a live run it is not asked.
        directory: private to the run.
        pod_image: of the test pods.
        pods: test pods of each workload; in a workload's own pod there is always one container.
        service_account: of the test pods; it must be there.
        live: the real outside is asked.
        pod_root: the directory that stands for the pod's root.
        keep: the pods stay.
        timeout: seconds that a pod may take to be there.
        say: tells what is being waited for, and where the contract differs from the cluster.
        bring: called with each image that is run in a pod, before it is.
        source: the workload that probes start from, ``deploy/NAME`` or ``pod/NAME``; empty: a
            pod of ours.
    """

    def __init__(
        self,
        api: Api,
        outside: Outside,
        directory: PrivateDirectory,
        *,
        pod_image: str,
        pods: int,
        service_account: str,
        live: bool,
        pod_root: str,
        keep: bool,
        timeout: float,
        say: Say,
        bring: Callable[[str], None],
        source: str = "",
    ) -> None:
        self._api = api
        self._source = source
        self._outside = outside
        self._directory = directory
        self._pod_image = pod_image
        self._pods = pods
        self._service_account = service_account
        self._live = live
        self._keep = keep
        self._timeout = timeout
        self._say = say
        self._images = Images(pod_image, timeout, say, bring)
        self._lock = threading.RLock()
        self._checked: set[str] = set()
        self._compared: list[Contract] = []
        self._proxies: list[tuple[Workload, DeployedProxy]] = []
        self._meshes = Meshes(outside, pod_root, live=live)

    def enforce(self, contract: Contract, workload: Workload) -> ClusterMesh | Spread[ClusterMesh]:
        """Return a mesh whose pods are in the workload's namespace; nothing is applied.

        Raises:
            BackendError: the cluster cannot do it, or rights are missing.
        """
        with self._lock:
            if not any(it is contract or it == contract for it in self._compared):
                self._compared.append(contract)
                for difference in differences(self._api, contract):
                    self._say(difference)
            proxies = self._sidecars(contract, workload)
            mesh = self._meshes.of(contract, workload, proxies, self._outside.dns_generation)
            there = members(mesh)
            for it in there:
                reading = it.sidecar.reading
                if not reading.listeners or reading.program is not it.program:
                    reading.use(it.program, it.sidecar.pod.admin.listeners(), {})
            if all(it.sidecar.control_failure for it in there):
                at_once(lambda it: it.sidecar.look(), there)
            mesh.prepare()
            return mesh

    def close(self) -> None:
        """Remove the pods. Twice is once.

        Raises:
            BackendError: the cluster does not remove them; with their names.
        """
        from pytest_egress.backends.cluster.leftovers import delete_all

        with self._lock:
            proxies, self._proxies = self._proxies, []
            self._meshes.clear()
        for _, proxy in proxies:
            if proxy.end:
                with contextlib.suppress(BackendError):  # the container ends, and takes it along
                    proxy.pod.agent.exec(proxy.end, timeout=5.0)
            proxy.pod.close()
        own = [it.pod for _, it in proxies if not it.end]
        if not self._keep:
            paths = {f"pod {it.namespace}/{it.name}": it.path for it in own}
            delete_all(self._api, paths, grace=0)

    def _sidecars(self, contract: Contract, workload: Workload) -> list[DeployedProxy]:
        """Those that a workload's probes go through; pods that are gone are left out.

        Raises:
            BackendError: a pod cannot be made.
        """
        from pytest_egress.backends.cluster.leftovers import delete_all, sweep
        from pytest_egress.backends.cluster.rbac import check

        found = [known for seen_by, known in self._proxies if seen_by == workload]
        failed = [it for it in found if it.control_failure]
        # While probes are under way in the others, nothing keeps them waiting.
        if len(failed) == len(found) or not self._meshes.busy(workload):
            for proxy in failed:
                if not proxy.pod.exists():
                    found.remove(proxy)
                    proxy.pod.close()
                    self._proxies.remove((workload, proxy))
                    self._meshes.forget_lost()
        if found:
            return found
        space = workload.namespace
        if space not in self._checked:
            mode: Mode = "workload" if self._source else "deployed"
            with step("asking for this account's rights", self._say):
                check(self._api.may, mode, space, context=self._api.context)
                if not self._source:
                    sweep(self._api, space)
            self._checked.add(space)
        self._refuse_ambient(space)
        if self._source:
            return [self._borrow(contract, workload)]
        program = self._meshes.program(contract, workload)
        server = "" if self._live else name_server(self._api)
        made = [self._new_pod(space, Reading(program), server) for _ in range(self._pods)]

        def start(it: tuple[TestPod, Reading]) -> DeployedProxy:
            pod, reading = it
            pod.start(self._timeout, held=self._make(pod.name, workload, server))
            return DeployedProxy(pod, reading, self._outside, self._say, live=self._live)

        try:
            proxies = at_once(start, made)
        except BaseException:
            for pod, _ in made:
                pod.close()
            if not self._keep:
                paths = {f"pod {space}/{pod.name}": pod.path for pod, _ in made}
                try:
                    delete_all(self._api, paths, grace=0)
                except BackendError as error:  # what has failed first is what is raised
                    self._say(str(error))
            raise
        self._proxies += [(workload, proxy) for proxy in proxies]
        return proxies

    def _new_pod(self, space: str, reading: Reading, server: str) -> tuple[TestPod, Reading]:
        pod = TestPod(
            self._api,
            space,
            f"egress-test-{secrets.token_hex(4)}",
            self._directory.subdirectory("p"),
            reading,
            None if self._live else self._outside,
            server,
            self._say,
            own_log=True,
            images=self._images,
        )
        return pod, reading

    def _borrow(self, contract: Contract, workload: Workload) -> DeployedProxy:
        """A container of ours in a pod of the workload that was named."""
        from pytest_egress.backends.cluster.borrowed import borrow

        borrowed = borrow(self._api, workload.namespace, self._source, self._pod_image)
        reading = Reading(self._meshes.program(contract, workload))
        pod = TestPod(
            self._api,
            workload.namespace,
            borrowed.pod,
            self._directory.subdirectory("p"),
            reading,
            None,
            "",
            self._say,
            own_log=True,
            container=borrowed.container,
        )
        try:
            pod.start(self._timeout)
        except BaseException:
            pod.close()
            raise
        proxy = DeployedProxy(pod, reading, self._outside, self._say, live=True)
        proxy.end = borrowed.end
        self._proxies.append((workload, proxy))
        return proxy

    def _make(self, name: str, workload: Workload, server: str) -> bool:
        """Make a test pod; returns whether its proxy is held until there is an agent."""
        from pytest_egress.backends.ownership import labels

        pods = f"/api/v1/namespaces/{workload.namespace}/pods"
        doing = f"make the test pod {workload.namespace}/{name}"
        common: dict[str, Any] = {
            "image": self._pod_image,
            "service_account": self._service_account,
            "labels": labels(keep=self._keep),
            "trusted": self._outside.ca_file.read_text(),
        }
        bare = pod_of(name, workload.namespace, workload, **common)
        seen = injected(self._api.create(pods, bare, doing, dryRun="All"))
        if not self._live:
            addresses = istiod_addresses(self._api, seen)
            bare = pod_of(
                name,
                workload.namespace,
                workload,
                simulated=seen,
                istiod=addresses,
                name_server=server,
                held=True,
                **common,
            )
        self._api.create(pods, bare, doing)
        return seen.last and not self._live

    def _refuse_ambient(self, space: str) -> None:
        try:
            found = self._api.get(f"/api/v1/namespaces/{space}", f"read the namespace {space}")
        except ApiError as error:
            if error.status == 403:
                return
            raise
        if found["metadata"].get("labels", {}).get("istio.io/dataplane-mode") == "ambient":
            raise BackendError(
                f"the namespace {space} is in ambient mode: its pods have no sidecar whose records "
                "could prove a verdict",
                next_step="use the backend cluster without --egress-no-apply: its own namespaces "
                "have sidecars",
            )


class DeployedProxy(SidecarProxy):
    """The sidecar of a pod that nothing was applied for.

    Attributes:
        end: the command that ends a container in somebody else's pod; empty: the pod is ours.
    """

    end: Sequence[str] = ()

    def _pass_control(self) -> str:
        """Whether this proxy has been seen to pass anything on to an upstream."""
        witness = self.pod.witness
        if witness.passed:
            return ""
        options = Options(timeout=5.0, verify=False)
        probed = self.pod.agent.probe(Target.parse(f"tls://{_KNOWN_SERVICE}:443"), options)
        self.own.claim(probed.source)
        records = witness.wait(probed.source, 5.0) if probed.source else ()
        if witness.passed:
            return ""
        if not records:
            return (
                "the sidecar's access log has no record of a call: is it on (meshConfig "
                "accessLogFile: /dev/stdout, or a Telemetry), and in Istio's default format?"
            )
        return f"the proxy has passed nothing on so far, not even {_KNOWN_SERVICE}"


def differences(api: Api, contract: Contract) -> Iterator[str]:
    """Where the cluster does not hold what the contract's files say, a line for each resource.

    Raises:
        ApiError: the cluster cannot be asked.
    """
    for resource in resources(contract):
        kind = str(resource.manifest.get("kind", ""))
        metadata = resource.metadata
        if not kind:
            continue
        where = resource.at("metadata", "name")
        what = f"{kind} {metadata.namespace}/{metadata.name}"
        version = str(resource.manifest["apiVersion"]).rpartition("/")[2]
        path = istio_path(metadata.namespace, PLURALS[kind], metadata.name, version)
        try:
            held = api.get(path, f"read {what}")
        except ApiError as error:
            if error.status != 404:
                raise
            yield f"{where}: {what} is not in the cluster"
            continue
        place = _unlike(resource.manifest.get("spec") or {}, held.get("spec") or {}, "spec")
        if place:
            yield f"{where}: {what} is another one in the cluster: {place}"


def _unlike(wanted: Any, held: Any, path: str) -> str:
    """Where two values differ first; empty where they do not."""
    if isinstance(wanted, Mapping) and isinstance(held, Mapping):
        for key in dict.fromkeys([*wanted, *held]):
            if key not in held:
                return f"{path}.{key} is absent there"
            if key not in wanted:
                return f"{path}.{key} is set there"
            found = _unlike(wanted[key], held[key], f"{path}.{key}")
            if found:
                return found
        return ""
    if isinstance(wanted, list) and isinstance(held, list):
        if len(wanted) != len(held):
            return f"{path} has {len(held)} items there, not {len(wanted)}"
        pairs = enumerate(zip(wanted, held, strict=True))
        return next((found for i, (a, b) in pairs if (found := _unlike(a, b, f"{path}[{i}]"))), "")
    return "" if wanted == held else f"{path} is {held!r} there, not {wanted!r}"
