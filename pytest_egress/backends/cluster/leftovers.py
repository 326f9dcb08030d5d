"""What runs have made in a cluster and is still there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.ownership import HOST, KEEP, Leftover, Owner, abandoned
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.registry import Get

__all__ = ["delete_all", "leftovers", "namespaces", "pods", "sweep"]

_FORBIDDEN = 403
_HOPELESS = (0, 401)  # no answer, or not to this account: the next request fares no better


def leftovers(get: Get) -> list[Leftover]:
    """The namespaces of runs in the cluster that the settings name, and their pods elsewhere.

    An account that may look at one of them only gets these.

    Raises:
        BackendError: the cluster cannot be asked.
    """
    from pytest_egress.backends.cluster.named import api_of

    api = api_of(get)
    refused: list[ApiError] = []

    def allowed(look: Callable[[], list[Leftover]]) -> list[Leftover]:
        try:
            return look()
        except ApiError as error:
            if error.status != _FORBIDDEN:
                raise
            refused.append(error)
        return []

    found = allowed(lambda: namespaces(api))
    found += allowed(lambda: _pods_anywhere(api, get("workload")[0]))
    if len(refused) == 2:
        raise refused[0]
    spaces = {it.name: it.owner for it in found if it.kind == "namespace"}
    # A pod goes with its run's namespace; another run's may be in it as well.
    return [
        it
        for it in found
        if it.kind == "namespace" or spaces.get(it.name.partition("/")[0]) != it.owner
    ]


def namespaces(api: Api) -> list[Leftover]:
    """The namespaces of runs, less those that are being removed.

    Raises:
        BackendError: the cluster cannot be asked.
    """
    return [
        _leftover(api, "namespace", it["name"], it["labels"], f"/api/v1/namespaces/{it['name']}")
        for it in _listed(api, "/api/v1/namespaces", "list the namespaces of runs")
    ]


def pods(api: Api, namespace: str = "") -> list[Leftover]:
    """The test pods of runs, less those that are being removed.

    Args:
        api: of the cluster.
        namespace: they are looked for in it; empty: in all of them.

    Raises:
        BackendError: the cluster cannot be asked.
    """
    path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
    return [
        _leftover(
            api,
            "pod",
            f"{it['namespace']}/{it['name']}",
            it["labels"],
            f"/api/v1/namespaces/{it['namespace']}/pods/{it['name']}",
        )
        for it in _listed(api, path, "list the test pods of runs")
    ]


def sweep(api: Api, namespace: str = "") -> list[str]:
    """Remove what dead runs of this machine have left; returns its names.

    Args:
        api: of the cluster.
        namespace: its test pods are removed; empty: the namespaces of runs are.

    Raises:
        BackendError: the cluster cannot be asked.
    """
    removed = []
    for leftover in abandoned(pods(api, namespace) if namespace else namespaces(api)):
        leftover.remove()
        removed.append(leftover.name)
    return removed


def delete_all(api: Api, paths: Mapping[str, str], *, grace: int | None = None) -> None:
    """Delete what a run has made; one that cannot be deleted keeps none of the others.

    Args:
        api: of the cluster.
        paths: by what each is: ``namespace egress-1234-shop``.
        grace: seconds; None: the cluster's own.

    Raises:
        BackendError: something stays; with all of it.
    """
    left: list[str] = []
    first: ApiError | None = None
    for what, path in paths.items():
        if first is None or first.status not in _HOPELESS:
            try:
                api.delete(path, f"delete the {what}", grace=grace)
            except ApiError as error:
                first = first or error
            else:
                continue
        left.append(what)
    if first is not None:
        raise BackendError(
            f"left in the cluster {api.context}: {', '.join(left)}",
            "\n".join(filter(None, (first.tried, first.output, first.next_step))),
            "pytest-egress clean --backend cluster removes it, once the cluster lets it",
        ) from first


def _pods_anywhere(api: Api, namespace: str) -> list[Leftover]:
    """The pods in all namespaces, or in one where this account may not look at the others."""
    try:
        return pods(api)
    except ApiError as error:
        if error.status != _FORBIDDEN:
            raise
        return pods(api, namespace)


def _listed(api: Api, path: str, doing: str) -> Iterable[dict[str, Any]]:
    """The metadata of what has our labels and is to stay."""
    found = api.get(path, doing, labelSelector=HOST)
    for item in found.get("items", ()):
        metadata: dict[str, Any] = item["metadata"]
        if not metadata.get("deletionTimestamp"):
            yield metadata


def _leftover(api: Api, kind: str, name: str, labels: Mapping[str, str], path: str) -> Leftover:
    remover = _remover(api, path, f"delete the {kind} {name}")
    return Leftover(kind, name, Owner.of(labels), KEEP in labels, remover)


def _remover(api: Api, path: str, doing: str) -> Callable[[], object]:
    return lambda: api.delete(path, doing)
