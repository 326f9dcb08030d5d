"""A cluster that may be broken, made as the settings say."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_egress.backends.cluster.api import Api
from pytest_egress.backends.kind.backend import KindBackend
from pytest_egress.backends.registry import create
from pytest_egress.settings import outside_of_pytest

NAME = "egress-break"


def kind_backend(**settings: Any) -> KindBackend:
    """The backend kind of the environment's settings, less those given; it says nothing."""
    given = {"cluster-name": NAME, **settings}
    backend = create("kind", lambda name: given[name] if name in given else outside_of_pytest(name))
    assert isinstance(backend, KindBackend)
    backend.say = lambda _line: None
    return backend


@pytest.fixture(scope="session")
def cluster() -> Iterator[Api]:
    """The cluster, shared by the tests that break it and mend it again."""
    backend = kind_backend(**{"cluster-name": os.environ.get("PYTEST_EGRESS_CLUSTER_NAME", NAME)})
    yield backend.api
    backend.close()


def wait_until(holds: Callable[[], object], seconds: float = 120.0) -> None:
    """Return once something holds; fail after some time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.2)
