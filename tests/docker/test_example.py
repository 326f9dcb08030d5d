"""What a user does: the example's own tests on two backends at once, and without an engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


def run(
    *options: str, example: str = "weather", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run an example with the options."""
    own = f"examples/{example}"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", own, *options],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT), **environment},
        text=True,
        capture_output=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("example", ["weather", "payments-async"])
def test_example_on_both(example: str) -> None:
    """Nothing is left out, and every verdict is the same; one leads through a gateway."""
    done = run("--egress-backend=local,docker", "--egress-require=docker", example=example)
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
