"""What a cluster says of a pod that cannot be used, for the message of the failure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.cluster.exec_stream import read_all
from pytest_egress.errors import BackendError

__all__ = ["described", "read_events", "syncz"]

_ISTIOD = "istio-system"
_SYNCZ = ("pilot-discovery", "request", "GET", "/debug/syncz")
_SYNCZ_TIMEOUT = 10.0  # seconds
_TAIL = 15  # lines of a log, or events, in a message


def described(api: Api, namespace: str, pod: str, containers: Iterable[str]) -> str:
    """The events about a pod, and the end of the logs of those of its containers that have any."""
    parts = [read_events(api, namespace, pod)]
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
    for container in containers:
        try:
            log = api.text(path, "read a log", container=container, tailLines=str(_TAIL))
        except ApiError:
            continue
        parts += [f"{container}: {line}" for line in log.splitlines()[-_TAIL:]]
    return "\n".join(filter(None, parts))


def syncz(api: Api, namespace: str, pod: str) -> str:
    """What istiod says that it has sent to a pod's proxy.

    It tells only from within its own pod; empty where this account may not look there.
    """
    proxy = f"{pod}.{namespace}"
    found = []
    try:
        pods = api.get(
            f"/api/v1/namespaces/{_ISTIOD}/pods", "find istiod", labelSelector="app=istiod"
        )
        for istiod in pods.get("items", ()):
            name = str(istiod["metadata"]["name"])
            told = read_all(api.exec(_ISTIOD, name, "discovery", _SYNCZ), _SYNCZ_TIMEOUT)
            answer = told[told.find("[{") :]  # warnings may come before it
            found += [it for it in json.loads(answer) if it.get("proxy") == proxy]
    except (BackendError, OSError, ValueError):
        return ""
    if not found:
        return "istiod (/debug/syncz) does not know this proxy"
    return "\n".join(f"istiod (/debug/syncz): {json.dumps(it)}" for it in found)


def read_events(api: Api, namespace: str, name: str, field: str = "") -> str:
    """The events about one object, the last of them last; empty where they cannot be read.

    Args:
        api: of the cluster.
        namespace: of the object.
        name: its own.
        field: the path of a part of it; empty: all of it.
    """
    part = f",involvedObject.fieldPath={field}" if field else ""
    try:
        found = api.get(
            f"/api/v1/namespaces/{namespace}/events",
            "read events",
            fieldSelector=f"involvedObject.name={name}{part}",
        )
    except BackendError:
        return ""
    items = sorted(found.get("items", ()), key=_when)
    return "\n".join(
        f"{it.get('type')} {it.get('reason')}: {it.get('message')}" for it in items[-_TAIL:]
    )


def _when(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
