"""The backends that the suite runs on, each started once, and a pod on each.

``EGRESS_ALIKE`` names them, separated by commas; unset: ``local``. Their settings are those of the
environment (``PYTEST_EGRESS_POD_IMAGE`` and so on).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytest_egress.backends import registry
from pytest_egress.backends.protocol import Backend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.settings import outside_of_pytest
from pytest_egress.upstream import Upstreams
from tests.alike.contract import CONTRACT

BACKENDS = os.environ.get("EGRESS_ALIKE", "local").split(",")


@pytest.fixture(scope="session", params=BACKENDS)
def place(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """One backend for the whole run."""
    backend = registry.create(request.param, outside_of_pytest)
    backend.prepare()
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def whole_pod(place: Backend) -> Egress:
    """The pod, whose proxy is started once."""
    return Egress(place, loads(CONTRACT, file="egress.yaml"), timeout=10.0)


@pytest.fixture
def pod(place: Backend, whole_pod: Egress) -> Iterator[Egress]:
    """A pod in a mesh with REGISTRY_ONLY, and an outside without a past."""
    place.reset()
    yield whole_pod
    whole_pod.close()


@pytest.fixture
def upstreams(place: Backend, pod: Egress) -> Iterator[Upstreams]:
    """The outside, to script until the test ends."""
    with place.upstreams() as upstreams:
        yield upstreams
