"""A container beside the test pod's own that holds others at their start: see `Keeper`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.agent import Agent
from pytest_egress.backends.cluster.api import Api
from pytest_egress.backends.cluster.ephemeral import add, state, stuck
from pytest_egress.backends.cluster.progress import Say, until
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.agent.connection import Connection

__all__ = ["Images", "Keeper"]

_NAME = "egress-keeper"


@dataclass(frozen=True, slots=True)
class Images:
    """How images of a user's are brought into test pods.

    Attributes:
        own: the test pod's own: Python 3.10 or newer.
        timeout: seconds that a container may take to start.
        say: tells what is being waited for.
        bring: called with each image before it is used: the nodes get what this machine has.
    """

    own: str
    timeout: float
    say: Say
    bring: Callable[[str], None]


class Keeper:
    """Sees the first process of a new container before it is the image's program, and holds it.

    It is a container of the test pod, added when the first image is run, that may trace: it shares
    the process namespace of the pod's own container, as those that it holds do.

    Args:
        api: of the cluster.
        namespace: of the pod.
        pod: its name.
        target: the container whose process namespace is shared.
        images: how they are brought there.
    """

    def __init__(self, api: Api, namespace: str, pod: str, target: str, images: Images) -> None:
        self.api = api
        self.namespace = namespace
        self.pod = pod
        self.target = target
        self.images = images
        self.path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        self._lock = threading.Lock()
        self._added = False
        self._agent = Agent(
            lambda command: api.exec(namespace, pod, _NAME, command),
            name=f"the pod {namespace}/{pod}",
        )

    @property
    def connection(self) -> Connection:
        """The stream to its agent; the container is added on first use.

        Raises:
            BackendError: it cannot be, or rights are missing.
        """
        with self._lock:
            if not self._added:
                self._add()
                self._added = True
        return self._agent.connection

    def read(self) -> dict[str, Any]:
        """The pod as the cluster has it.

        Raises:
            ApiError: it cannot be read.
        """
        return self.api.get(self.path, f"read the pod {self.pod}")

    def add(self, container: dict[str, Any], doing: str) -> None:
        """Add a container to the pod, which shares the process namespace.

        Raises:
            ApiError: the cluster refuses it.
        """
        body = {"imagePullPolicy": "IfNotPresent", "targetContainerName": self.target, **container}
        add(self.api, self.read(), body, doing)

    def close(self) -> None:
        """End its agent, and with it what it holds and what it has let go. Twice is once."""
        self._agent.close()

    def _add(self) -> None:
        from pytest_egress.backends.cluster.rbac import check_extra

        check_extra(self.api.may, "pod-run", self.namespace, context=self.api.context)
        container = {
            "name": _NAME,
            "image": self.images.own,
            "command": ["sleep", "2147483647"],
            "securityContext": {
                "runAsUser": 0,
                "runAsNonRoot": False,
                "capabilities": {"add": ["SYS_PTRACE"]},
            },
        }
        self.add(container, "add a container that may trace (SYS_PTRACE) to the test pod")

        def missing() -> str:
            told = state(self.read(), _NAME)
            failure = stuck(told)
            if failure:
                raise BackendError(f"the container {_NAME} of the test pod cannot start", failure)
            return "" if "running" in told else "it does not run yet"

        failure = until(missing, self.images.timeout, f"waiting for {_NAME}", self.images.say)
        if failure:
            raise BackendError(
                f"the container {_NAME} of the test pod does not run after "
                f"{self.images.timeout:g} s"
            )
