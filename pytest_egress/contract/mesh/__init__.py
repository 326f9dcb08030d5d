"""MeshConfig: read from a mesh file, a ConfigMap, an IstioOperator or Helm values."""

from __future__ import annotations

import os

from pytest_egress.contract.files import StrPath, read_text
from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import MeshConfig
from pytest_egress.errors import ContractError

__all__ = ["load_mesh", "parse_mesh", "read_mesh"]


def parse_mesh(text: str, file: str = "<string>") -> MeshConfig:
    """The mesh settings of a text, read as Istio reads them.

    The text is MeshConfig itself, a ConfigMap with ``data.mesh``, an IstioOperator, or the values
    of Istio's Helm charts. Without ``outboundTrafficPolicy`` the policy is Istio's default,
    ALLOW_ANY; with an empty one (``outboundTrafficPolicy: {}``) it is REGISTRY_ONLY. Names of
    fields may be camelCase or snake_case, as in protobuf's JSON.

    Raises:
        ContractError: the text is none of these, or has a setting that could change an outbound
            verdict and is not implemented.
    """
    return read_mesh(text, file)[0]


def read_mesh(text: str, file: str = "<string>") -> tuple[MeshConfig, tuple[Problem, ...]]:
    """As `parse_mesh`; with what is to be warned of.

    Raises:
        ContractError: see `parse_mesh`; with every problem, warnings included.
    """
    # Many shapes and types, which most runs do not need.
    from pytest_egress.contract.mesh.forms import read

    return read(text, file)


def load_mesh(path: StrPath) -> tuple[MeshConfig, tuple[Problem, ...]]:
    """As `read_mesh`, from a file.

    Raises:
        ContractError: see `parse_mesh`; or the file cannot be read.
    """
    file = os.fspath(path)
    text = read_text(file)
    if isinstance(text, Problem):
        raise ContractError([text])
    return read_mesh(text, file)
