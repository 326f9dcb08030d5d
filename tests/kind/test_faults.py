"""What can go wrong with a cluster: each is a clear error or INCONCLUSIVE, within its time."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from pytest_egress.backends.cluster import maker
from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.backends.cluster.leftovers import namespaces, sweep
from pytest_egress.backends.cluster.meshes import members
from pytest_egress.backends.cluster.pod import Injected
from pytest_egress.backends.cluster.rbac import Review
from pytest_egress.backends.ownership import HOST, PID, STARTED, labels
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import BackendError
from pytest_egress.verdict import Verdict
from tests.kind.conftest import CONTRACT

IMAGE = os.environ.get("PYTEST_EGRESS_POD_IMAGE", "python:3.13-slim")


@pytest.fixture
def own() -> Iterator[ClusterBackend]:
    """A backend that may be broken."""
    backend = ClusterBackend(Api(), pod_image=IMAGE, timeout=60.0)
    yield backend
    backend.close()


@pytest.fixture
def pod_egress(own: ClusterBackend) -> Egress:
    """A pod of that backend."""
    egress = Egress(own, loads(CONTRACT))
    assert egress.get("https://api.example.com").reachable
    return egress


def test_cut_stream_is_inconclusive_and_opened_again(
    own: ClusterBackend, pod_egress: Egress
) -> None:
    """What was in flight proves nothing; the next probe has a stream again."""
    pod_egress.upstream("api.example.com").silent()
    pod = members(own.enforce(pod_egress.contract, pod_egress.workload))[0].pod
    cut = threading.Timer(1.0, pod.agent.connection.close)
    cut.start()
    assert pod_egress.get("https://api.example.com", timeout=30).verdict is Verdict.INCONCLUSIVE
    cut.join()
    pod_egress.upstream("api.example.com").clear()
    assert pod_egress.get("https://api.example.com").reachable


def test_deleted_pod_is_told(own: ClusterBackend, pod_egress: Egress) -> None:
    """Evicted pods go the same way."""
    pod = members(own.enforce(pod_egress.contract, pod_egress.workload))[0].pod
    own.api.delete(pod.path, "delete the pod", grace=0)
    deadline = time.monotonic() + 60
    outcome = pod_egress.get("https://api.example.com")
    while outcome.verdict is Verdict.REACHABLE and time.monotonic() < deadline:
        outcome = pod_egress.get("https://api.example.com")  # its containers are still there
    assert outcome.verdict is Verdict.INCONCLUSIVE, outcome
    with pytest.raises(BackendError, match="was lost: it is"):
        pod.check()
    assert pod_egress.get("https://api.example.com").reachable  # in another pod


def _evicted_by_the_kubelet(api: Api, path: str) -> None:
    # Past its deadline a pod fails as under pressure of memory or disk: it stays, its phase Failed.
    api.patch(path, {"spec": {"activeDeadlineSeconds": 1}}, "give the pod a deadline")


def _evicted_by_an_administrator(api: Api, path: str) -> None:
    space, _, name = path.removeprefix("/api/v1/namespaces/").partition("/pods/")
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": space},
    }
    api.create(f"{path}/eviction", body, "evict the pod")


@pytest.mark.parametrize("evict", [_evicted_by_the_kubelet, _evicted_by_an_administrator])
def test_evicted_pod_is_replaced(
    own: ClusterBackend, pod_egress: Egress, evict: Callable[[Api, str], None]
) -> None:
    """Until its loss is seen, nothing is proven; then there is a pod again."""
    pod = members(own.enforce(pod_egress.contract, pod_egress.workload))[0].pod
    evict(own.api, pod.path)
    deadline = time.monotonic() + 60
    seen = [pod_egress.get("https://api.example.com").verdict]
    while Verdict.INCONCLUSIVE not in seen or seen[-1] is not Verdict.REACHABLE:
        assert time.monotonic() < deadline
        seen.append(pod_egress.get("https://api.example.com").verdict)
    assert set(seen) == {Verdict.REACHABLE, Verdict.INCONCLUSIVE}
    mesh = own.enforce(pod_egress.contract, pod_egress.workload)
    assert members(mesh)[0].pod is not pod


def test_sidecar_that_does_not_get_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own log and the pod's events tell of it: here the way to istiod leads nowhere."""

    def nowhere(_api: Api, seen: Injected) -> dict[str, str]:
        return {seen.discovery[0]: "192.0.2.1"}

    monkeypatch.setattr(maker, "istiod_addresses", nowhere)
    backend = ClusterBackend(Api(), pod_image=IMAGE, timeout=15.0)
    begun = time.monotonic()
    try:
        with pytest.raises(BackendError, match="after 15 s: ") as caught:
            _ = Egress(backend, loads(CONTRACT)).mesh
    finally:
        backend.close()
    assert time.monotonic() - begun < 45
    assert "istio-proxy: " in caught.value.output
    assert "istiod (/debug/syncz) does not know this proxy" in caught.value.output


