"""When the agent of a test pod is started, against an API server that is stood in for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.backends.agent import ProcessStream, Stream
from pytest_egress.backends.cluster import testpod
from pytest_egress.backends.cluster.api import ApiError
from pytest_egress.backends.cluster.testpod import TestPod
from pytest_egress.errors import BackendError

INIT = [{"name": "istio-init", "state": {"terminated": {"exitCode": 0}}}]
WAITING = {"hostIP": "10.0.0.1", "initContainerStatuses": INIT}
RUNNING = {**WAITING, "containerStatuses": [{"name": "egress-test", "state": {"running": {}}}]}


class Cluster:
    """Tells a pod's status, the last for ever, and runs its commands on this machine."""

    def __init__(self, *statuses: dict[str, Any]) -> None:
        self.statuses = list(statuses)
        self.refusals: list[ApiError] = []
        self.tries = 0

    def get(self, path: str, doing: str, **_query: str) -> dict[str, Any]:
        """The pod, or the events about it."""
        assert doing
        if path.endswith("/events"):
            return {"items": []}
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"spec": {"initContainers": [{"name": "istio-init"}]}, "status": status}

    def text(self, path: str, doing: str, **_query: str) -> str:
        """A log."""
        return f"{doing}: {path}"

    def exec(self, _namespace: str, _pod: str, _container: str, argv: Sequence[str]) -> Stream:
        """Run the agent."""
        self.tries += 1
        if self.refusals:
            raise self.refusals.pop(0)
        return ProcessStream(argv)


Made = Callable[[Cluster], TestPod]


@pytest.fixture
def pod_of(tmp_path: Path) -> Iterator[Made]:
    """Makes pods of a cluster."""
    made: list[TestPod] = []

    def make(cluster: Cluster) -> TestPod:
        api: Any = cluster
        reading: Any = None
        directory = tmp_path / str(len(made))
        directory.mkdir()
        pod = TestPod(api, "n", "p", directory, reading, None, "", lambda _: None)
        made.append(pod)
        return pod

    yield make
    for pod in made:
        pod.close()


def test_the_agent_is_not_tried_before_it_can_be(pod_of: Made) -> None:
    """Not while init containers run; then before the kubelet tells that its container does."""
    running = {"initContainerStatuses": [{"name": "istio-init", "state": {"running": {}}}]}
    cluster = Cluster({}, running, WAITING)
    not_yet = "unable to upgrade connection: container not found"
    cluster.refusals = [ApiError("cannot start a command", not_yet, status=500)]
    pod = pod_of(cluster)
    pod.start(20.0)
    assert cluster.tries == 2
    assert pod.agent.alive()


def test_what_does_not_pass_is_told_at_once(pod_of: Made) -> None:
    """A right that is missing, or an agent that cannot be started where its container runs."""
    cluster = Cluster(WAITING)
    cluster.refusals = [ApiError("cannot start a command", "forbidden", status=403)]
    with pytest.raises(ApiError, match="forbidden"):
        pod_of(cluster).start(20.0)
    cluster = Cluster(RUNNING)
    cluster.refusals = [ApiError("cannot start a command", "no python3", status=500)]
    with pytest.raises(ApiError, match="no python3"):
        pod_of(cluster).start(20.0)


def test_a_container_that_does_not_come_is_seldom_tried(
    pod_of: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image may have to be pulled for minutes, and the kubelet may tell of it late."""
    monkeypatch.setattr(testpod, "_TRIED", -1.0)
    monkeypatch.setattr(testpod, "_SELDOM", 3600.0)
    cluster = Cluster(WAITING)
    cluster.refusals = [ApiError("cannot start a command", "not yet", status=500)]
    with pytest.raises(BackendError) as caught:
        pod_of(cluster).start(0.3)
    assert "is not ready after 0.3 s: egress-test does not run" in caught.value.tried
    assert cluster.tries == 1
