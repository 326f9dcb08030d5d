"""A kind cluster: made by whoever comes first, shared, and removed by whoever leaves last."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.cluster.progress import Say
from pytest_egress.backends.kind.istio import Istio, operator
from pytest_egress.backends.kind.lease import Lease
from pytest_egress.backends.kind.programs import engine, run
from pytest_egress.backends.ownership import labels
from pytest_egress.errors import BackendError

__all__ = ["KindCluster", "Wanted", "remove"]

_MAKE_TIMEOUT = 600.0  # seconds: the images of a node may have to be pulled first
_INSTALL_TIMEOUT = 420.0
_SHORT = 60.0
_LOAD_TIMEOUT = 300.0


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
        with self._lease.making(self._say):
            there = name in _names()
            ours = bool(self._lease.record)
            if there and not ours and not self.wanted.reuse:
                raise BackendError(
                    f"there is a kind cluster {name}, and no run of pytest-egress has made it",
                    next_step="use it with --egress-reuse, or give another name with "
                    "--egress-cluster-name",
                )
            if there and not self._usable():
                if not ours or self._lease.in_use():
                    raise BackendError(
                        f"the kind cluster {name} does not answer",
                        next_step=f"remove it (kind delete cluster --name {name}) and run again",
                    )
                remove(name, self._say)  # what a run that was killed has left half-made
                there = False
            if not there:
                self._lease.note({**labels(), "keep": self.wanted.keep or self.wanted.reuse})
                self._make()
            self._lease.hold()
            self._entered = True
            api = self._api()
            self._load()
            if not _has_istiod(api):
                self._install()
            return api

    def leave(self) -> None:
        """Be done with the cluster; it is removed if nobody else uses it. Twice is once."""
        if not self._entered:
            return
        self._entered = False
        with self._lease.making(self._say):
            last = self._lease.release()
            record = self._lease.record
            kept = self.wanted.keep or self.wanted.reuse or record.get("keep")
            if last and record and not kept:
                remove(self.wanted.name, self._say)
                self._lease.forget()

    def _api(self) -> Api:
        return Api(f"kind-{self.wanted.name}", str(self.kubeconfig))

    def _usable(self) -> bool:
        """Whether a cluster that is there answers; writes its kubeconfig."""
        try:
            config = run(
                ["kind", "get", "kubeconfig", "--name", self.wanted.name],
                f"read the kubeconfig of the cluster {self.wanted.name}",
                timeout=_SHORT,
            )
            self._write(config)
            self._api().text("/readyz", "ask whether the cluster is ready")
        except BackendError:
            return False
        return True

    def _write(self, config: str) -> None:
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(config)

    def _make(self) -> None:
        wanted = self.wanted
        command = ["kind", "create", "cluster", "--name", wanted.name, "--wait", "180s"]
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

    def _load(self) -> None:
        wanted = self.wanted
        images = [wanted.pod_image]
        if not wanted.istio.manifest:
            images += wanted.istio.images(self._istioctl_version())
        self.load(images)

    def load(self, images: Sequence[str]) -> None:
        """Give the nodes those images that are on this machine, and that they lack.

        Raises:
            BackendError: kind cannot.
        """
        wanted = self.wanted
        nodes = run(
            ["kind", "get", "nodes", "--name", wanted.name],
            f"list the nodes of {wanted.name}",
            timeout=_SHORT,
        ).split()
        for node in nodes:
            there = run(
                [engine(), "exec", node, "ctr", "-n", "k8s.io", "images", "ls", "-q"],
                f"list the images of the node {node}",
                timeout=_SHORT,
            ).split()
            known = {_short(it) for it in there}
            for image in images:
                if _short(image) not in known and _here(image):
                    run(
                        [
                            "kind",
                            "load",
                            "docker-image",
                            image,
                            "--name",
                            wanted.name,
                            "--nodes",
                            node,
                        ],
                        f"load the image {image} into the node {node}",
                        timeout=_LOAD_TIMEOUT,
                        say=self._say,
                    )

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


def remove(name: str, say: Say) -> None:
    """Remove a cluster; one that is not there is removed already.

    Raises:
        BackendError: kind cannot.
    """
    run(
        ["kind", "delete", "cluster", "--name", name],
        f"remove the kind cluster {name}",
        timeout=_LOAD_TIMEOUT,
        say=say,
    )


def _names() -> list[str]:
    told = run(["kind", "get", "clusters"], "list the kind clusters", timeout=_SHORT)
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


def _here(image: str) -> bool:
    """Whether the container engine of this machine has an image."""
    try:
        run([engine(), "image", "inspect", image], f"look for {image}", timeout=_SHORT)
    except BackendError:
        return False
    return True


def _short(image: str) -> str:
    """An image's name without what every engine adds to it."""
    return image.removeprefix("docker.io/").removeprefix("library/")
