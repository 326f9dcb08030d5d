"""Making, sharing and removing a kind cluster, with programs that only note what they are asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.backends.kind import cluster as module
from pytest_egress.backends.kind.backend import KindBackend, leftovers
from pytest_egress.backends.kind.cluster import KindCluster, Wanted
from pytest_egress.backends.kind.images import nodes_without
from pytest_egress.backends.kind.istio import Istio, operator
from pytest_egress.backends.kind.lease import Lease
from pytest_egress.backends.ownership import abandoned
from pytest_egress.errors import BackendError

_KIND = """#!/bin/sh
echo "kind $*" >> "$EGRESS_LOG"
case "$1 $2" in
  "get clusters") cat "$EGRESS_CLUSTERS" 2>/dev/null || true ;;
  "create cluster")
    if [ -e "$EGRESS_CLUSTERS.broken" ]; then echo "no space left" >&2; exit 1; fi
    echo "$4" >> "$EGRESS_CLUSTERS" ;;
  "delete cluster") : > "$EGRESS_CLUSTERS" ;;
  "get nodes") echo node-1 ;;
  "get kubeconfig") echo "apiVersion: v1" ;;
esac
"""
_DOCKER = """#!/bin/sh
echo "docker $*" >> "$EGRESS_LOG"
case "$1" in
  exec) echo docker.io/istio/pilot:1.31.0 ;;
esac
"""
_ISTIOCTL = """#!/bin/sh
echo "istioctl $*" >> "$EGRESS_LOG"
[ "$1" = version ] && echo '{"clientVersion": {"version": "1.31.0"}}'
exit 0
"""


class Programs:
    """The programs, and what they were asked."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "log"
        self.clusters = directory / "clusters"
        for name, text in (("kind", _KIND), ("docker", _DOCKER), ("istioctl", _ISTIOCTL)):
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)

    def asked(self) -> list[str]:
        """The lines of what was asked, and begin anew."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Programs first on PATH; the cluster's API has an istiod once it was installed."""
    made = Programs(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("EGRESS_LOG", str(made.log))
    monkeypatch.setenv("EGRESS_CLUSTERS", str(made.clusters))
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "_has_istiod", lambda _api: False)
    monkeypatch.setattr(KindCluster, "_reach", lambda cluster, _config: cluster._api())
    return made


def _version() -> str:
    return "1.31.0"


def _wanted(**changes: Any) -> Wanted:
    values = {
        "name": "mine",
        "reuse": False,
        "keep": False,
        "config": "",
        "image": "",
        "istio": Istio(),
        "pod_image": "python:3.13-slim",
    }
    return Wanted(**{**values, **changes})


def _cluster(tmp_path: Path, number: int = 1, **changes: Any) -> KindCluster:
    directory = tmp_path / f"private-{number}"
    directory.mkdir(exist_ok=True)
    return KindCluster(_wanted(**changes), directory, lambda _line: None)


def test_cluster_is_made_and_removed(programs: Programs, tmp_path: Path) -> None:
    """With its own kubeconfig: the user's is left alone."""
    cluster = _cluster(tmp_path, image="node:1", config="kind.yaml")
    cluster.enter()
    asked = programs.asked()
    created = next(line for line in asked if line.startswith("kind create"))
    assert f"--kubeconfig {tmp_path}/private-1/kubeconfig" in created
    assert "--image node:1 --config kind.yaml" in created
    assert any(line.startswith("istioctl install -y") for line in asked)
    cluster.leave()
    assert "kind delete cluster --name mine" in programs.asked()
    assert Lease("mine").record == {}


def test_only_missing_images_are_loaded(programs: Programs, tmp_path: Path) -> None:
    """The node has pilot already; nothing is pulled twice."""
    cluster = _cluster(tmp_path)
    cluster.enter()
    (loaded,) = [line for line in programs.asked() if line.startswith("kind load")]
    images = "python:3.13-slim docker.io/istio/proxyv2:1.31.0"
    assert loaded == f"kind load docker-image {images} --name mine --nodes node-1"
    cluster.leave()


