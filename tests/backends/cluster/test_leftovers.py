"""What runs have left in a cluster, against an API server that is stood in for."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.backends.cluster import named
from pytest_egress.backends.cluster.api import ApiError
from pytest_egress.backends.cluster.leftovers import delete_all, leftovers, sweep
from pytest_egress.backends.ownership import PID, STARTED, labels
from pytest_egress.errors import BackendError
from pytest_egress.settings import outside_of_pytest

DEAD = {**labels(), PID: "4194305", STARTED: "1"}


class Cluster:
    """Lists what it was given by path; what is not there is forbidden."""

    context = "staging"

    def __init__(self, lists: dict[str, list[dict[str, Any]]]) -> None:
        self.lists = lists
        self.deleted: list[str] = []
        self.refusals: dict[str, int] = {}

    def get(self, path: str, doing: str, **query: str) -> dict[str, Any]:
        """A list."""
        assert query == {"labelSelector": "pytest-egress/host"}
        if path not in self.lists:
            raise ApiError(f"cannot {doing}", status=403)
        return {"items": [{"metadata": it} for it in self.lists[path]]}

    def delete(self, path: str, doing: str, *, grace: int | None = None) -> None:
        """Note it, or refuse."""
        assert grace in {None, 0}
        self.deleted.append(path)
        if path in self.refusals:
            raise ApiError(f"cannot {doing}", "it said so", "do that", self.refusals[path])


def _pod(space: str, name: str, **more: Any) -> dict[str, Any]:
    return {"namespace": space, "name": name, "labels": DEAD, **more}


def _found(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(named, "api_of", lambda _get: cluster)
    monkeypatch.setenv("PYTEST_EGRESS_WORKLOAD", "shop/app=web")
    return [str(it) for it in leftovers(outside_of_pytest)]


def test_namespaces_and_the_pods_outside_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod goes with its namespace; what is being removed is none."""
    spaces = [{"name": "egress-1-shop", "labels": DEAD}]
    spaces.append({"name": "egress-2-shop", "labels": DEAD, "deletionTimestamp": "now"})
    spaces.append({"name": "egress-3-shop", "labels": labels()})
    pods = [_pod("egress-1-shop", "test-pod-0"), _pod("shop", "egress-test-1")]
    pods.append(_pod("shop", "egress-test-2", deletionTimestamp="now"))
    pods.append(_pod("egress-3-shop", "egress-test-3"))
    cluster = Cluster({"/api/v1/namespaces": spaces, "/api/v1/pods": pods})
    assert _found(cluster, monkeypatch) == [
        "namespace egress-1-shop",
        "namespace egress-3-shop",
        "pod shop/egress-test-1",
        "pod egress-3-shop/egress-test-3",
    ]


def test_account_that_may_look_into_one_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the settings' workload; one that may look nowhere is told so."""
    cluster = Cluster({"/api/v1/namespaces/shop/pods": [_pod("shop", "egress-test-1")]})
    assert _found(cluster, monkeypatch) == ["pod shop/egress-test-1"]
    with pytest.raises(ApiError, match="cannot list the namespaces of runs"):
        _found(Cluster({}), monkeypatch)


def test_pods_of_dead_runs_are_swept() -> None:
    """In the namespace that the next run uses."""
    pods = [_pod("shop", "egress-test-1"), _pod("shop", "egress-test-2", labels=labels())]
    api: Any = Cluster({"/api/v1/namespaces/shop/pods": pods})
    assert sweep(api, "shop") == ["shop/egress-test-1"]
    assert api.deleted == ["/api/v1/namespaces/shop/pods/egress-test-1"]


def test_one_that_cannot_be_deleted_keeps_none_of_the_others() -> None:
    """It is named, with what the cluster said and with what to do."""
    api: Any = Cluster({})
    api.refusals = {"/a": 409}
    with pytest.raises(BackendError) as caught:
        delete_all(api, {"namespace a": "/a", "namespace b": "/b"})
    assert api.deleted == ["/a", "/b"]
    assert str(caught.value).splitlines() == [
        "left in the cluster staging: namespace a",
        "  | cannot delete the namespace a",
        "  | it said so",
        "  | do that",
        "next step: pytest-egress clean --backend cluster removes it, once the cluster lets it",
    ]


@pytest.mark.parametrize("status", [0, 401])
def test_nothing_is_asked_of_a_cluster_that_does_not_answer(status: int) -> None:
    """The second question would take as long as the first."""
    api: Any = Cluster({})
    api.refusals = {"/a": status}
    with pytest.raises(BackendError, match="namespace a, namespace b"):
        delete_all(api, {"namespace a": "/a", "namespace b": "/b"})
    assert api.deleted == ["/a"]
