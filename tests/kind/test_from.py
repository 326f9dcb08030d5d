"""Probes that start in an existing workload, by an ephemeral container."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_egress.backends.cluster.api import Api, istio_path
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.backends.cluster.podstatus import unready
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.errors import BackendError
from tests.kind.conftest import make_namespace

IMAGE = os.environ.get("PYTEST_EGRESS_POD_IMAGE", "python:3.13-slim")
SPACE, OUTSIDE = "egress-test-from", "egress-test-outside"
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: web, namespace: {space}}}
spec:
  hosts: [web.example.com]
  location: MESH_EXTERNAL
  ports: [{{number: 8080, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: {address}}}]
"""


def _pod(name: str, command: list[str]) -> dict[str, Any]:
    container = {
        "name": "app",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
    }
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _ready(api: Api, space: str, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while True:
        pod = api.get(f"/api/v1/namespaces/{space}/pods/{name}", "read a pod")
        if not unready(pod):
            return pod
        assert time.monotonic() < deadline, unready(pod)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """An application in the mesh, a server out of it, and the contract between them."""
    api = Api()
    for space, marks in ((SPACE, {"istio-injection": "enabled"}), (OUTSIDE, {})):
        make_namespace(api, space, **marks)
    try:
        for space, name, command in (
            (SPACE, "app", ["sleep", "3600"]),
            (OUTSIDE, "web", ["python3", "-m", "http.server", "8080"]),
        ):
            _wait_for_account(api, space)
            api.create(f"/api/v1/namespaces/{space}/pods", _pod(name, command), "make a pod")
        found = str(_ready(api, OUTSIDE, "web")["status"]["podIP"])
        entry = loads(ENTRY.format(space=SPACE, address=found)).service_entries[0]
        api.create(istio_path(SPACE, "serviceentries"), entry.manifest, "apply the contract")
        _ready(api, SPACE, "app")
        yield found
    finally:
        for space in (SPACE, OUTSIDE):
            api.delete(f"/api/v1/namespaces/{space}", "delete a namespace")


def _wait_for_account(api: Api, space: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            api.get(f"/api/v1/namespaces/{space}/serviceaccounts/default", "wait")
        except BackendError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


def test_probes_start_in_the_workloads_pod(address: str) -> None:
    """Through its own sidecar, which has the contract that is deployed."""
    backend = ClusterBackend(Api(), pod_image=IMAGE, source="pod/app", say=lambda _line: None)
    contract = loads(ENTRY.format(space=SPACE, address=address))
    egress = Egress(backend, contract, Workload(SPACE), timeout=10.0)
    try:
        outcome = egress.get("http://web.example.com:8080/", address=address)
        assert outcome.reachable, outcome
        assert outcome.status == 200
        assert egress.get("http://evil.example:8080/", address=address).blocked
        path = f"/api/v1/namespaces/{SPACE}/pods/app"
        added = backend.api.get(path, "read")["spec"]["ephemeralContainers"]
        assert len(added) == 1
    finally:
        backend.close()
    deadline = time.monotonic() + 30
    while True:  # the pod goes on, the container has ended
        (status,) = Api().get(path, "read")["status"]["ephemeralContainerStatuses"]
        if "terminated" in status["state"]:
            break
        assert time.monotonic() < deadline, status
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("deploy/none", "there is no deploy/none"),
        ("statefulset/x", "expected deploy/NAME or pod/NAME"),
    ],
)
def test_workload_that_cannot_be_used(address: str, source: str, message: str) -> None:
    """It is told before anything is added."""
    backend = ClusterBackend(Api(), pod_image=IMAGE, source=source, say=lambda _line: None)
    contract = loads(ENTRY.format(space=SPACE, address=address))
    try:
        with pytest.raises(BackendError, match=message):
            backend.enforce(contract, Workload(SPACE))
    finally:
        backend.close()
