"""Nothing of a run is left: after it, after kill -9, after the next run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from pytest_egress.backends.docker.engine import Engine
from pytest_egress.backends.docker.leftovers import leftovers
from pytest_egress.backends.ownership import HOST, PID, STARTED, labels
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.settings import outside_of_pytest
from tests.alike.contract import CONTRACT
from tests.docker.conftest import Make

_LIFE = """
import os, sys, threading, time
from pytest_egress import Egress, loads
from pytest_egress.backends import registry
from pytest_egress.backends.docker.engine import Engine
from pytest_egress.settings import outside_of_pytest
from tests.alike.contract import CONTRACT
phase = sys.argv[1]
def stop():
    print("alive", flush=True)
    time.sleep(120)
create = Engine.create
def made(self, image, command, role, **options):
    container = create(self, image, command, role, **options)
    if (phase, role) == ("before the proxy starts", "proxy"):
        stop()
    return container
Engine.create = made
backend = registry.create("docker", outside_of_pytest)
backend.prepare()
if phase != "during creation":
    pod = Egress(backend, loads(CONTRACT))
    assert pod.get("http://api.weather.com").reachable
if phase == "while an image runs":
    run = lambda: pod.pod.run(outside_of_pytest("pod-image"), ["sleep", "100"])
    threading.Thread(target=run, daemon=True).start()
    while len(backend.engine.found({"pytest-egress/pid": str(os.getpid())})) < 3:
        time.sleep(0.1)
stop()
"""
_PHASES = ["during creation", "before the proxy starts", "during tests", "while an image runs"]


def of_process(engine: Engine, pid: int) -> list[str]:
    """The containers of a process that are there."""
    found = engine.found({PID: str(pid)})
    return [f"{it.labels['pytest-egress/role']} {it.status}" for it in found]


def test_nothing_is_left_after_a_run(make: Make, engine: Engine) -> None:
    """Not even what runs beside the pod."""
    backend = make()
    pod = Egress(backend, loads(CONTRACT))
    assert pod.get("http://api.weather.com").reachable
    assert sorted(of_process(engine, os.getpid())) == ["pod running", "proxy running"]
    image = outside_of_pytest("pod-image")
    assert pod.pod.run(image, ["true"]).returncode == 0
    with pytest.raises(subprocess.TimeoutExpired):
        pod.pod.run(image, ["sleep", "60"], timeout=0.5)
    assert sorted(of_process(engine, os.getpid())) == ["pod running", "proxy running"]
    backend.close()
    assert of_process(engine, os.getpid()) == []


@pytest.mark.parametrize("when", _PHASES)
def test_kill_9_leaves_nothing_that_runs(engine: Engine, make: Make, when: str) -> None:
    """Containers end with the stream to the test process; the next run removes what is left."""
    process = subprocess.Popen([sys.executable, "-c", _LIFE, when], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"alive\n"
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any("running" in it for it in of_process(engine, process.pid)):
        assert time.monotonic() < deadline, of_process(engine, process.pid)
        time.sleep(0.1)
    pod = Egress(make(), loads(CONTRACT))
    assert pod.get("http://api.weather.com").reachable
    # The engine may still be making one that was asked for: the run after next has it.
    while of_process(engine, process.pid):
        assert time.monotonic() < deadline, of_process(engine, process.pid)
        Egress(make(), loads(CONTRACT)).mesh  # noqa: B018  it is started by that


def test_dead_runs_are_swept_and_living_ones_left(make: Make, engine: Engine) -> None:
    """By their labels."""
    image = outside_of_pytest("pod-image")
    mine = {**labels(), "pytest-egress/role": "pod"}
    dead = {**mine, PID: "999999999", STARTED: "1"}
    living = engine.client.containers.create(image, ["true"], labels=mine)
    gone = engine.client.containers.create(image, ["true"], labels=dead)
    kept = engine.client.containers.create(
        image, ["true"], labels={**dead, "pytest-egress/keep": "true"}
    )
    try:
        assert Egress(make(), loads(CONTRACT)).get("http://api.weather.com").reachable
        ours = {it.name for it in engine.found({HOST: mine[HOST]})}
        assert gone.name not in ours
        assert {living.name, kept.name} <= ours
        told = {it.name: it for it in leftovers(outside_of_pytest)}
        assert told[str(kept.name)].kept
        told[str(kept.name)].remove()
        told[str(kept.name)].remove()  # twice is once
        assert kept.name not in {it.name for it in engine.found({HOST: mine[HOST]})}
    finally:
        for container in (living, gone, kept):
            engine.remove(container)


def test_keep(make: Make, engine: Engine) -> None:
    """The containers stay, ended, with their logs and files, until they are cleaned."""
    backend = make(keep=True)
    assert Egress(backend, loads(CONTRACT)).get("http://api.weather.com").reachable
    backend.close()
    left = engine.found({PID: str(os.getpid())})
    try:
        assert sorted(it.labels["pytest-egress/role"] for it in left) == ["pod", "proxy"]
        assert not any(it.status == "running" for it in left)
        assert all(it.labels["pytest-egress/keep"] == "true" for it in left)
    finally:
        for container in left:
            engine.remove(container)
    assert of_process(engine, os.getpid()) == []
