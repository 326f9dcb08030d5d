"""Several test pods of one workload on a real cluster, and what becomes of one that is lost."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_egress.backends.cluster.api import Api
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.backends.cluster.mesh import ClusterMesh
from pytest_egress.backends.spread import Spread
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.verdict import Verdict
from tests.kind.conftest import CONTRACT

IMAGE = os.environ.get("PYTEST_EGRESS_POD_IMAGE", "python:3.13-slim")
URL = "http://api.example.com"


@pytest.fixture
def told() -> list[str]:
    """What the terminal shows."""
    return []


@pytest.fixture
def own(told: list[str]) -> Iterator[ClusterBackend]:
    """A backend with two pods of each workload."""
    backend = ClusterBackend(Api(), pod_image=IMAGE, pods=2, timeout=60.0, say=told.append)
    yield backend
    backend.close()


@pytest.fixture
def pod(own: ClusterBackend) -> Iterator[Egress]:
    """Probes from both."""
    egress = Egress(own, loads(CONTRACT), timeout=30.0)
    yield egress
    egress.close()


def pods_of(pod: Egress) -> Spread[ClusterMesh]:
    """Its pods."""
    mesh: Any = pod.mesh
    assert isinstance(mesh, Spread)
    return mesh


def test_many_at_once(pod: Egress) -> None:
    """Both have their share, and what each says of its connections is told apart."""
    urls = [f"{URL}/{n}" for n in range(30)] + [f"https://evil.example/{n}" for n in range(10)]
    found = pod.matrix(["default"], urls, concurrency=6)
    assert found.verdicts == {Verdict.REACHABLE: 30, Verdict.BLOCKED: 10}
    addresses = Counter(
        it.evidence.source.rpartition(":")[0] for it in found.values() if it.evidence is not None
    )
    assert len(addresses) == 2
    assert sum(addresses.values()) == 40


@pytest.mark.parametrize("number", [0, 1])
def test_deleted_pod(own: ClusterBackend, pod: Egress, told: list[str], number: int) -> None:
    """Its probe in flight has no verdict; the other pod goes on, and then is the definite one."""
    mesh = pods_of(pod)
    upstream = pod.upstream("api.example.com").delay(15.0)
    lost = mesh.meshes[number].pod
    with ThreadPoolExecutor(2) as executor:
        under_way = [executor.submit(pod.get, URL) for _ in range(2)]
        upstream.wait_for_requests(2, timeout=30)
        own.api.delete(lost.path, "delete the pod", grace=0)
        verdicts = Counter(it.result().verdict for it in under_way)
    assert verdicts == {Verdict.INCONCLUSIVE: 1, Verdict.REACHABLE: 1}
    upstream.clear()
    assert pod.get(URL, n=8, concurrency=4).reachable
    assert pod.get(URL).reachable  # with nothing else under way the lost one is left out
    assert [it for it in told if lost.name in it and "goes on without" in it]
    assert mesh.first is mesh.meshes[1 - number]
    assert pod.run(["sh", "-c", f"curl --silent --fail {URL}"]).returncode == 0


def test_cut_stream_is_opened_again(pod: Egress) -> None:
    """While the other pod goes on, and both take probes again."""
    mesh = pods_of(pod)
    pod.upstream("api.example.com").silent()
    agent = mesh.first.pod.agent
    cut = threading.Timer(1.0, agent.connection.close)
    cut.start()
    assert pod.get(URL).verdict is Verdict.INCONCLUSIVE
    cut.join()
    pod.upstream("api.example.com").clear()
    assert pod.get(URL, n=8, concurrency=4).reachable
    assert mesh.meshes[0].usable()
    assert agent.connects == 2
