"""What the recipes need: a repository, and wheels in place of the index."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

# What the recipes' own tools install beside the project, to build it or to be built.
TOOLS = ["hatchling", "nox", "setuptools", "tox", "wheel"]

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the recipes out but for `tox -e recipes`: they install the project many times."""
    if "EGRESS_RECIPES" in os.environ:
        return
    here = Path(__file__).parent
    slow = [it for it in items if here in it.path.parents and it.get_closest_marker("recipes")]
    items[:] = [it for it in items if it not in slow]
    config.hook.pytest_deselected(items=slow)


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, and those of all it needs."""
    directory = tmp_path_factory.mktemp("wheelhouse")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(directory)]
    subprocess.run([*command, str(ROOT), *TOOLS], check=True)
    assert len(list(directory.glob("pytest_egress-*.whl"))) == 1
    return directory


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with an application, its contract and its tests."""
    directory = tmp_path / "repository"
    shutil.copytree(
        ROOT / "examples/weather", directory, ignore=shutil.ignore_patterns("__pycache__", ".*")
    )
    commands = ["init", "add .", "-c user.name=a -c user.email=a@example.com commit -m a"]
    for command in commands:
        subprocess.run(["git", *command.split()], cwd=directory, check=True, capture_output=True)
    return directory


@pytest.fixture
def shell(repository: Path, wheelhouse: Path, tmp_path: Path) -> Shell:
    """Runs a script in the repository, with bash, as CI systems do: it ends at the first failure.

    PATH begins with a Python of its own, as a runner's is; pip has the wheels and no index.
    """
    python = tmp_path / "python"
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", python], check=True)
    # Nothing of this run's own: its environment, settings, caches.
    kept = {key: os.environ[key] for key in ("HOME", "LANG", "TMPDIR") if key in os.environ}
    kept |= {
        "PATH": f"{python}/bin{os.pathsep}{os.environ['PATH']}",
        "PIP_FIND_LINKS": str(wheelhouse),
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def run(
        script: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", script],
            cwd=repository,
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done

    return run
