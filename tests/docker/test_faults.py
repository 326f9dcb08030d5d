"""The fault table: each a clear error, or INCONCLUSIVE; the next test has a pod again."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_egress.backends.docker.backend import DockerBackend
from pytest_egress.backends.docker.engine import Engine
from pytest_egress.backends.docker.mesh import DockerMesh
from pytest_egress.backends.docker.proxy import DockerProxy
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import BackendError
from pytest_egress.outcome import Outcome
from pytest_egress.verdict import Verdict
from tests.alike.contract import CONTRACT
from tests.docker.conftest import Make

_EMPTY = "pytest-egress-test-empty:1"


@pytest.fixture
def empty_image(engine: Engine) -> Iterator[str]:
    """An image with no program in it, which runs as the proxy's user."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    repository, _, tag = _EMPTY.partition(":")
    engine.client.api.import_image_from_data(
        buffer.getvalue(), repository=repository, tag=tag, changes=["USER 1337"]
    )
    yield _EMPTY
    engine.client.images.remove(_EMPTY, force=True)


def pod_of(backend: DockerBackend) -> Egress:
    """A pod under the suite's contract."""
    return Egress(backend, loads(CONTRACT, file="egress.yaml"), timeout=10.0)


@pytest.mark.parametrize("which", ["pod", "envoy"])
def test_image_is_missing(make: Make, which: str) -> None:
    """It is named, with the option that chooses another one."""
    image = "localhost:1/no/such:1"
    pod = pod_of(make(**{f"{which}_image": image}))
    with pytest.raises(BackendError, match=f"the image {image} is not there") as caught:
        _ = pod.mesh
    assert f"--egress-{which}-image" in caught.value.next_step


def test_image_without_envoy(make: Make, empty_image: str) -> None:
    """The engine's own words, and the option."""
    pod = pod_of(make(envoy_image=empty_image))
    with pytest.raises(BackendError, match="does not start") as caught:
        _ = pod.mesh
    assert "envoy" in caught.value.output
    assert "--egress-envoy-image" in caught.value.next_step


def test_image_without_python(make: Make, empty_image: str) -> None:
    """The same for the test pod's."""
    pod = pod_of(make(pod_image=empty_image))
    with pytest.raises(BackendError, match="does not start") as caught:
        _ = pod.mesh
    assert "python3" in caught.value.output


def test_envoy_ends(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own words, though the container is gone."""
    whole: Callable[[DockerProxy, Any], dict[str, Any]] = DockerProxy.bootstrap

    def broken(self: DockerProxy, given: Any = None) -> dict[str, Any]:
        return {**whole(self, given), "no_such_field": 1}

    monkeypatch.setattr(DockerProxy, "bootstrap", broken)
    pod = pod_of(make())
    with pytest.raises(BackendError, match="ended while it read") as caught:
        _ = pod.mesh
    assert "no_such_field" in caught.value.output


def test_user_of_the_proxy(make: Make, empty_image: str) -> None:
    """An image whose connections would not be captured is refused."""
    pod = pod_of(make())
    with pytest.raises(BackendError, match="runs as user 1337"):
        pod.pod.run(empty_image, ["/nothing"])


def _cut(mesh: DockerMesh) -> None:
    mesh.sidecar.pod.agent.connection.close()


def _kill_pod(mesh: DockerMesh) -> None:
    mesh.sidecar.pod.container.kill()


def _kill_envoy(mesh: DockerMesh) -> None:
    container = mesh.sidecar._container
    assert container is not None
    container.kill()


@pytest.mark.parametrize("harm", [_cut, _kill_pod, _kill_envoy])
def test_lost_while_a_probe_is_under_way(make: Make, harm: Callable[[DockerMesh], None]) -> None:
    """That probe has no verdict; the next one has a new pod."""
    backend = make()
    pod = pod_of(backend)
    mesh: Any = pod.mesh
    outside = backend.outside
    outside.host("api.weather.com").silent()
    outcomes: list[Outcome] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(pod.get("http://api.weather.com", timeout=60))
    )
    thread.start()
    assert outside._journal.wait(lambda: any(it.port == 80 for it in outside.connections), 30)
    harm(mesh)
    thread.join(30)
    (outcome,) = outcomes
    assert outcome.verdict is Verdict.INCONCLUSIVE, outcome.explain()
    backend.reset()
    assert pod.get("http://api.weather.com").verdict is Verdict.REACHABLE
    assert pod.mesh is not mesh
