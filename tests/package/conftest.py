"""The wheel and the source archive, built once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import ROOT


@dataclass(frozen=True, slots=True)
class Release:
    """What would be uploaded."""

    wheel: Path
    archive: Path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave them out but for `tox -e package`: they build and install with the index."""
    if "EGRESS_PACKAGE" in os.environ:
        return
    here = Path(__file__).parent
    slow = [item for item in items if here in item.path.parents]
    items[:] = [item for item in items if item not in slow]
    config.hook.pytest_deselected(items=slow)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """As `python -m build` makes it: the source archive from the tree, the wheel from that."""
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", directory, ROOT], check=True)
    [wheel] = directory.glob("*.whl")
    [archive] = directory.glob("*.tar.gz")
    return Release(wheel, archive)
