"""The cluster that `tox -e kind` names; without it these tests are not collected.

Those of the folder ``breaking`` make their own, and are collected by `tox -e kind-break` alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.backends.ownership import labels
from pytest_egress.backends.registry import create
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.settings import outside_of_pytest

CONTRACT = (Path(__file__).parent / "contract.txt").read_text()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave them out where no cluster is meant, or one that may not be broken."""
    meant = os.environ.get("EGRESS_KIND", "")
    breaking = Path(__file__).with_name("breaking") in collection_path.parents
    wrong = collection_path.suffix == ".py" and breaking != (meant == "break")
    return True if not meant or wrong else None


@pytest.fixture(scope="session")
def backend() -> Iterator[ClusterBackend]:
    """The backend cluster, as the environment sets it."""
    backend = create("cluster", outside_of_pytest)
    assert isinstance(backend, ClusterBackend)
    yield backend
    errors = list(backend.outside.errors)
    backend.close()
    assert not errors


@pytest.fixture
def api() -> Api:
    """The cluster itself."""
    return Api(os.environ.get("PYTEST_EGRESS_CONTEXT", ""))


@pytest.fixture
def egress(backend: ClusterBackend) -> Iterator[Egress]:
    """A pod under the contract of these tests."""
    egress = Egress(backend, loads(CONTRACT), timeout=10.0)
    yield egress
    egress.close()
    backend.reset()


def make_namespace(api: Api, name: str, **marks: str) -> None:
    """Make a namespace, also where one of that name is about to be gone."""
    metadata = {"name": name, "labels": {**labels(), **marks}}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    deadline = time.monotonic() + 120
    while True:
        try:
            api.create("/api/v1/namespaces", body, "make a namespace")
        except ApiError as error:
            if error.status != 409 or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return
