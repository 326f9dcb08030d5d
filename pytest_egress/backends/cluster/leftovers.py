"""What runs have made in a cluster and is still there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_egress.backends.cluster.api import Api
from pytest_egress.backends.ownership import HOST, KEEP, Leftover, Owner, abandoned

if TYPE_CHECKING:
    from pytest_egress.backends.registry import Get

__all__ = ["leftovers", "namespaces", "sweep"]


def leftovers(get: Get) -> list[Leftover]:
    """The namespaces of runs in the cluster that the settings name.

    Raises:
        BackendError: the cluster cannot be asked.
    """
    from pytest_egress.backends.cluster.named import api_of

    return namespaces(api_of(get))


def namespaces(api: Api) -> list[Leftover]:
    """The namespaces of runs, less those that are being removed.

    Raises:
        BackendError: the cluster cannot be asked.
    """
    found = api.get("/api/v1/namespaces", "list the namespaces of runs", labelSelector=HOST)
    listed = []
    for item in found.get("items", ()):
        metadata = item["metadata"]
        if metadata.get("deletionTimestamp"):
            continue
        labels = metadata.get("labels", {})
        name = str(metadata["name"])
        listed.append(
            Leftover("namespace", name, Owner.of(labels), KEEP in labels, _remover(api, name))
        )
    return listed


def sweep(api: Api) -> list[str]:
    """Remove what dead runs of this machine have left; returns its names.

    Raises:
        BackendError: the cluster cannot be asked.
    """
    removed = []
    for leftover in abandoned(namespaces(api)):
        leftover.remove()
        removed.append(leftover.name)
    return removed


def _remover(api: Api, name: str) -> Callable[[], object]:
    return lambda: api.delete(f"/api/v1/namespaces/{name}", f"delete the namespace {name}")
