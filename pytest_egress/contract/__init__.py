"""The contract as declared: Istio YAML read with positions, validated as istiod does, typed."""

from __future__ import annotations

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.load import check, load, loads, verdict
from pytest_egress.contract.mesh import parse_mesh
from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.resources import MeshConfig, Workload
from pytest_egress.contract.support import unsupported

__all__ = [
    "Contract",
    "MeshConfig",
    "Position",
    "Problem",
    "Workload",
    "check",
    "load",
    "loads",
    "parse_mesh",
    "unsupported",
    "verdict",
]
