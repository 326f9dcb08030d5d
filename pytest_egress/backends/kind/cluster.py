"""A kind cluster: made by whoever comes first, shared, and removed by whoever leaves last."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.cluster.progress import Say
from pytest_egress.backends.kind.images import held, in_nodes, load, nodes_without
from pytest_egress.backends.kind.istio import Istio, is_istiod, operator
from pytest_egress.backends.kind.lease import Lease
from pytest_egress.backends.kind.programs import engine, find, run
from pytest_egress.backends.ownership import labels
from pytest_egress.errors import BackendError

__all__ = ["KindCluster", "Wanted", "remove"]

_MAKE_TIMEOUT = 600.0  # seconds: the images of a node may have to be pulled first
_INSTALL_TIMEOUT = 420.0
_SHORT = 60.0
_SETTLE = 1.0
_REMOVE_TIMEOUT = 300.0
_ASIDE = 4  # things that are done beside the making of a cluster


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings say of the cluster.

    Attributes:
        name: its name.
        reuse: use one that is there, whoever made it, and leave it there.
        keep: leave it there.
        config: a file with kind's Cluster; empty: kind's default, one node.
        image: of its nodes; empty: kind's own.
        istio: which one is installed.
        pod_image: of the test pods: it is loaded from this machine where it is here.
    """

    name: str
    reuse: bool
    keep: bool
    config: str
    image: str
    istio: Istio
    pod_image: str


class KindCluster:
    """The use of a kind cluster by this process.

    Args:
        wanted: what the settings say.
        directory: private to this process; the kubeconfig stands there.
        say: tells what is being done.
    """

    def __init__(self, wanted: Wanted, directory: Path, say: Say) -> None:
        self.wanted = wanted
        self.kubeconfig = directory / "kubeconfig"
        self._say = say
        self._lease = Lease(wanted.name)
        self._entered = False

    def enter(self) -> Api:
        """Return the cluster's API once it has nodes and an Istio.

        Raises:
            BackendError: it cannot be made, or is another's.
        """
        name = self.wanted.name
        self._need_programs()
        with (
            self._lease.making(self._say),
            ThreadPoolExecutor(_ASIDE, "pytest-egress-kind") as aside,
        ):
            aside.submit(import_module, "kubernetes.config")  # it takes half a second
            images = aside.submit(self._images)
            ours = bool(self._lease.record)
            known = ours or self.wanted.reuse  # no other one is used
            config = aside.submit(self._config) if known else None
            nodes = aside.submit(in_nodes, name) if known else None
            there = name in _names()
            if there and not known:
                raise BackendError(
                    f"there is a kind cluster {name}, and no run of pytest-egress has made it",
                    next_step="use it with --egress-reuse, or give another name with "
                    "--egress-cluster-name",
                )
            api = self._reach(config) if there and config else None
            if there and api is None and (not ours or self._lease.in_use()):
                raise BackendError(
                    f"the kind cluster {name} does not answer",
                    next_step=f"remove it (kind delete cluster --name {name}) and run again",
                )
            if api is None:
                if ours and not self._lease.in_use():
                    remove(name, self._say, half_made=True)
                self._lease.note({**labels(), "keep": self.wanted.keep or self.wanted.reuse})
                self._make()
                api, nodes = self._api(), aside.submit(in_nodes, name)
                there = False
            self._lease.hold()
            self._entered = True
            lacking = nodes_without(images.result(), nodes.result() if nodes else {})
            if there and _has_istiod(api):
                load(name, lacking, self._say)
            else:
                # Istiod's own comes first: its pod would have it pulled.
                late = {it: lacking.pop(it) for it in list(lacking) if not is_istiod(it)}
                load(name, lacking, self._say)
                loaded = aside.submit(load, name, late, self._say)
                try:
                    self._install()
                except BackendError as error:
                    raise self._whole(error) from error
                loaded.result()
            return api

    def leave(self) -> bool:
        """Be done with the cluster; it is removed if nobody else uses it. Twice is once.

        Returns:
            Whether it has been removed.

        Raises:
            BackendError: it cannot be removed.
        """
        if not self._entered:
            return False
        self._entered = False
        with self._lease.making(self._say):
            last = self._lease.release()
            record = self._lease.record
            kept = self.wanted.keep or self.wanted.reuse or record.get("keep")
            if last and record and not kept:
                remove(self.wanted.name, self._say)
                self._lease.forget()
                return True
        return False

    def _need_programs(self) -> None:
        """Return if the programs are there: not found only when a cluster has been made."""
        for program in ("kind", engine(), "kubectl" if self.wanted.istio.manifest else "istioctl"):
            find(program)

    def _api(self) -> Api:
        return Api(f"kind-{self.wanted.name}", str(self.kubeconfig))

    def _config(self) -> str:
        """The kubeconfig of a cluster that is there."""
        return run(
            ["kind", "get", "kubeconfig", "--name", self.wanted.name],
            f"read the kubeconfig of the cluster {self.wanted.name}",
            timeout=_SHORT,
        )

    def _reach(self, config: Future[str]) -> Api | None:
        """The API of a cluster that is there; None where it does not answer."""
        try:
            self._write(config.result())
            api = self._api()
            api.text("/readyz", "ask whether the cluster is ready")
        except BackendError:
            return None
        return api

    def _write(self, config: str) -> None:
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(config)

    def _make(self) -> None:
        wanted = self.wanted
        # Istio is installed while the nodes become ready: its own readiness is what is waited for.
        command = ["kind", "create", "cluster", "--name", wanted.name, "--wait", "0s"]
        command += ["--kubeconfig", str(self.kubeconfig)]
        if wanted.image:
            command += ["--image", wanted.image]
        if wanted.config:
            command += ["--config", wanted.config]
        doing = f"make the kind cluster {wanted.name}"
        try:
            run(command, doing, timeout=_MAKE_TIMEOUT, say=self._say)
        except BaseException:
            try:
                remove(wanted.name, self._say)
            finally:
                self._lease.forget()
            raise

    def load(self, images: Sequence[str]) -> None:
        """Give the nodes those images that are on this machine, and that they lack.

        Raises:
            BackendError: kind cannot.
        """
        name = self.wanted.name
        load(name, nodes_without(held(images), in_nodes(name)), self._say)

    def _images(self) -> list[str]:
        """Those of the test pods and of Istio that this machine has."""
        istio = self.wanted.istio
        images = [self.wanted.pod_image]
        if not istio.manifest:
            images += istio.images(self._istioctl_version)
        return held(images)

    def _install(self) -> None:
        istio = self.wanted.istio
        if istio.manifest:
            run(
                [
                    "kubectl",
                    "--kubeconfig",
                    str(self.kubeconfig),
                    "apply",
                    "--server-side",
                    "-f",
                    istio.manifest,
                ],
                f"apply {istio.manifest}",
                timeout=_INSTALL_TIMEOUT,
                say=self._say,
            )
            run(
                [
                    "kubectl",
                    "--kubeconfig",
                    str(self.kubeconfig),
                    "-n",
                    "istio-system",
                    "rollout",
                    "status",
                    "deployment",
                    "--timeout=300s",
                ],
                "wait for istiod",
                timeout=_INSTALL_TIMEOUT,
                say=self._say,
            )
            return
        minimal = self.kubeconfig.with_name("istio.json")
        minimal.write_text(json.dumps(operator(istio.version)))
        command = ["istioctl", "install", "-y", "--kubeconfig", str(self.kubeconfig)]
        command += ["-f", str(minimal)]
        if istio.values:
            command += ["-f", istio.values]
        run(command, "install Istio", timeout=_INSTALL_TIMEOUT, say=self._say)

    def _whole(self, error: BackendError) -> BackendError:
        """A failure to install Istio, with what the cluster says of Istio's pods."""
        told = [error.output, *_troubles(self._api(), "istio-system")]
        return BackendError(error.tried, "\n".join(filter(None, told)), error.next_step)

    def _istioctl_version(self) -> str:
        told = run(
            ["istioctl", "version", "--remote=false", "-o", "json"],
            "ask istioctl for its version",
            timeout=_SHORT,
        )
        try:
            return str(json.loads(told[told.find("{") :])["clientVersion"]["version"])
        except (ValueError, KeyError):
            return ""


