"""Every workload asked for every target, on the embedded Envoy."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress import Egress, InconclusiveError, Matrix, ProbeError, Verdict, Workload, loads
from pytest_egress.backends.local import LocalBackend
from pytest_egress.outcome import Outcome
from pytest_egress.probe import Attempt
from pytest_egress.verdict import Observation, judge

CONTRACT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shared, namespace: shop}
spec:
  hosts: [shared.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own, namespace: shop}
spec:
  hosts: [own.example.com]
  exportTo: ["."]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
"""
SHARED, OWN = "http://shared.example.com", "http://own.example.com"


@pytest.mark.parametrize("concurrency", [1, 4])
def test_each_pair_has_an_outcome(backend: LocalBackend, concurrency: int) -> None:
    """From each workload as it sees the contract; a workload is told by its spelling."""
    told: list[Outcome] = []
    egress = Egress(backend, loads(CONTRACT), on_outcome=told.append)
    asking: list[Workload | str] = [Workload("shop", {"app": "web"}), "batch"]
    matrix = egress.matrix(
        asking, iter([SHARED, OWN, SHARED]), concurrency=concurrency, method="HEAD"
    )
    assert matrix.workloads == ("shop/app=web", "batch")
    assert matrix.targets == (SHARED, OWN)
    assert matrix.reachable == {
        ("shop/app=web", SHARED),
        ("shop/app=web", OWN),
        ("batch", SHARED),
    }
    assert matrix.blocked == {("batch", OWN)}
    assert matrix["batch", OWN].blocked
    assert matrix.verdicts == {Verdict.REACHABLE: 3, Verdict.BLOCKED: 1}
    assert len(matrix) == len(told) == 4
    assert repr(matrix) == "<Matrix 2 workloads x 2 targets: 3 REACHABLE, 1 BLOCKED>"
    assert str(matrix).splitlines() == [
        "                           shop/app=web  batch",
        "http://shared.example.com  REACHABLE     REACHABLE",
        "http://own.example.com     REACHABLE     BLOCKED",
    ]
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(matrix)


@pytest.mark.parametrize(
    ("asking", "targets", "options", "message"),
    [
        ([], [OWN], {}, "at least one workload"),
        (["shop"], [], {}, "at least one target"),
        (["shop/app"], [OWN], {}, "workload 'shop/app': expected NAMESPACE"),
        (["shop"], ["own.example.com"], {}, "did you mean https://own.example.com"),
        (["shop"], [OWN], {"concurrency": 0}, "concurrency of 1 or more"),
        (["shop"], [OWN], {"metod": "GET"}, "did you mean 'method'"),
    ],
)
def test_what_cannot_be_asked(
    backend: LocalBackend,
    asking: list[str],
    targets: list[str],
    options: dict[str, Any],
    message: str,
) -> None:
    """One error each."""
    egress = Egress(backend, loads(CONTRACT))
    with pytest.raises(ProbeError, match=message):
        egress.matrix(asking, targets, **options)


def test_a_pair_without_proof_is_never_read_as_blocked() -> None:
    """The sets raise, and tell which pair; the table shows it."""
    observation = Observation(Attempt(OWN, "tcp", completed=False))
    lost = Outcome(OWN, judge(observation), observation, _explain=lambda: "the proxy is gone")
    matrix = Matrix({("shop", OWN): lost})
    for read in ("reachable", "blocked"):
        with pytest.raises(InconclusiveError, match=f"1 of 1 pairs, first {OWN} from shop\nthe pr"):
            getattr(matrix, read)
    assert "INCONCLUSIVE" in matrix.table()


def test_a_long_table_is_cut() -> None:
    """The first targets are shown, the others counted."""
    observation = Observation(Attempt(OWN, "tcp", completed=False))
    lost = Outcome(OWN, judge(observation), observation)
    lines = Matrix({("shop", f"tcp://h{n}:1"): lost for n in range(50)}).table().splitlines()
    assert len(lines) == 42
    assert lines[-1] == "... and 10 more targets"