def test_istiods_image_comes_before_istiod(programs: Programs, tmp_path: Path) -> None:
    """The others are loaded while it is installed; a file of values says which version."""
    values = tmp_path / "values.yaml"
    values.write_text("kind: IstioOperator\nspec: {hub: mirror.example, tag: 1.30.0}\n")
    cluster = _cluster(tmp_path, istio=Istio(values=str(values)))
    cluster.enter()
    asked = programs.asked()
    pilot = "kind load docker-image mirror.example/pilot:1.30.0 --name mine --nodes node-1"
    install = next(line for line in asked if line.startswith("istioctl install"))
    assert asked.index(pilot) < asked.index(install)
    assert any("python:3.13-slim mirror.example/proxyv2:1.30.0" in line for line in asked)
    assert not any(line.startswith("istioctl version") for line in asked)
    cluster.leave()


def test_nodes_get_what_each_of_them_lacks() -> None:
    """Whatever the engine adds to a name."""
    nodes = {"a": {"python:3.13-slim"}, "b": {"python:3.13-slim", "istio/pilot:1"}}
    images = ["docker.io/library/python:3.13-slim", "docker.io/istio/pilot:1", "mine:1"]
    assert nodes_without(images, nodes) == {
        "docker.io/istio/pilot:1": ("a",),
        "mine:1": ("a", "b"),
    }


def test_last_user_removes_it(programs: Programs, tmp_path: Path) -> None:
    """As the workers of one run do."""
    first, second = _cluster(tmp_path, 1), _cluster(tmp_path, 2)
    first.enter()
    second.enter()
    assert sum(line.startswith("kind create") for line in programs.asked()) == 1
    first.leave()
    assert not any(line.startswith("kind delete") for line in programs.asked())
    second.leave()
    assert any(line.startswith("kind delete") for line in programs.asked())


def test_failed_creation_leaves_nothing(programs: Programs, tmp_path: Path) -> None:
    """Kind's own words are told."""
    Path(f"{programs.clusters}.broken").touch()
    with pytest.raises(BackendError, match="cannot make the kind cluster mine") as caught:
        _cluster(tmp_path).enter()
    assert "no space left" in caught.value.output
    assert "kind delete cluster --name mine" in programs.asked()
    assert Lease("mine").record == {}


def test_cluster_of_somebody_else_is_not_touched(programs: Programs, tmp_path: Path) -> None:
    """Unless it is meant; and then it stays."""
    programs.clusters.write_text("mine\n")
    with pytest.raises(BackendError, match="no run of pytest-egress has made it") as caught:
        _cluster(tmp_path).enter()
    assert "--egress-reuse" in caught.value.next_step
    reused = _cluster(tmp_path, reuse=True)
    reused.enter()
    reused.leave()
    asked = programs.asked()
    assert not any(line.startswith(("kind create", "kind delete")) for line in asked)


def test_kept_cluster_stays(programs: Programs, tmp_path: Path) -> None:
    """The next run uses it, and leaves it there too."""
    kept = _cluster(tmp_path, keep=True)
    kept.enter()
    kept.leave()
    later = _cluster(tmp_path, 2)
    later.enter()
    later.leave()
    asked = programs.asked()
    assert sum(line.startswith("kind create") for line in asked) == 1
    assert not any(line.startswith("kind delete") for line in asked)


