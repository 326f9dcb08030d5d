"""Docker backends of one test each, with the images that the environment names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pytest_egress.backends.docker.backend import DockerBackend
from pytest_egress.backends.docker.engine import Engine
from pytest_egress.settings import outside_of_pytest

# Without an engine there is nothing to test: the tox environment ``docker`` names the backend.
collect_ignore_glob = [] if "docker" in os.environ.get("EGRESS_ALIKE", "") else ["test_*.py"]

Make = Callable[..., DockerBackend]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes backends, which are closed at the end."""
    with ExitStack() as stack:

        def backend(**settings: Any) -> DockerBackend:
            given = {
                "envoy_image": outside_of_pytest("envoy-image"),
                "pod_image": outside_of_pytest("pod-image"),
                **settings,
            }
            made = DockerBackend(**given)
            stack.callback(made.close)
            return made

        yield backend


@pytest.fixture
def engine() -> Iterator[Engine]:
    """The engine, beside the backends."""
    engine = Engine()
    yield engine
    engine.close()
