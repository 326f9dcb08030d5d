"""Pods under a contract of a test's own, and the setting that is there or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from tests.observed import documents

Pod = Callable[..., Egress]


@pytest.fixture(params=[True, False], ids=["with", "without"])
def promised(request: pytest.FixtureRequest) -> bool:
    """Whether the setting is in the contract."""
    there: bool = request.param
    return there


@pytest.fixture
def pod(backend: LocalBackend) -> Iterator[Pod]:
    """Makes a pod of the documents of its contract; scripts and records end with the test."""
    backend.outside.reset()

    def make(*texts: str) -> Egress:
        return Egress(backend, loads(documents(*texts), file="egress.yaml"), timeout=15)

    yield make
    backend.outside.reset()
