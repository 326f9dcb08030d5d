"""What the documentation's tests share: a directory with the files that a page shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

# In-process pytester runs drop what they imported; none of these can be imported twice.
import requests  # noqa: F401
import trustme  # noqa: F401

from tests.docs.pages import README, Page

Write = Callable[[Path, Page], None]


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from the environment of this run."""
    import os

    for name in list(os.environ):
        if name.startswith("PYTEST_EGRESS_") or name == "PYTEST_ADDOPTS":
            monkeypatch.delenv(name)


@pytest.fixture
def write_files() -> Write:
    """Writes the files of a page into a directory; those of the README where it shows none."""

    def write(directory: Path, page: Page) -> None:
        files = page.files()
        contracts = [path for path in files if not path.startswith("cassettes/")]
        if not any(path.endswith((".yaml", ".yml")) for path in contracts):
            files = {**README.files(), **files}
        for path, text in files.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")

    return write
