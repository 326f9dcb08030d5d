"""How a Gateway is read; imported only where a contract has one."""

from __future__ import annotations

from pytest_egress.contract.gateway.build import build_gateway
from pytest_egress.contract.gateway.lint import lint_gateways
from pytest_egress.contract.gateway.rules import check_gateway
from pytest_egress.contract.gateway.shape import GATEWAY
from pytest_egress.contract.kinds import Kind

__all__ = ["KIND"]

KIND = Kind(GATEWAY, check_gateway, build_gateway, lint_gateways)
