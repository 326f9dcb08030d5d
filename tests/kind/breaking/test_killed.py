"""A run that is killed while its cluster is being made, or used: nothing of it is left."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import which

import pytest

from pytest_egress.backends.kind.lease import Lease
from pytest_egress.backends.kind.programs import engine, run
from pytest_egress.cli import main
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import BackendError
from tests.alike.contract import CONTRACT
from tests.backends.test_leftovers import processes_naming
from tests.kind.breaking.conftest import kind_backend, wait_until

# Says on its standard output what it is about to do.
_LIFE = """
import sys
from pytest_egress import Egress, loads
from tests.alike.contract import CONTRACT
from tests.kind.breaking.conftest import kind_backend
backend = kind_backend(**{"cluster-name": sys.argv[1], "reuse": False, "keep": False})
pod = Egress(backend, loads(CONTRACT))
assert pod.get("http://api.weather.com").reachable
print("in use", flush=True)
sys.stdin.read()
"""


def _nodes(name: str) -> list[str]:
    """The containers of a cluster's nodes, whether they run or not."""
    label = f"label=io.x-k8s.kind.cluster={name}"
    return run([engine(), "ps", "-aq", "--filter", label], "look", timeout=60).split()


def _installing(name: str) -> bool:
    """Whether Istio is being installed into a cluster."""
    return bool(_nodes(name)) and bool(processes_naming("istio.json"))


@contextmanager
def living(name: str) -> Iterator[subprocess.Popen[str]]:
    """A run with a cluster of that name, killed at the latest at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", _LIFE, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _kill(process: subprocess.Popen[str], name: str) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    # Nothing goes on with it: neither kind nor what kind has started. (A node has processes too.)
    wait_until(lambda: not processes_naming(f"--name\0{name}"))
    wait_until(lambda: not processes_naming(f"pytest-egress-guard\0{which('kind')}"))


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A cluster's name, of which nothing is there, before or after."""
    found = f"egress-killed-{request.node.name.partition('[')[0].rpartition('_')[2]}"
    assert _nodes(found) == []
    yield found
    left = _nodes(found)
    if left:
        run(["kind", "delete", "cluster", "--name", found], "clean up", timeout=120)
    Lease(found).forget()
    assert left == []


def test_while_it_is_made_and_cleaned(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``pytest-egress clean`` removes what there is of it."""
    with living(name) as process:
        wait_until(lambda: _nodes(name))
        _kill(process, name)
    assert main(["clean", "--backend", "kind"]) == 0
    assert f"removed kind cluster {name} of process {process.pid}" in capsys.readouterr().out


def test_while_istio_is_installed_and_swept(name: str) -> None:
    """By the next run, whichever cluster that wants: here one that cannot be made."""
    with living(name) as process:
        wait_until(lambda: _installing(name), 240)
        _kill(process, name)
    image = "localhost:1/no/such:1"
    other = kind_backend(**{"cluster-name": f"{name}-2", "kind-image": image, "reuse": False})
    try:
        with pytest.raises(BackendError, match=f"cannot make the kind cluster {name}-2") as caught:
            _ = other.api
        assert image in caught.value.output
    finally:
        other.close()
    assert _nodes(f"{name}-2") == []
    assert Lease(f"{name}-2").record == {}


def test_in_use_and_inherited(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Who uses it beside its maker goes on; nobody takes it away; who leaves last removes it."""
    with living(name) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in use\n"
        heir = kind_backend(**{"cluster-name": name, "reuse": False, "keep": False})
        try:
            pod = Egress(heir, loads(CONTRACT), timeout=10.0)
            assert pod.get("http://api.weather.com").reachable
            _kill(process, name)
            assert main(["clean", "--backend", "kind"]) == 0
            assert name not in capsys.readouterr().out
            assert pod.get("http://api.weather.com").reachable
            assert pod.with_policy("ALLOW_ANY").get("http://api.weather.com").reachable
        finally:
            heir.close()


def test_engine_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told at once, with what the engine's own command says."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    backend = kind_backend(**{"cluster-name": "egress-killed-none"})
    try:
        with pytest.raises(BackendError, match="cannot list the kind clusters") as caught:
            _ = backend.api
    finally:
        backend.close()
    assert "does the container engine run?" in caught.value.next_step
    assert Lease("egress-killed-none").record == {}
