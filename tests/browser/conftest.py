"""A Chromium for the tests of this directory; they are left out where there is none."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_PROGRAMS = ("chromium", "chromedriver")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out unless `tox -e html` asks for them: there a lack of anything fails."""
    if "EGRESS_BROWSER" in os.environ:
        return
    left_out = [item for item in items if Path(__file__).parent in item.path.parents]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium that keeps what its console says."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    assert not missing, f"{', '.join(missing)} not found: python -m tests.browser installs them"
    assert importlib.util.find_spec("selenium"), "selenium is not installed"
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()