def remove(name: str, say: Say, *, half_made: bool = False) -> None:
    """Remove a cluster; one that is not there is removed already.

    Args:
        name: the cluster's.
        say: tells that it lasts.
        half_made: a run may have been killed while it made it. The engine may then still be making
            a container that was asked for, and list it again although it has been removed.

    Raises:
        BackendError: kind cannot.
    """
    deadline = time.monotonic() + _REMOVE_TIMEOUT
    times_gone = 0
    while times_gone < (2 if half_made else 1):
        if not times_gone:
            run(
                ["kind", "delete", "cluster", "--name", name],
                f"remove the kind cluster {name}",
                timeout=_REMOVE_TIMEOUT,
                say=say,
            )
        elif half_made:
            time.sleep(_SETTLE)
        times_gone = 0 if name in _names() else times_gone + 1
        if not times_gone:
            if time.monotonic() > deadline:
                raise BackendError(f"cannot remove the kind cluster {name}: it is still there")
            time.sleep(_SETTLE)


def _troubles(api: Api, namespace: str) -> Iterator[str]:
    """What keeps the pods of a namespace from being ready, with their events."""
    from pytest_egress.backends.cluster.diagnosis import read_events
    from pytest_egress.backends.cluster.podstatus import failing, unready

    try:
        pods = api.get(f"/api/v1/namespaces/{namespace}/pods", "look for pods").get("items", ())
    except BackendError as error:
        yield str(error)
        return
    for pod in pods:
        name = pod["metadata"]["name"]
        if why := failing(pod) or unready(pod):
            yield f"pod {namespace}/{name}: {why}"
            yield from read_events(api, namespace, name).splitlines()


def _names() -> list[str]:
    told = run(
        ["kind", "get", "clusters"],
        "list the kind clusters",
        timeout=_SHORT,
        hint=f"does the container engine run? {engine()} info says so",
    )
    return told.split()


def _has_istiod(api: Api) -> bool:
    path = "/apis/apps/v1/namespaces/istio-system/deployments"
    try:
        found = api.get(path, "look for istiod", labelSelector="app=istiod")
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return any(it.get("status", {}).get("readyReplicas") for it in found.get("items", ()))