def test_deleted_namespace_is_made_anew(own: ClusterBackend, pod_egress: Egress) -> None:
    """Until its loss is seen, nothing is proven; then there is a pod again."""
    pod = members(own.enforce(pod_egress.contract, pod_egress.workload))[0].pod
    own.api.delete(f"/api/v1/namespaces/{pod.namespace}", "delete the namespace")
    deadline = time.monotonic() + 60
    seen = [pod_egress.get("https://api.example.com").verdict]
    while Verdict.INCONCLUSIVE not in seen or seen[-1] is not Verdict.REACHABLE:
        assert time.monotonic() < deadline
        seen.append(pod_egress.get("https://api.example.com").verdict)
    assert set(seen) == {Verdict.REACHABLE, Verdict.INCONCLUSIVE}
    assert members(own.enforce(pod_egress.contract, pod_egress.workload))[0].pod is not pod


def test_missing_image_is_told_with_the_clusters_words() -> None:
    """Once it has been waited for; the next test of the run gets the same words at once."""
    backend = ClusterBackend(Api(), pod_image="registry.invalid/no/such:1", timeout=15.0)
    workload = Egress(backend, loads(CONTRACT)).workload
    try:
        with pytest.raises(BackendError, match="is not ready after 15 s") as caught:
            backend.enforce(loads(CONTRACT), workload)
        with pytest.raises(BackendError) as again:
            backend.enforce(loads(CONTRACT), workload)
        assert str(again.value) == str(caught.value)
    finally:
        backend.close()
    assert "registry.invalid" in str(caught.value)


def test_missing_injector_is_told_before_a_pod_is_made() -> None:
    """A revision that nobody injects for is the same as no injector."""
    backend = ClusterBackend(Api(), pod_image=IMAGE, revision="no-such-revision")
    try:
        with pytest.raises(BackendError, match="get no sidecar") as caught:
            backend.enforce(loads(CONTRACT), Egress(backend, loads(CONTRACT)).workload)
    finally:
        backend.close()
    assert "--egress-istio-revision" in str(caught.value)


def test_unknown_context() -> None:
    """It says which there are."""
    with pytest.raises(BackendError, match="has no context no-such"):
        Api("no-such").get("/version", "ask")


def _kubeconfig(tmp_path: Path, **changes: object) -> str:
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    if "server" in changes:
        config["clusters"][0]["cluster"] = {"server": changes["server"]}
    if "user" in changes:
        config["users"][0]["user"] = changes["user"]
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_expired_credentials(tmp_path: Path) -> None:
    """A token that is no longer accepted."""
    api = Api(kubeconfig=_kubeconfig(tmp_path, user={"token": "expired"}))
    with pytest.raises(ApiError, match="says 401") as caught:
        api.get("/api/v1/namespaces", "list namespaces")
    assert "log in" in caught.value.next_step


def test_api_server_that_is_gone(tmp_path: Path) -> None:
    """Nothing listens there."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{sock.getsockname()[1]}"
        api = Api(kubeconfig=_kubeconfig(tmp_path, server=url))
        with pytest.raises(ApiError, match="does not answer as it should"):
            api.get("/version", "ask")


def test_api_server_that_is_silent(tmp_path: Path) -> None:
    """It ends within its time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        api = Api(kubeconfig=_kubeconfig(tmp_path, server=url), timeout=1.0)
        with pytest.raises(ApiError, match="does not answer as it should"):
            api.get("/version", "ask")


def test_namespace_of_a_dead_run_is_removed(api: Api) -> None:
    """That of a run that goes on is not."""
    gone = {**labels(), PID: "4194305", STARTED: "1"}
    for name, marks in (("egress-test-dead", gone), ("egress-test-alive", labels())):
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": marks},
        }
        api.create("/api/v1/namespaces", body, "make a namespace")
    try:
        assert HOST in gone
        assert "egress-test-dead" in sweep(api)
        assert "egress-test-alive" in {it.name for it in namespaces(api)}
    finally:
        for name in ("egress-test-dead", "egress-test-alive"):
            api.delete(f"/api/v1/namespaces/{name}", "delete it")


def test_rights_are_asked_for(api: Api) -> None:
    """The cluster's administrator may do all of it."""
    assert api.may(Review("create", "", "namespaces", ""))
