"""Options that say whose calls a contract is asked about: the mesh and the workload."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from pytest_egress.contract import load, unsupported
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.mesh import load_mesh
from pytest_egress.contract.resources import MeshConfig, OutboundTrafficPolicy, Workload
from pytest_egress.errors import ContractError, ProbeError
from pytest_egress.setting import parse_workload

__all__ = ["enforceable", "mesh_of", "workload_of"]


def mesh_of(options: argparse.Namespace) -> MeshConfig:
    """The mesh of the mesh file; its warnings are printed. A policy that is given wins.

    Raises:
        ContractError: the mesh file cannot be used.
    """
    mesh = MeshConfig()
    if options.mesh_config:
        mesh, warnings = load_mesh(options.mesh_config)
        for problem in warnings:
            print(problem, file=sys.stderr)
    if options.policy:
        policy = OutboundTrafficPolicy(options.policy)
        mesh = dataclasses.replace(mesh, outbound_traffic_policy=policy)
    return mesh


def workload_of(text: str, mesh: MeshConfig, *, dns_proxy: bool, option: str) -> Workload:
    """The workload that asks; Istio's agent resolves its names where the mesh says so too.

    Raises:
        ProbeError: the text names none.
    """
    try:
        namespace, labels = parse_workload(text)
    except ValueError as error:
        raise ProbeError(f"{option}={text}: {error}") from None
    return Workload(namespace, labels, dns_capture=dns_proxy or mesh.dns_capture)


def enforceable(paths: list[str], mesh: MeshConfig) -> Contract:
    """A contract from files that holds nothing which only a cluster can enforce.

    Raises:
        ContractError: it cannot be read, or holds such a thing.
    """
    contract = load(paths, mesh=mesh)
    refused = [problem for problem in unsupported(contract) if problem.severity == "error"]
    if refused:
        raise ContractError(refused)
    return contract
