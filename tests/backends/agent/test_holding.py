"""Processes that are held before their program's first instruction."""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_egress.backends.agent.inside.holding import let_go, sibling, trace_to_exec

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are held on Linux only")

# What a runtime's process does: it has a name of its own, waits, and becomes the program.
_INIT = """
import os, pathlib, sys
pathlib.Path("/proc/self/comm").write_text(sys.argv[1])
print("there", flush=True)
if sys.stdin.readline():
    os.execv("/bin/sh", ["sh", "-c", "echo begun; read line; echo $line"])
"""


@contextmanager
def _init(name: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _INIT, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "there\n"
            yield process
        finally:
            process.kill()


def _when_traced(process: subprocess.Popen[str], what: str) -> threading.Thread:
    """Send a line, or close the input, once the process is traced."""

    def tell() -> None:
        assert process.stdin is not None
        status = Path(f"/proc/{process.pid}/status")
        for _ in range(3000):
            if "TracerPid:\t0\n" not in status.read_text():
                break
            time.sleep(0.01)
        if what:
            process.stdin.write(what)
        else:
            process.stdin.close()

    thread = threading.Thread(target=tell)
    thread.start()
    return thread


@contextlib.contextmanager
def _tracing() -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        pytest.skip(f"this machine lets no process trace its children: {error}")


def test_program_is_held_and_let_go() -> None:
    """It has not begun while it is held; afterwards it is a process like any other."""
    with _init("runc:[2:INIT]") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        thread = _when_traced(process, "go\n")
        with _tracing():
            trace_to_exec(process.pid)
        thread.join()
        assert Path(f"/proc/{process.pid}/comm").read_text() == "sh\n"
        assert select.select([process.stdout], [], [], 0.1)[0] == []
        let_go(process.pid)
        assert process.stdout.readline() == "begun\n"
        process.stdin.write("heard\n")
        assert process.stdout.readline() == "heard\n"
        assert process.wait(10) == 0


def test_process_that_never_becomes_a_program() -> None:
    """As where the image has no such program."""
    with _init("crun") as process:
        thread = _when_traced(process, "")
        with _tracing(), pytest.raises(ProcessLookupError, match="ended before its program"):
            trace_to_exec(process.pid)
        thread.join()


def test_program_that_has_begun_is_refused() -> None:
    """What it has written would be nobody's."""
    with (
        _init("java") as process,
        _tracing(),
        pytest.raises(OSError, match=r"its program \(java\) had begun"),
    ):
        trace_to_exec(process.pid)


@pytest.mark.parametrize(
    ("path", "own", "expected"),
    [
        ("/kubepods/pod1/bbb", "/kubepods/pod1/aaa", True),
        ("/kubepods/pod1/aaa", "/kubepods/pod1/aaa", False),
        ("/kubepods/pod2/bbb", "/kubepods/pod1/aaa", False),
        ("/system.slice/containerd.service", "/kubepods/pod1/aaa", False),
        ("/../cri-containerd-bbb.scope", "/", True),
        ("/", "/", False),
        ("/../../pod2/bbb", "/", False),
        ("/other", "", False),
        ("/", "", False),
    ],
)
def test_containers_of_the_same_pod(path: str, own: str, expected: bool) -> None:
    """Known by their control groups, whichever root the container sees them from."""
    assert sibling(path, own) is expected
