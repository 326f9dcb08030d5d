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
# `tox -e example` has installed what the examples need.
COMPLETE = "EGRESS_EXAMPLES" in os.environ


def _has(module: str) -> bool:
    return COMPLETE or importlib.util.find_spec(module) is not None


def _has_postgres() -> bool:
    spec = importlib.util.spec_from_file_location(
        "legacy_db_postgres", ROOT / "examples/legacy-db/tests/postgres.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return COMPLETE or module.find() is not None


def _run(name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"examples/{name}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("name", "complete"),
    [
        ("weather", True),
        ("guarded", True),
        ("payments-async", _has("httpx")),
        ("orders-node", shutil.which("node") is not None and sys.platform == "linux"),
        ("legacy-db", _has("psycopg") and _has_postgres()),
    ],
)
def test_example_is_green(name: str, complete: bool) -> None:
    """All of its tests pass; some are skipped exactly where what they need is missing."""
    done = _run(name)
    if complete:
        assert done.returncode == 0, done.stdout
        assert re.search(r"^\d+ passed in ", done.stdout, re.MULTILINE), done.stdout
    else:
        assert done.returncode in {0, pytest.ExitCode.NO_TESTS_COLLECTED}, done.stdout
        assert re.search(r"\b\d+ skipped in ", done.stdout), done.stdout
    assert "warnings" not in done.stdout, done.stdout


def test_readme_counts_the_tests_of_the_first_example() -> None:
    """What a newcomer sees is what the README shows."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only"]
    done = subprocess.run(
        [*command, "examples/weather"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    counted = re.findall(r"^(tests/\w+\.py)::", done.stdout, re.MULTILINE)
    assert counted, done.stdout
    readme = ROOT.joinpath("README.md").read_text(encoding="utf-8").splitlines()
    assert f"collected {len(counted)} items" in readme
    assert any(f" {len(counted)} passed in " in line for line in readme)
    for file in set(counted):
        line = next(line for line in readme if line.startswith(f"examples/weather/{file} "))
        assert line.split()[1] == "." * counted.count(file)
