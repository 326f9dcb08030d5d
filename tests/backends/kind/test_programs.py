"""Programs that make a cluster do not outlive the run, however it ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_egress.backends.kind.programs import run
from pytest_egress.errors import BackendError
from tests.backends.test_leftovers import processes_naming, wait_for

# A program that starts another one, as kind does; both are found by the file's name.
_PROGRAM = """#!/bin/sh
echo begun
sh -c 'while :; do sleep 1; done' {0} &
: > {0}
wait
"""
_RUN = """
import sys
from pytest_egress.backends.kind.programs import run
run([sys.argv[1]], "wait", timeout=60)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that goes on for ever."""
    path = tmp_path / "endless"
    path.write_text(_PROGRAM.format(tmp_path / "runs"))
    path.chmod(0o755)
    return path


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked for in /proc")
def test_killed_run_takes_its_programs_along(program: Path) -> None:
    """With what they have started."""
    mark = program.with_name("runs")
    with subprocess.Popen([sys.executable, "-c", _RUN, str(program)]) as process:
        wait_for(mark.exists, 30)
        assert processes_naming(str(mark))
        process.kill()
    wait_for(lambda: not processes_naming(str(program.parent)), 30)


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked for in /proc")
def test_program_that_does_not_end(program: Path) -> None:
    """It is ended, and what it said is told."""
    begun = time.monotonic()
    with pytest.raises(BackendError, match="has not ended after 1 s") as caught:
        run([str(program)], "wait for it", timeout=1.0)
    assert time.monotonic() - begun < 30
    assert "begun" in caught.value.output
    wait_for(lambda: not processes_naming(str(program.parent)), 30)


def test_status_and_output(tmp_path: Path) -> None:
    """They are the program's own; it reads nothing."""
    assert run(["sh", "-c", "cat; echo out; echo err >&2"], "try", timeout=30) == "out\n"
    with pytest.raises(BackendError, match="ended with exit status 3") as caught:
        run(["sh", "-c", "echo why >&2; exit 3"], "try", timeout=30, hint="do that")
    assert caught.value.output == "why"
    assert caught.value.next_step == "do that"
    assert list(tmp_path.iterdir()) == []
