"""Pods under a contract of a test's own, and the setting that is there or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads, parse_mesh
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

    def make(*texts: str, mesh: str = "") -> Egress:
        contract = loads(documents(*texts), file="egress.yaml")
        if mesh:
            contract = replace(contract, mesh=parse_mesh(mesh, file="mesh.yaml"))
        return Egress(backend, contract, timeout=15)

    yield make
    backend.outside.reset()
