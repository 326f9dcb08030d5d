"""What the status of a pod says of its use: what has failed, what has to be waited for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["failing", "not_begun", "not_running", "runs", "stays", "unready"]


def not_running(pod: Mapping[str, Any], container: str) -> str:
    """What keeps an ephemeral container from being used; empty when nothing does."""
    for status in pod.get("status", {}).get("ephemeralContainerStatuses", ()):
        if status["name"] == container:
            state = status.get("state", {})
            waiting = state.get("waiting", {})
            if "running" in state:
                return ""
            if "terminated" in state:
                return f"{container} ended with exit status {state['terminated'].get('exitCode')}"
            return f"{container}: {waiting.get('reason', '')} {waiting.get('message', '')}".strip()
    return f"{container} has just been added"


def failing(pod: Mapping[str, Any]) -> str:
    """What has gone wrong with a pod; empty when nothing has, so far."""
    if not pod:
        return "it is not there (deleted or evicted)"
    status = pod.get("status", {})
    if pod.get("metadata", {}).get("deletionTimestamp"):
        return "it is being deleted"
    if status.get("phase") == "Failed":
        return f"it has failed: {status.get('reason', '')} {status.get('message', '')}".strip()
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind, ()):
            state = container.get("state", {})
            waiting = state.get("waiting", {})
            ended = state.get("terminated", {})
            if waiting.get("message"):
                return f"{container['name']}: {waiting['reason']}: {waiting['message']}"
            if ended and ended.get("exitCode"):
                return f"{container['name']} ended with exit status {ended['exitCode']}"
    return ""


def stays(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is there and not about to go; what has failed in it starts again."""
    gone = not pod or "deletionTimestamp" in pod.get("metadata", {})
    return not gone and pod.get("status", {}).get("phase") != "Failed"


def not_begun(pod: Mapping[str, Any]) -> str:
    """What has to happen before a pod's containers start; empty when nothing has."""
    status = pod.get("status", {})
    known = {it["name"]: it for it in status.get("initContainerStatuses", ())}
    for container in pod.get("spec", {}).get("initContainers", ()):
        told = known.get(container["name"], {})
        sidecar = container.get("restartPolicy") == "Always"
        if not (told.get("started") if sidecar else told.get("state", {}).get("terminated")):
            return f"{container['name']} has not ended" if told else unready(pod)
    return "" if status.get("hostIP") else unready(pod)


def runs(pod: Mapping[str, Any], container: str) -> bool:
    """Whether a container is said to run."""
    told = pod.get("status", {}).get("containerStatuses", ())
    return any(it["name"] == container and "running" in it.get("state", {}) for it in told)


def unready(pod: Mapping[str, Any]) -> str:
    """Why a pod that has not failed is not ready; empty when it is."""
    status = pod.get("status", {})
    conditions = {it["type"]: it for it in status.get("conditions", ())}
    ready = conditions.get("Ready", {})
    if ready.get("status") == "True":
        return ""
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return str(scheduled.get("message", "it is not scheduled"))
    return str(ready.get("message") or "it has just been made")
