"""Several pods of one contract: each outcome has its own evidence, and one may be lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_egress.backends.docker.mesh import DockerMesh
from pytest_egress.backends.spread import Spread
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.probe import Options, Target
from pytest_egress.verdict import Verdict
from tests.alike.contract import CONTRACT
from tests.docker.conftest import Make

URL = "http://api.weather.com"
RULE = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: limits, namespace: default}
spec:
  host: api.weather.com
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}
"""


def pods_of(pod: Egress) -> Spread[DockerMesh]:
    """Its pods."""
    mesh: Any = pod.mesh
    assert isinstance(mesh, Spread)
    return mesh


def test_many_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pods have their share; proxies may use the same addresses and ports."""
    pod = Egress(make(pods=3), loads(CONTRACT), timeout=20.0)
    made: Counter[int] = Counter()
    for number, member in enumerate(pods_of(pod).meshes):
        probe: Callable[[Target, Options], Any] = member.probe

        def counted(target: Target, options: Options, n: int = number, probe: Any = probe) -> Any:
            made[n] += 1
            return probe(target, options)

        monkeypatch.setattr(member, "probe", counted)
    urls = [f"{URL}/{n}" for n in range(40)] + [f"https://evil.example/{n}" for n in range(20)]
    found = pod.matrix(["default"], urls, concurrency=9)
    assert found.verdicts == {Verdict.REACHABLE: 40, Verdict.BLOCKED: 20}
    for (_, url), outcome in found.items():
        assert outcome.evidence is not None
        assert outcome.evidence.path == (url.removeprefix(URL) if url.startswith(URL) else "")
    assert pod.connect("tcp://api.weather.com:5432", n=30, concurrency=9).reachable
    assert len(made) == 3
    assert sum(made.values()) == 90


def _cut(mesh: DockerMesh) -> None:
    mesh.sidecar.pod.agent.connection.close()


def _kill_pod(mesh: DockerMesh) -> None:
    mesh.sidecar.pod.container.kill()


def _kill_envoy(mesh: DockerMesh) -> None:
    container = mesh.sidecar._container
    assert container is not None
    container.kill()


@pytest.mark.parametrize(("harm", "number"), [(_cut, 0), (_kill_pod, 1), (_kill_envoy, 0)])
def test_lost_pod(make: Make, harm: Callable[[DockerMesh], None], number: int) -> None:
    """Its probe in flight has no verdict; the others go on, and so do commands."""
    backend = make(pods=2)
    pod = Egress(backend, loads(CONTRACT), timeout=60.0)
    mesh = pods_of(pod)
    upstream = pod.upstream("api.weather.com").delay(3.0)
    with ThreadPoolExecutor(2) as executor:
        under_way = [executor.submit(pod.get, URL) for _ in range(2)]
        upstream.wait_for_requests(2, timeout=30)
        harm(mesh.meshes[number])
        verdicts = Counter(it.result().verdict for it in under_way)
    assert verdicts == {Verdict.INCONCLUSIVE: 1, Verdict.REACHABLE: 1}
    upstream.clear()
    assert pod.get(URL, n=8, concurrency=4).reachable
    assert pods_of(pod) is mesh
    assert mesh.first is mesh.meshes[1 - number]
    assert pod.run(["sh", "-c", f"curl --silent --fail {URL}"]).returncode == 0
    harm(mesh.meshes[1 - number])
    pod.get(URL)  # it may be the one that finds it out
    assert pod.get(URL).reachable
    assert pods_of(pod) is not mesh
    pod.close()


def test_what_a_proxy_counts_is_asked_of_one_pod(make: Make) -> None:
    """Three failures eject a host, and they all pass through the same proxy."""
    pod = Egress(make(pods=3), loads(CONTRACT + RULE), timeout=20.0)
    assert not isinstance(pod.mesh, Spread)
    assert pod.get(URL, n=6, concurrency=3).reachable
