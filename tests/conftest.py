"""What every test directory shares: pytester, and one backend for the whole run."""

from __future__ import annotations

import http.cookiejar  # noqa: F401  see below
import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from hypothesis import settings

import pytest_egress
from pytest_egress.backends.local import LocalBackend

pytest_plugins = ["pytester"]

# A run of pytester in this process drops the modules that it imported, but not their packages'
# attributes: requests would take one http.cookiejar from here and another one from there. Nor may a
# module of ours be imported twice: its classes would be others for some of those that use them.
for _module in pkgutil.walk_packages(pytest_egress.__path__, "pytest_egress."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)

# How long an example takes says how busy the machine is.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def backend() -> Iterator[LocalBackend]:
    """One local backend, so that tests with the same contract share its proxy."""
    local = LocalBackend()
    yield local
    local.close()
