"""What a run has applied to a cluster, against an API server that is stood in for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_egress import loads
from pytest_egress.backends.cluster.api import ApiError
from pytest_egress.backends.cluster.applied import Applied
from pytest_egress.contract.resources import Workload

_ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.example.com]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: DNS
"""


class Cluster:
    """Objects by their paths; one that is named so is refused."""

    def __init__(self) -> None:
        self.objects: dict[str, Mapping[str, Any]] = {}

    def create(self, path: str, body: Mapping[str, Any], doing: str) -> Mapping[str, Any]:
        """Make an object."""
        if body["metadata"]["name"] == "refused":
            raise ApiError(f"cannot {doing}", status=400)
        made = {**body, "metadata": {**body["metadata"], "creationTimestamp": "2026-01-01"}}
        self.objects[f"{path}/{body['metadata']['name']}"] = made
        return made

    def get(self, path: str, doing: str) -> Mapping[str, Any]:
        """Read an object."""
        assert doing
        known = self.objects[path]
        return {**known, "metadata": {**known["metadata"], "resourceVersion": "1"}}

    def replace(self, path: str, body: Mapping[str, Any], doing: str) -> None:
        """Put an object in the place of another."""
        assert doing
        self.objects[path] = body

    def delete(self, path: str, doing: str, *, grace: int | None = None) -> None:
        """Remove an object."""
        assert doing
        assert grace is None
        del self.objects[path]

    def names(self, plural: str) -> set[str]:
        """Of all objects of a kind."""
        return {path.split("/")[-1] for path in self.objects if path.split("/")[-2] == plural}


@pytest.fixture
def cluster() -> Any:
    """An empty one."""
    return Cluster()


@pytest.fixture
def applied(cluster: Any) -> Applied:
    """Nothing yet."""
    return Applied(cluster, "run", revision="", keep=False, say=lambda _: None)


def test_a_contract_takes_the_place_of_the_one_before(cluster: Cluster, applied: Applied) -> None:
    """What it lacks is removed, what stays is left alone, and the step's number goes up."""
    workload = Workload("default")
    one, two = loads(_ENTRY.format(name="a")), loads(_ENTRY.format(name="b"))
    applied.use(one, workload, ())
    assert cluster.names("serviceentries") == {"a", "pytest-egress-control"}
    applied.use(two, workload, ())
    assert cluster.names("serviceentries") == {"b", "pytest-egress-control"}
    assert applied.generation == 2
    applied.use(loads(_ENTRY.format(name="b")), workload, ())
    assert applied.generation == 2
    applied.close()
    assert cluster.names("namespaces") == set()


def test_a_contract_that_was_refused_in_part_is_not_there(
    cluster: Cluster, applied: Applied
) -> None:
    """The one before is applied again: it has lost what the refused one had no use for."""
    workload = Workload("default")
    good = loads(_ENTRY.format(name="a"))
    applied.use(good, workload, ())
    with pytest.raises(ApiError):
        applied.use(loads(_ENTRY.format(name="refused")), workload, ())
    assert cluster.names("serviceentries") == {"pytest-egress-control"}
    applied.use(good, workload, ())
    assert cluster.names("serviceentries") == {"a", "pytest-egress-control"}
