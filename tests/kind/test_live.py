"""The real outside, asked from namespaces of the run's own: here a server in the cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytest_egress.backends.cluster.api import Api
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.verdict import Verdict
from tests.kind.test_from import ENTRY, address

__all__ = ["address"]

IMAGE = os.environ.get("PYTEST_EGRESS_POD_IMAGE", "python:3.13-slim")
URL = "http://web.example.com:8080/"


@pytest.fixture(scope="module")
def egress(address: str) -> Iterator[Egress]:
    """A pod whose proxy reaches what it dials."""
    backend = ClusterBackend(Api(), pod_image=IMAGE, live=True, say=lambda _line: None)
    contract = loads(ENTRY.format(space="default", address=address))
    yield Egress(backend, contract, timeout=10.0)
    backend.close()


def test_the_server_itself_answers(egress: Egress, address: str) -> None:
    """The contract's endpoint, through the sidecar of a pod of ours."""
    outcome = egress.get(URL, address=address)
    assert outcome.verdict is Verdict.REACHABLE, outcome
    assert outcome.status == 200
    assert outcome.evidence is not None
    assert outcome.evidence.upstream_host == f"{address}:8080"


def test_what_is_not_declared_is_refused(egress: Egress, address: str) -> None:
    """The same server by another name and on another port."""
    assert egress.get("http://evil.example:8080/", address=address).blocked
    assert egress.get("http://web.example.com:8081/", address=address).blocked


def test_open_mesh_passes_it_on(egress: Egress, address: str) -> None:
    """Past the contract, to the real server."""
    outcome = egress.with_policy("ALLOW_ANY").get("http://evil.example:8080/", address=address)
    assert outcome.verdict is Verdict.UNDECLARED, outcome
    assert egress.get("http://evil.example:8080/", address=address).blocked


def test_names_are_those_of_the_cluster(egress: Egress) -> None:
    """They are looked up where every pod looks them up."""
    assert egress.resolve("kubernetes.default.svc.cluster.local").answer.addresses


def test_outside_cannot_be_scripted(egress: Egress) -> None:
    """It is the real one."""
    assert "--egress-live" in egress.backend.lacking["simulate"]