_KILLED = """
import os, signal, sys, tempfile
tempfile.tempdir = sys.argv[1]
from pytest_egress.backends.kind.lease import Lease
from pytest_egress.backends.ownership import labels
lease = Lease("mine")
lease.note(labels())
lease.hold()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_cluster_of_a_killed_run_is_found(programs: Programs, tmp_path: Path) -> None:
    """``pytest-egress clean`` removes it; a run that comes before takes it over."""
    programs.clusters.write_text("mine\n")
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    (left,) = abandoned(leftovers(lambda _name: ""))
    assert str(left) == "kind cluster mine"
    heir = _cluster(tmp_path)
    heir.enter()
    assert abandoned(leftovers(lambda _name: "")) == []
    heir.leave()
    assert "kind delete cluster --name mine" in programs.asked()
    assert leftovers(lambda _name: "") == []


def test_maker_dies_while_another_uses_it(programs: Programs, tmp_path: Path) -> None:
    """Nobody takes it away from the other one, who removes it at the end."""
    programs.clusters.write_text("mine\n")
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    other = _cluster(tmp_path)
    other.enter()
    assert leftovers(lambda _name: "") == []
    third = _cluster(tmp_path, 2)
    third.enter()
    third.leave()
    assert not any(line.startswith("kind delete") for line in programs.asked())
    other.leave()
    assert "kind delete cluster --name mine" in programs.asked()


def test_cluster_of_a_killed_run_is_swept_by_a_run_with_another(
    programs: Programs, tmp_path: Path
) -> None:
    """As every other thing that a dead run has left."""
    programs.clusters.write_text("mine\n")
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    backend = KindBackend(_wanted(name="other"), say=lambda _line: None)
    try:
        assert backend.api.context == "kind-other"
        assert "kind delete cluster --name mine" in programs.asked()
        assert [it.name for it in leftovers(lambda _name: "")] == ["other"]
    finally:
        backend.close()


def test_failure_is_not_waited_for_again(programs: Programs) -> None:
    """Each test of the run is told the same at once."""
    Path(f"{programs.clusters}.broken").touch()
    backend = KindBackend(_wanted(), say=lambda _line: None)
    try:
        with pytest.raises(BackendError, match="cannot make the kind cluster mine") as caught:
            _ = backend.api
        assert any(line.startswith("kind create") for line in programs.asked())
        with pytest.raises(BackendError) as again:
            _ = backend.api
        assert str(again.value) == str(caught.value)
        assert programs.asked() == []
    finally:
        backend.close()


def test_half_made_cluster_of_a_killed_run_is_made_anew(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not answer, and nobody uses it."""
    programs.clusters.write_text("mine\n")
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    monkeypatch.setattr(KindCluster, "_reach", lambda *_: None)
    cluster = _cluster(tmp_path)
    cluster.enter()
    verbs = [line.split()[1] for line in programs.asked() if line.startswith("kind ")]
    assert verbs.index("delete") < verbs.index("create")
    cluster.leave()


def test_missing_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says where to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(BackendError, match="needs the program kind") as caught:
        _cluster(tmp_path).enter()
    assert "https://kind.sigs.k8s.io" in caught.value.next_step


def test_missing_istioctl_is_told_before_a_cluster_is_made(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a minute to make one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "istioctl").unlink()
    with pytest.raises(BackendError, match="needs the program istioctl"):
        _cluster(tmp_path).enter()
    assert programs.asked() == []


def test_images_are_those_of_the_values(tmp_path: Path) -> None:
    """Hub and tag of the user's own file."""
    values = tmp_path / "values.yaml"
    values.write_text("kind: IstioOperator\nspec: {hub: mirror.example/istio, tag: 1.30.0}\n")
    assert Istio(values=str(values)).images(_version) == [
        "mirror.example/istio/pilot:1.30.0",
        "mirror.example/istio/proxyv2:1.30.0",
    ]
    assert Istio("1.29.0").images(_version)[0] == "docker.io/istio/pilot:1.29.0"


def test_values_that_are_none(tmp_path: Path) -> None:
    """A Helm values file is another thing."""
    values = tmp_path / "values.yaml"
    values.write_text("pilot: {}\n")
    with pytest.raises(BackendError, match="is no IstioOperator"):
        Istio(values=str(values)).images(_version)
    with pytest.raises(BackendError, match="cannot read"):
        Istio(values=str(tmp_path / "none.yaml")).images(_version)


def test_minimal_istio_is_closed() -> None:
    """Istiod alone, and REGISTRY_ONLY."""
    spec = json.loads(json.dumps(operator("1.31.0")))["spec"]
    assert spec["profile"] == "minimal"
    assert spec["meshConfig"]["outboundTrafficPolicy"] == {"mode": "REGISTRY_ONLY"}
    assert spec["tag"] == "1.31.0"
    assert "tag" not in operator("")["spec"]
