"""Containers that are added to a pod that runs; Kubernetes removes none of them before the pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_egress.backends.cluster.api import Api

__all__ = ["add", "failed", "state", "stuck"]

Json = dict[str, Any]

# What a container waits for in vain: nothing here will change it.
_STUCK = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}


def add(api: Api, pod: Mapping[str, Any], container: Json, doing: str) -> None:
    """Add a container to a pod.

    Args:
        api: of its cluster.
        pod: as the cluster has it.
        container: of the kind EphemeralContainer.
        doing: for the message.

    Raises:
        ApiError: the cluster refuses it.
    """
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
    known = pod["spec"].get("ephemeralContainers", ())
    body = {"spec": {"ephemeralContainers": [*known, container]}}
    api.patch(f"{path}/ephemeralcontainers", body, doing)


def state(pod: Mapping[str, Any], name: str) -> Json:
    """The state of a container that was added: ``waiting``, ``running`` or ``terminated``.

    Empty where the cluster has not taken note of it yet.
    """
    for status in pod.get("status", {}).get("ephemeralContainerStatuses", ()):
        if status["name"] == name:
            return dict(status.get("state", {}))
    return {}


def failed(told: Mapping[str, Any]) -> bool:
    """Whether a container in this state was started, without success: it is not tried again."""
    return bool(told.get("waiting", {}).get("reason") == "RunContainerError")


def stuck(told: Mapping[str, Any]) -> str:
    """Why a container in this state will not start; empty where it still may."""
    waiting = told.get("waiting", {})
    if waiting.get("reason") in _STUCK:
        return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    ended = told.get("terminated", {})
    if ended.get("reason") in {"StartError", "ContainerCannotRun"}:
        return f"{ended['reason']}: {ended.get('message', '')}".rstrip(": ")
    return ""
