"""What is asked of a cluster before a pod is made: where its name server and its istiod are."""

from __future__ import annotations

from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.cluster.pod import Injected

__all__ = ["istiod_addresses", "name_server"]


def name_server(api: Api) -> str:
    """The address of the cluster's name server; empty where it is not known.

    Raises:
        ApiError: the cluster does not tell.
    """
    try:
        found = api.get("/api/v1/namespaces/kube-system/services/kube-dns", "find the name server")
    except ApiError as error:
        if error.status not in {403, 404}:
            raise
        return ""
    return str(found["spec"]["clusterIP"])


def istiod_addresses(api: Api, seen: Injected) -> dict[str, str]:
    """The addresses of istiod's names, which a pod cannot look up before its agent runs.

    Raises:
        ApiError: the cluster does not tell.
    """
    host = seen.discovery[0]
    service, _, rest = host.partition(".")
    space = rest.partition(".")[0]
    path = f"/api/v1/namespaces/{space}/services/{service}"
    return {host: str(api.get(path, f"find istiod ({host})")["spec"]["clusterIP"])}
