"""A cluster as it is deployed: nothing is applied, and the sidecar's own log is the evidence."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytest_egress.backends.cluster.api import Api, istio_path
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.backends.cluster.deployed import differences
from pytest_egress.backends.cluster.layout import PLURALS
from pytest_egress.contract import Contract, loads
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.verdict import Verdict
from tests.kind.conftest import make_namespace

IMAGE = os.environ.get("PYTEST_EGRESS_POD_IMAGE", "python:3.13-slim")
SPACE = "egress-test-deployed"
CONTRACT = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: api, namespace: {SPACE}}}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  ports:
  - {{number: 443, name: https, protocol: HTTPS}}
  - {{number: 80, name: http, protocol: HTTP}}
  resolution: DNS
"""


@pytest.fixture(scope="module")
def deployed() -> Iterator[Contract]:
    """A namespace that has the contract, as somebody else has applied it."""
    api = Api()
    make_namespace(api, SPACE, **{"istio-injection": "enabled"})
    contract = loads(CONTRACT)
    try:
        entry = dict(contract.service_entries[0].manifest)
        api.create(istio_path(SPACE, PLURALS["ServiceEntry"]), entry, "apply the contract")
        yield contract
    finally:
        api.delete(f"/api/v1/namespaces/{SPACE}", "delete the namespace")


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the backend says to whoever watches."""
    return []


@pytest.fixture(scope="module")
def egress(deployed: Contract, said: list[str]) -> Iterator[Egress]:
    """A pod in that namespace."""
    backend = ClusterBackend(Api(), pod_image=IMAGE, apply=False, say=said.append)
    yield Egress(backend, deployed, Workload(SPACE), timeout=10.0)
    backend.close()


def test_declared_host_is_reachable(egress: Egress) -> None:
    """In the simulated outside, through the sidecar as it is."""
    outcome = egress.get("https://api.example.com")
    assert outcome.verdict is Verdict.REACHABLE, outcome
    assert outcome.evidence is not None
    assert outcome.evidence.cluster == "outbound|443||api.example.com"
    assert egress.get("http://api.example.com/v1").reachable


def test_undeclared_host_is_blocked(egress: Egress) -> None:
    """The mesh of these tests is closed."""
    assert egress.get("http://evil.example").blocked
    assert egress.get("https://evil.example").blocked


def test_contract_is_compared_with_the_cluster(
    egress: Egress, deployed: Contract, said: list[str]
) -> None:
    """What is deployed is as it is declared; what is not is told at its place."""
    assert egress.get("https://api.example.com").reachable
    assert not [line for line in said if "in the cluster" in line]
    changed = loads(
        CONTRACT.replace("name: http,", "name: http-1,").replace("name: api,", "name: x,")
    )
    assert list(differences(Api(), changed)) == [
        f"<string>:4:18: ServiceEntry {SPACE}/x is not in the cluster"
    ]
    changed = loads(CONTRACT.replace("number: 80", "number: 81"))
    (line,) = differences(Api(), changed)
    assert line.startswith(f"<string>:4:18: ServiceEntry {SPACE}/api is another one")
    assert line.endswith("spec.ports[1].number is 80 there, not 81")


def test_nothing_but_a_pod_is_made(egress: Egress) -> None:
    """No EnvoyFilter, no ConfigMap of ours."""
    assert egress.get("https://api.example.com").reachable
    api = Api()
    filters = api.get(istio_path(SPACE, "envoyfilters", version="v1alpha3"), "list")
    assert filters["items"] == []
    maps = api.get(f"/api/v1/namespaces/{SPACE}/configmaps", "list")
    assert not [it for it in maps["items"] if "bootstrap" in it["metadata"]["name"]]


def test_sidecar_starts_when_there_is_an_agent(egress: Egress) -> None:
    """And not a second time, to look up what it could not."""
    assert egress.get("https://api.example.com").reachable
    (pod,) = Api().get(f"/api/v1/namespaces/{SPACE}/pods", "list")["items"]
    restarts = {it["name"]: it["restartCount"] for it in pod["status"]["containerStatuses"]}
    assert restarts == dict.fromkeys(("egress-test", "egress-redirect", "istio-proxy"), 0)


def test_several_pods(deployed: Contract) -> None:
    """Each has its own sidecar, whose own log is read; none of them stays."""
    backend = ClusterBackend(Api(), pod_image=IMAGE, pods=2, apply=False, say=lambda _: None)
    try:
        egress = Egress(backend, deployed, Workload(SPACE), timeout=10.0)
        urls = [f"https://{host}.example.com/{n}" for n in range(4) for host in ("api", "evil")]
        found = egress.matrix([egress.workload], urls, concurrency=8)
        assert found.verdicts == {Verdict.REACHABLE: 4, Verdict.BLOCKED: 4}
        sources = {it.evidence.source.partition(":")[0] for it in found.values() if it.evidence}
        assert len(sources) == 2
    finally:
        backend.close()


def test_image_beside_what_is_deployed(egress: Egress) -> None:
    """In the test pod, behind the sidecar as it is."""
    script = "curl --silent --fail https://api.example.com >/dev/null && echo done"
    done = egress.pod.run(IMAGE, ["sh", "-c", script])
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert done.calls.hosts == {"api.example.com"}
