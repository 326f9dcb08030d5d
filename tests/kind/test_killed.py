"""A run that is killed while it makes something in a cluster, or uses it: nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from pytest_egress.backends.cluster.api import Api
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.backends.ownership import PID
from pytest_egress.cli import main
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from tests.kind.conftest import CONTRACT
from tests.kind.test_deployed import CONTRACT as DEPLOYED
from tests.kind.test_deployed import SPACE, deployed

__all__ = ["deployed"]

IMAGE = os.environ.get("PYTEST_EGRESS_POD_IMAGE", "python:3.13-slim")
# Stops where it is told to, and waits to be killed there.
_LIFE = """
import json, sys, time
from pytest_egress import Egress, loads
from pytest_egress.backends.cluster import applied, testpod
from pytest_egress.backends.cluster.api import Api
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.contract.resources import Workload
given = json.loads(sys.argv[1])
def stop(*_arguments, **_settings):
    print("there", flush=True)
    time.sleep(120)
if given["phase"] == "a namespace is there":
    testpod.TestPod.__init__ = stop
elif given["phase"] == "a pod is there":
    testpod.TestPod.start = stop
elif given["phase"] == "a contract is being applied":
    whole = applied.Applied.use
    def use(self, *arguments):
        whole(self, *arguments)
        stop()
    applied.Applied.use = use
backend = ClusterBackend(Api(), **given["settings"])
pod = Egress(backend, loads(given["contract"]), Workload(given["namespace"]), timeout=10.0)
assert pod.get(given["url"], **given["options"]).verdict
stop()
"""


def killed(phase: str, settings: dict[str, Any], **given: Any) -> int:
    """A run that has got so far and is killed there; returns the number of its process."""
    text = json.dumps({"phase": phase, "settings": settings, "options": {}, **given})
    with subprocess.Popen(
        [sys.executable, "-c", _LIFE, text], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        try:
            assert "there\n" in lines, "it has ended before"
        finally:
            process.send_signal(signal.SIGKILL)
    return process.pid


def of_process(api: Api, pid: int, plural: str) -> list[str]:
    """The names of what a process has made and nobody removes."""
    found = api.get(f"/api/v1/{plural}", "look", labelSelector=f"{PID}={pid}")["items"]
    return [it["metadata"]["name"] for it in found if "deletionTimestamp" not in it["metadata"]]


def wait_until(holds: Callable[[], object], seconds: float) -> None:
    """Return once something holds; fail after some time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.5)


PHASES = ["a namespace is there", "a pod is there", "a contract is being applied", "in use"]


@pytest.mark.parametrize("phase", PHASES)
def test_namespaces_are_cleaned(api: Api, phase: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By ``pytest-egress clean``; each is named, with whose it was."""
    given = {"contract": CONTRACT, "namespace": "default", "url": "https://api.example.com"}
    pid = killed(phase, {"pod_image": IMAGE}, **given)
    left = of_process(api, pid, "namespaces")
    assert left
    assert main(["clean", "--backend", "cluster"]) == 0
    told = capsys.readouterr().out.splitlines()
    for name in left:
        assert any(it.startswith(f"removed namespace {name} of process {pid} of") for it in told)
    assert of_process(api, pid, "namespaces") == []


def test_namespaces_are_swept_by_the_next_run(api: Api) -> None:
    """Before it makes its own."""
    given = {"contract": CONTRACT, "namespace": "default", "url": "https://api.example.com"}
    pid = killed("a pod is there", {"pod_image": IMAGE}, **given)
    assert of_process(api, pid, "namespaces")
    backend = ClusterBackend(Api(), pod_image=IMAGE, say=lambda _line: None)
    try:
        assert Egress(backend, loads(CONTRACT), timeout=10.0).get(given["url"]).reachable
    finally:
        backend.close()
    assert of_process(api, pid, "namespaces") == []


@pytest.mark.usefixtures("deployed")
def test_test_pods_beside_what_is_deployed(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command, and by the next run in that namespace."""
    given = {"contract": DEPLOYED, "namespace": SPACE, "url": "https://api.example.com"}
    settings: dict[str, Any] = {"pod_image": IMAGE, "apply": False}
    first = killed("in use", settings, **given)
    assert len(of_process(api, first, "pods")) == 1
    backend = ClusterBackend(Api(), say=lambda _line: None, **settings)
    try:
        egress = Egress(backend, loads(DEPLOYED), Workload(SPACE), timeout=10.0)
        assert egress.get(given["url"]).reachable
    finally:
        backend.close()
    assert of_process(api, first, "pods") == []
    second = killed("a pod is there", settings, **given)
    (name,) = of_process(api, second, "pods")
    assert main(["clean", "--backend", "cluster"]) == 0
    assert f"removed pod {SPACE}/{name} of process {second}" in capsys.readouterr().out
    assert of_process(api, second, "pods") == []


@pytest.mark.usefixtures("deployed")
def test_container_in_a_pod_of_somebody_else(api: Api) -> None:
    """It cannot be removed, so it ends by itself."""
    container = {
        "name": "app",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "3600"],
    }
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": spec}
    path = f"/api/v1/namespaces/{SPACE}/pods"

    def ready() -> bool:
        conditions = api.get(f"{path}/app", "look")["status"].get("conditions", ())
        return any(it["type"] == "Ready" and it["status"] == "True" for it in conditions)

    def state() -> dict[str, Any]:
        (status,) = api.get(f"{path}/app", "look")["status"]["ephemeralContainerStatuses"]
        found: dict[str, Any] = status["state"]
        return found

    api.create(path, pod, "make a pod")
    wait_until(ready, 120)
    killed(
        "in use",
        {"pod_image": IMAGE, "source": "pod/app"},
        contract=DEPLOYED,
        namespace=SPACE,
        url="http://evil.example:8080",
        options={"address": "192.0.2.1"},
    )
    assert "running" in state()
    wait_until(lambda: "terminated" in state(), 120)
    assert state()["terminated"]["exitCode"] == 0
    assert ready()  # the application goes on
