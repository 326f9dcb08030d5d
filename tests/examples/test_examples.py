"""The examples, each run as its README says."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("weather", True),
        ("payments-async", importlib.util.find_spec("httpx") is not None),
        ("orders-node", shutil.which("node") is not None and sys.platform == "linux"),
    ],
)
def test_example_is_green(name: str, needs: bool) -> None:
    """All of its tests pass; they are skipped exactly where what they need is missing."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"examples/{name}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if needs:
        assert done.returncode == 0, done.stdout
        assert re.search(r"^\d+ passed in ", done.stdout, re.MULTILINE), done.stdout
    else:
        assert done.returncode in {0, pytest.ExitCode.NO_TESTS_COLLECTED}, done.stdout
        assert re.search(r"^\d+ skipped in ", done.stdout, re.MULTILINE), done.stdout
