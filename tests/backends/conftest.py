"""The pods that live under the contract with an entry of every kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams
from tests.observed import CONTRACT


@pytest.fixture(scope="session")
def pod(backend: LocalBackend) -> Egress:
    """A pod in a mesh with REGISTRY_ONLY."""
    return Egress(backend, loads(CONTRACT, file="egress.yaml"))


@pytest.fixture(scope="session")
def open_pod(pod: Egress) -> Egress:
    """A pod in a mesh with ALLOW_ANY."""
    return pod.with_policy("ALLOW_ANY")


@pytest.fixture
def upstreams(backend: LocalBackend) -> Iterator[Upstreams]:
    """The outside without requests of earlier tests, to script until the test ends."""
    backend.outside.reset()
    with backend.upstreams() as scripted:
        yield scripted
