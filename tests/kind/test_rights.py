"""The roles that ``pytest-egress rbac`` prints, given to an account: enough, each asked for."""

from __future__ import annotations

import copy
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.backends.cluster.api import Api, ApiError, istio_path
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.backends.cluster.diagnosis import read_events
from pytest_egress.backends.cluster.meshes import members
from pytest_egress.backends.cluster.rbac import Mode, check, reviews
from pytest_egress.backends.ownership import labels
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.errors import BackendError
from pytest_egress.verdict import Verdict
from tests.kind.account import Account, account
from tests.kind.conftest import CONTRACT
from tests.kind.test_deployed import CONTRACT as DEPLOYED
from tests.kind.test_deployed import SPACE as OTHER_SPACE

IMAGE = os.environ.get("PYTEST_EGRESS_POD_IMAGE", "python:3.13-slim")
REAL = Path(os.environ.get("KUBECONFIG", ""))
SPACE = f"egress-test-{secrets.token_hex(4)}"
U = Verdict.UNDECLARED
MODES: tuple[Mode, ...] = ("isolated", "deployed", "workload")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    """Each way to use a cluster."""
    found: Mode = request.param
    return found


@pytest.fixture(scope="module")
def deployed() -> Iterator[None]:
    """A namespace with a contract, as somebody else has deployed it."""
    api = Api()
    marks = {**labels(), "istio-injection": "enabled"}
    metadata = {"name": SPACE, "labels": marks}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    api.create("/api/v1/namespaces", body, "make a namespace")
    try:
        entry = dict(loads(DEPLOYED.replace(OTHER_SPACE, SPACE)).service_entries[0].manifest)
        api.create(istio_path(SPACE, "serviceentries"), entry, "apply the contract")
        yield
    finally:
        api.delete(f"/api/v1/namespaces/{SPACE}", "delete the namespace")


@pytest.fixture
def entitled(api: Api, mode: Mode, deployed: None) -> Iterator[Account]:
    """An account with the roles of a mode."""
    del deployed  # it has to be there
    with account(api, f"{SPACE}-{secrets.token_hex(2)}", mode, SPACE) as made:
        yield made


def address_of_server() -> tuple[str, ...]:
    """The address that the API server has in its own cluster."""
    found = Api().get("/api/v1/namespaces/default/services/kubernetes", "look")
    return (str(found["spec"]["clusterIP"]),)


def server_address(egress: Egress) -> tuple[str, ...]:
    """The address of its name in the pod: a rule lets the cluster's name server be found."""
    return tuple(egress.resolve("kubernetes.default.svc.cluster.local").answer.addresses)


def _use(account: Account, directory: Path, **settings: Any) -> ClusterBackend:
    api = Api(kubeconfig=account.kubeconfig(REAL, directory))
    return ClusterBackend(api, pod_image=IMAGE, **settings)


@pytest.mark.parametrize("mode", ["isolated"], indirect=True)
def test_rights_are_enough_in_namespaces_of_its_own(entitled: Account, tmp_path: Path) -> None:
    """From the first probe to the end, what is removed included."""
    backend = _use(entitled, tmp_path)
    try:
        egress = Egress(backend, loads(CONTRACT), timeout=10.0)
        assert egress.get("https://api.example.com").reachable
        assert egress.get("https://evil.example").blocked
        assert egress.with_policy("ALLOW_ANY").get("https://evil.example").verdict is U
        assert server_address(egress) == address_of_server()
        pod = members(backend.enforce(egress.contract, egress.workload))[0].pod
        assert "istio-proxy" in pod.describe()  # its log
        assert read_events(backend.api, pod.namespace, pod.name)
    finally:
        backend.close()


@pytest.mark.parametrize("mode", ["deployed"], indirect=True)
def test_rights_are_enough_beside_what_is_deployed(entitled: Account, tmp_path: Path) -> None:
    """The test pod is all that is written."""
    backend = _use(entitled, tmp_path, apply=False)
    try:
        contract = loads(DEPLOYED.replace(OTHER_SPACE, SPACE))
        egress = Egress(backend, contract, Workload(SPACE), timeout=10.0)
        assert egress.get("https://api.example.com").reachable
        assert egress.get("https://evil.example").blocked
        assert server_address(egress) == address_of_server()
    finally:
        backend.close()


def test_each_right_is_asked_for(api: Api, entitled: Account, mode: Mode, tmp_path: Path) -> None:
    """Without any one of them nothing is begun, and the message names that one."""
    asking = Api(kubeconfig=entitled.kubeconfig(REAL, tmp_path))
    _await_message(asking, mode, "")
    for review in reviews(mode, SPACE):
        right = (review.verb, review.group, review.resource)
        granting = {
            it["metadata"].get("namespace", ""): it for it in entitled.roles if _grants(it, *right)
        }
        if review.namespace and "" in granting:
            continue  # it is granted, and asked for, in all namespaces as well
        role = granting[review.namespace]
        entitled.put(_without(role, *right))
        _await_message(asking, mode, f"may not {review}")
        entitled.put(role)


def _grants(role: dict[str, Any], verb: str, group: str, resource: str) -> bool:
    return any(
        verb in it["verbs"] and group in it["apiGroups"] and resource in it["resources"]
        for it in role["rules"]
    )


def _without(role: dict[str, Any], verb: str, group: str, resource: str) -> dict[str, Any]:
    """The role less one verb on one resource."""
    less = copy.deepcopy(role)
    less["rules"] = [
        {"apiGroups": [its_group], "resources": [its_resource], "verbs": verbs}
        for rule in role["rules"]
        for its_group in rule["apiGroups"]
        for its_resource in rule["resources"]
        if (
            verbs := [
                it
                for it in rule["verbs"]
                if (it, its_group, its_resource) != (verb, group, resource)
            ]
        )
    ]
    return less


def _await_message(asking: Api, mode: Mode, wanted: str) -> None:
    """The API server takes a moment to know of a role."""
    deadline = time.monotonic() + 20
    while True:
        try:
            check(asking.may, mode, SPACE, context="it")
            told = ""
        except ApiError:
            raise
        except BackendError as error:
            told = error.output
        if told == wanted:
            return
        assert time.monotonic() < deadline, f"{told!r} is not {wanted!r}"
        time.sleep(0.02)
