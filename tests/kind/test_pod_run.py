"""Images that are added to the test pod: their streams, their end, and what goes wrong."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.backends.cluster.meshes import members
from pytest_egress.backends.cluster.testpod import TestPod
from pytest_egress.egress import Egress
from pytest_egress.errors import BackendError
from pytest_egress.verdict import Verdict

IMAGE = os.environ.get("PYTEST_EGRESS_POD_IMAGE", "python:3.13-slim")


def _pod(backend: ClusterBackend, egress: Egress) -> TestPod:
    return members(backend.enforce(egress.contract, egress.workload))[0].pod


def test_streams_of_a_command_that_ends_at_once(egress: Egress) -> None:
    """All of it, each byte where it was written, every time."""
    for number in range(3):
        script = f"printf out-{number}; printf err-{number} >&2; exit {number}"
        done = egress.pod.run(IMAGE, ["sh", "-c", script])
        assert (done.returncode, done.stdout, done.stderr) == (
            number,
            f"out-{number}",
            f"err-{number}",
        )


def test_calls_are_seen(egress: Egress) -> None:
    """As those of any command: through the sidecar, with the outside's CA and names."""
    script = "import urllib.request as u; print(u.urlopen('https://api.example.com/').status)"
    done = egress.pod.run(IMAGE, ["python3", "-c", script])
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
    assert [(it.host, it.verdict) for it in done.calls] == [("api.example.com", Verdict.REACHABLE)]
    done = egress.pod.run(
        IMAGE, ["python3", "-c", script.replace("api", "evil")], on_blocked="allow"
    )
    assert done.returncode == 1
    assert {it.verdict for it in done.calls} == {Verdict.BLOCKED}


def test_input_of_any_size(egress: Egress) -> None:
    """Read to its end, or not at all."""
    text = "0123456789abcde\n" * 65_536
    done = egress.pod.run(IMAGE, ["sha256sum"], input=text)
    wanted = subprocess.run(
        ["sha256sum"], input=text, capture_output=True, text=True, check=True
    ).stdout
    assert done.stdout == wanted
    assert egress.pod.run(IMAGE, ["true"], input=text).returncode == 0


def test_environment_is_taken_as_it_is(egress: Egress) -> None:
    """Kubernetes would put variables in the place of what looks like them."""
    env = {"ONE": "$(HOME) $$(ONE)"}
    done = egress.pod.run(
        IMAGE, ["sh", "-c", 'echo "$ONE" "$0" "$PWD"', "$(ONE)"], env=env, cwd="/usr"
    )
    assert done.stdout == "$(HOME) $$(ONE) $(ONE) /usr\n"


def test_time_out_kills_all_of_it(backend: ClusterBackend, egress: Egress) -> None:
    """With its children; the pod goes on."""
    pod = _pod(backend, egress)
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        egress.pod.run(IMAGE, ["sh", "-c", "sleep 4711 & echo begun; sleep 4712"], timeout=2)
    assert str(caught.value.stdout) == "begun\n"
    left = pod.agent.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline"]).stdout
    assert b"sleep\x00471" not in left
    assert _pod(backend, egress) is pod


def test_lost_agent_takes_the_container_along(backend: ClusterBackend, egress: Egress) -> None:
    """As it does where the run is killed; it is told, not taken for the command's own end."""
    pod = _pod(backend, egress)
    assert egress.pod.run(IMAGE, ["true"]).returncode == 0
    cut = threading.Timer(4.0, pod.keeper.connection.close)
    cut.start()
    with pytest.raises(BackendError):
        egress.pod.run(IMAGE, ["sleep", "4713"], timeout=60)
    cut.join()
    assert b"4713" not in pod.agent.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline"]).stdout
    assert egress.pod.run(IMAGE, ["true"]).returncode == 0


def test_program_that_is_not_there(backend: ClusterBackend, egress: Egress) -> None:
    """The runtime's own words, and the pod goes on."""
    pod = _pod(backend, egress)
    with pytest.raises(BackendError, match="cannot be started") as caught:
        egress.pod.run(IMAGE, ["no-such-program"])
    assert "no-such-program" in caught.value.output
    assert _pod(backend, egress) is pod


def test_image_that_is_not_there(backend: ClusterBackend, egress: Egress) -> None:
    """One error with the event, in the time that is allowed; then there is another pod."""
    pod = _pod(backend, egress)
    image = "127.0.0.1:1/no-such-image:1"  # of a registry that refuses at once
    with pytest.raises(BackendError, match=f"{image} cannot be started") as caught:
        egress.pod.run(image, ["true"])
    assert "ImagePullBackOff" in caught.value.output
    assert "Failed to pull image" in caught.value.output
    assert egress.get("https://api.example.com/").reachable
    assert _pod(backend, egress) is not pod
