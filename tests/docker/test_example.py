"""What a user does: the example's own tests on two backends at once, and without an engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the example with the options."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "examples/weather", *options],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT), **environment},
        text=True,
        capture_output=True,
        check=False,
        timeout=300,
    )


def test_example_on_both() -> None:
    """Nothing is left out, and every verdict is the same."""
    done = run("--egress-backend=local,docker", "--egress-require=docker")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no verdict differs" in done.stdout
    assert "skipped" not in done.stdout


def test_engine_is_not_running() -> None:
    """One clear error for each test, with the next step; no traceback."""
    done = run("--egress-backend=docker", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert done.returncode == 1
    assert "no container engine answers" in done.stdout
    assert "DOCKER_HOST" in done.stdout
    assert "Traceback" not in done.stdout
