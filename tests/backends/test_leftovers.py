"""Nothing stays behind: after a run, after kill -9, and after a kill of the watchdog as well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.backends.private import PrivateDirectory, sweep
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload

CONTRACT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec:
  hosts: [api.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
"""
SUITE = """
import pathlib, time
import pytest

def reached(phase):
    pathlib.Path("reached").write_text(phase)
    time.sleep(60)

@pytest.fixture
def around(egress):
    if PHASE == "setup":
        reached("setup")
    yield
    if PHASE == "teardown":
        reached("teardown")

def test_it(egress, around):
    assert egress.get("http://api.example.com").reachable
    if PHASE == "test":
        reached("test")
"""


def wait_for(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Return once the condition holds; fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def processes_naming(text: str) -> list[int]:
    """The processes whose command line has the text in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in path.read_text(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory that only this test's runs use; short, for Unix socket paths."""
    import tempfile

    path = Path(tempfile.mkdtemp(prefix="pe-"))
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def start_suite(directory: Path, temporary: Path, phase: str) -> subprocess.Popen[bytes]:
    """Start pytest on the suite and return once it has reached the phase."""
    (directory / "egress.yaml").write_text(CONTRACT)
    (directory / "pytest.ini").write_text("[pytest]\negress_contract = egress.yaml\n")
    (directory / "test_it.py").write_text(f"PHASE = {phase!r}\n{SUITE}")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:hypothesispytest",
        ],
        cwd=directory,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for((directory / "reached").exists, 30)
    return process


@pytest.mark.parametrize("phase", ["setup", "test", "teardown"])
def test_kill_9_leaves_nothing(tmp_path: Path, temporary: Path, phase: str) -> None:
    """The watchdog ends Envoy and removes the directory as soon as pytest is gone."""
    process = start_suite(tmp_path, temporary, phase)
    assert len(list(temporary.glob("pytest-egress-*"))) == 1
    assert processes_naming(str(temporary / "pytest-egress-"))
    process.kill()
    process.wait()
    wait_for(lambda: not list(temporary.iterdir()))
    wait_for(lambda: not processes_naming(str(temporary)))


def test_the_next_run_sweeps_what_the_watchdog_could_not(tmp_path: Path, temporary: Path) -> None:
    """With pytest and its watchdog both killed, the next run takes over and removes the rest."""
    process = start_suite(tmp_path, temporary, "test")
    left = next(iter(temporary.glob("pytest-egress-*")))
    everything = processes_naming(str(left))
    envoys = [pid for pid in everything if "--config-path" in _command(pid)]
    assert len(envoys) == 1
    for pid in set(everything) - set(envoys):
        os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    assert left.exists()
    # A killed process is there until the system has got round to it.
    wait_for(lambda: processes_naming(str(left)) == envoys)

    assert sweep() == [left]
    wait_for(lambda: not processes_naming(str(temporary)))
    assert not list(temporary.iterdir())


def test_a_finished_run_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    """After an ordinary end there is no process and no directory, without any sweep."""
    (tmp_path / "egress.yaml").write_text(CONTRACT)
    (tmp_path / "pytest.ini").write_text("[pytest]\negress_contract = egress.yaml\n")
    (tmp_path / "test_it.py").write_text(
        "def test_it(egress): assert egress.get('http://api.example.com').reachable\n"
    )
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        check=True,
        capture_output=True,
    )
    assert not list(temporary.iterdir())
    assert not processes_naming(str(temporary))


def test_sweep_spares_the_living(temporary: Path) -> None:
    """A directory whose owner is alive is left alone."""
    alive = PrivateDirectory()
    try:
        assert sweep() == []
        assert alive.path.exists()
    finally:
        alive.close()
    assert not alive.path.exists()


def test_sweep_spares_a_process_that_reuses_a_pid(temporary: Path) -> None:
    """A pid file whose number now belongs to another program kills nobody."""
    left = temporary / f"pytest-egress-{os.getuid()}-dead"
    (left / "e1").mkdir(parents=True)
    (left / "owner.lock").touch()
    with subprocess.Popen(["sleep", "30"]) as other:
        (left / "e1" / "envoy.pid").write_text(str(other.pid))
        assert sweep() == [left]
        assert other.poll() is None
        other.kill()


def test_the_directory_is_private(temporary: Path) -> None:
    """Only its owner can enter it, and no TCP port listens off loopback."""
    backend = LocalBackend()
    try:
        mesh = backend.enforce(loads(CONTRACT), Workload())
        directory = next(iter(temporary.glob("pytest-egress-*")))
        assert directory.stat().st_mode & 0o777 == 0o700
        for path in directory.rglob("*"):
            if path.is_dir():
                assert path.stat().st_mode & 0o077 == 0, path
        listening = {address for pid in (mesh.pid, os.getpid()) for address in _listening(pid)}
        assert listening
        assert all(address.startswith("127.") for address in listening), listening
    finally:
        backend.close()


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")


def _listening(pid: int) -> set[str]:
    """The addresses of a process's listening TCP and bound UDP sockets."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            link = str(descriptor.readlink())
        except OSError:
            continue
        if link.startswith("socket:["):
            inodes.add(link[8:-1])
    found = set()
    for table, states in (("tcp", {"0A"}), ("tcp6", {"0A"}), ("udp", {"07"}), ("udp6", {"07"})):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] in states and fields[9] in inodes:
                raw = bytes.fromhex(fields[1].split(":")[0])
                found.add(".".join(str(octet) for octet in raw[::-1]))
    return found


def test_directories_are_made_while_others_sweep(temporary: Path) -> None:
    """Many runs that start at once never take each other's directory for abandoned."""
    code = (
        "from pytest_egress.backends.private import PrivateDirectory\n"
        "for _ in range(20):\n"
        "    one = PrivateDirectory()\n"
        "    one.subdirectory('e')\n"
        "    assert (one.path / 'owner.lock').exists()\n"
        "    one.close()\n"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(temporary)})
        for _ in range(4)
    ]
    assert [run.wait(60) for run in runs] == [0, 0, 0, 0]
    assert not list(temporary.iterdir())


def test_sweep_takes_an_unfinished_directory_after_a_while(temporary: Path) -> None:
    """A run that was killed while it made its directory is swept, though not at once."""
    left = temporary / f".pytest-egress-{os.getuid()}-dead"
    left.mkdir()
    (left / "owner.lock").touch()
    assert sweep() == []
    os.utime(left, (1, 1))
    assert sweep() == [left]


def test_closing_the_directory_ends_what_lives_in_it(temporary: Path) -> None:
    """A process that nobody stopped ends with the directory that its arguments name."""
    directory = PrivateDirectory()
    path = directory.subdirectory("e")
    with subprocess.Popen(["sh", "-c", 'sleep 30; : "$0"', str(path)]) as process:
        (path / "envoy.pid").write_text(str(process.pid))
        wait_for(lambda: process.pid in processes_naming(str(path)))
        directory.close()
        assert process.wait(5) == -signal.SIGKILL
    assert not list(temporary.iterdir())
