"""An existing workload to probe from: an ephemeral container in one of its pods."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.cluster.ephemeral import add
from pytest_egress.backends.cluster.pod import PROXY
from pytest_egress.errors import BackendError

__all__ = ["Borrowed", "borrow"]

# A container of this kind cannot be removed: it ends when it is told to, and when no agent has run
# in it for a minute, because the run was killed.
_IDLE = """
import os, signal
from pathlib import Path
ends = [signal.SIGTERM, signal.SIGINT]
signal.pthread_sigmask(signal.SIG_BLOCK, ends)
own = Path("/proc") / str(os.getpid()) / "cmdline"
agent = b"agent" + b".inside"
def lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if path != own:
            try:
                yield path.read_bytes()
            except OSError:
                pass
alone = 0
while alone < 60 and signal.sigtimedwait(ends, 5) is None:
    alone = 0 if any(agent in line for line in lines()) else alone + 5
"""
_END = ["python3", "-c", "import os, signal; os.kill(1, signal.SIGTERM)"]
_KINDS = {
    "deploy": ("apps/v1", "deployments"),
    "deployment": ("apps/v1", "deployments"),
    "deployments": ("apps/v1", "deployments"),
}


class Borrowed:
    """A container of ours in a pod of somebody else's.

    Attributes:
        pod: the pod's name.
        container: the container's.
        labels: the pod's.
        end: the command that ends the container, run in it.
    """

    def __init__(self, pod: str, container: str, labels: Mapping[str, str]) -> None:
        self.pod = pod
        self.container = container
        self.labels = labels
        self.end = list(_END)


def borrow(api: Api, namespace: str, workload: str, image: str) -> Borrowed:
    """Add an ephemeral container to a pod of a workload.

    Args:
        api: of the cluster.
        namespace: the workload's.
        workload: ``deploy/NAME`` or ``pod/NAME``.
        image: has Python 3.10 or newer.

    Raises:
        BackendError: there is no such workload, none of its pods is ready, or it has no sidecar.
    """
    pod = _pod(api, namespace, workload)
    name = str(pod["metadata"]["name"])
    spec = pod["spec"]
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    if not any(it["name"] == PROXY for it in containers):
        raise BackendError(
            f"the pod {namespace}/{name} of {workload} has no sidecar (container {PROXY})",
            next_step="probes from a pod outside of the mesh, or in ambient mode, prove nothing",
        )
    container = f"egress-{secrets.token_hex(4)}"
    body = {
        "name": container,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", _IDLE],
    }
    add(api, pod, body, f"add a container to the pod {namespace}/{name}")
    return Borrowed(name, container, pod["metadata"].get("labels", {}))


def _pod(api: Api, namespace: str, workload: str) -> dict[str, Any]:
    kind, slash, name = workload.partition("/")
    if not slash or not name or kind not in {*_KINDS, "pod", "pods"}:
        raise BackendError(f"--egress-from={workload}: expected deploy/NAME or pod/NAME")
    doing = f"find {workload} in the namespace {namespace}"
    if kind in {"pod", "pods"}:
        return api.get(f"/api/v1/namespaces/{namespace}/pods/{name}", doing)
    group, plural = _KINDS[kind]
    try:
        found = api.get(f"/apis/{group}/namespaces/{namespace}/{plural}/{name}", doing)
    except ApiError as error:
        if error.status == 404:
            raise BackendError(f"there is no {workload} in the namespace {namespace}") from error
        raise
    selector = found["spec"]["selector"].get("matchLabels", {})
    query = ",".join(f"{key}={value}" for key, value in selector.items())
    pods = api.get(f"/api/v1/namespaces/{namespace}/pods", doing, labelSelector=query)
    for pod in pods.get("items", ()):
        ready = {it["type"]: it["status"] for it in pod["status"].get("conditions", ())}
        if ready.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]:
            return dict(pod)
    raise BackendError(f"no pod of {workload} in the namespace {namespace} is ready")
