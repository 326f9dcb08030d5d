"""Istiod that is down, webhooks that are gone: told in time, and it goes on when it is mended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pytest_egress.backends.cluster.api import Api, ApiError, istio_path
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.backends.ownership import HOST
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import BackendError
from pytest_egress.settings import outside_of_pytest
from pytest_egress.verdict import Verdict
from tests.alike.contract import CONTRACT
from tests.kind.breaking.conftest import wait_until

URL = "http://api.weather.com"
_ISTIOD = "/apis/apps/v1/namespaces/istio-system/deployments/istiod"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
Change = Callable[[], None]


def _scale(api: Api, replicas: int) -> None:
    api.patch(_ISTIOD, {"spec": {"replicas": replicas}}, "scale istiod")
    path = "/api/v1/namespaces/istio-system/pods"

    def answers() -> bool:
        entry = dict(loads(CONTRACT).service_entries[0].manifest)
        entry["metadata"] = {"name": "tried"}
        try:
            path = istio_path("default", "serviceentries")
            api.create(path, entry, "try the webhook", dryRun="All")
        except ApiError as error:
            if error.status != 500:
                raise
            return False
        return True

    def there() -> bool:
        status = api.get(_ISTIOD, "look").get("status", {})
        pods = api.get(path, "look", labelSelector="app=istiod")["items"]
        return int(status.get("readyReplicas", 0)) == replicas == len(pods)

    wait_until(there)
    if replicas:  # the nodes are told of its new address a moment later
        wait_until(answers)


def _webhooks(api: Api, kind: str) -> list[dict[str, Any]]:
    items = api.get(f"{_ADMISSION}/{kind}webhookconfigurations", "look")["items"]
    return [it for it in items if "istio" in it["metadata"]["name"]]


def _path(hook: dict[str, Any], kind: str) -> str:
    return f"{_ADMISSION}/{kind}webhookconfigurations/{hook['metadata']['name']}"


@pytest.fixture
def mended(cluster: Api) -> Iterator[ExitStack]:
    """What is to be done to have a whole mesh again, also where the test fails."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def istiod_down(cluster: Api, mended: ExitStack) -> Change:
    """Ends istiod."""

    def change() -> None:
        mended.callback(_scale, cluster, 1)
        _scale(cluster, 0)

    return change


@pytest.fixture
def no_validation(cluster: Api, mended: ExitStack) -> Change:
    """Has the API server do without istiod's validation, as some meshes are set up."""

    def change() -> None:
        for hook in _webhooks(cluster, "validating"):
            bare = {key: hook["metadata"][key] for key in ("name", "labels")}
            mended.callback(
                cluster.create,
                f"{_ADMISSION}/validatingwebhookconfigurations",
                {**hook, "metadata": bare},
                "put it back",
            )
            cluster.delete(_path(hook, "validating"), "take it away")

    return change


@pytest.fixture
def no_injection(cluster: Api, mended: ExitStack) -> Change:
    """Takes the injector's webhook away."""

    def change() -> None:
        for hook in _webhooks(cluster, "mutating"):
            bare = {key: hook["metadata"][key] for key in ("name", "labels")}
            mended.callback(
                cluster.create,
                f"{_ADMISSION}/mutatingwebhookconfigurations",
                {**hook, "metadata": bare},
                "put it back",
            )
            cluster.delete(_path(hook, "mutating"), "take it away")

    return change


@pytest.fixture
def pod(cluster: Api) -> Iterator[Egress]:
    """A pod of a run of its own; of the run nothing is left."""
    image = outside_of_pytest("pod-image")
    backend = ClusterBackend(cluster, pod_image=image, timeout=20.0, say=lambda _line: None)
    yield Egress(backend, loads(CONTRACT, file="egress.yaml"), timeout=10.0)
    backend.close()
    found = cluster.get("/api/v1/namespaces", "look", labelSelector=HOST)["items"]
    assert all("deletionTimestamp" in it["metadata"] for it in found)


def test_istiod_is_down_before_the_start(pod: Egress, istiod_down: Change) -> None:
    """The API server says which of its webhooks does not answer."""
    istiod_down()
    begun = time.monotonic()
    with pytest.raises(BackendError, match="cannot make the pod") as caught:
        _ = pod.mesh
    assert time.monotonic() - begun < 60
    assert "failed calling webhook" in caught.value.output
    assert "is istiod running?" in caught.value.next_step


def test_injector_is_missing(pod: Egress, no_injection: Change) -> None:
    """A pod without a sidecar is not made."""
    no_injection()
    with pytest.raises(BackendError, match="get no sidecar") as caught:
        _ = pod.mesh
    assert "is Istio's sidecar injector installed" in caught.value.next_step


def test_istiod_goes_down_in_the_middle(
    pod: Egress, istiod_down: Change, mended: ExitStack
) -> None:
    """What the sidecar has goes on; another contract is refused in the API server's words."""
    assert pod.get(URL).reachable
    istiod_down()
    assert pod.get(URL).reachable
    assert pod.get("https://evil.example").blocked
    with pytest.raises(BackendError, match="istio") as caught:
        pod.with_policy("ALLOW_ANY").get("https://evil.example")
    assert "webhook" in caught.value.output
    mended.close()
    assert pod.with_policy("ALLOW_ANY").get("https://evil.example").verdict is Verdict.UNDECLARED


def test_contract_that_does_not_arrive(
    pod: Egress, istiod_down: Change, no_validation: Change, mended: ExitStack
) -> None:
    """It is taken by the API server and pushed by nobody: no verdict is drawn from the old one."""
    assert pod.get("https://evil.example").blocked
    no_validation()
    istiod_down()
    begun = time.monotonic()
    with pytest.raises(BackendError, match="does not have the contract after 20 s") as caught:
        pod.with_policy("ALLOW_ANY").get("https://evil.example")
    assert time.monotonic() - begun < 60
    assert "is istiod running?" in caught.value.next_step
    mended.close()
    assert pod.with_policy("ALLOW_ANY").get("https://evil.example").verdict is Verdict.UNDECLARED
