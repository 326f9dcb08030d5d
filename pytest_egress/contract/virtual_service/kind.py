"""How a VirtualService is read."""

from __future__ import annotations

from pytest_egress.contract.kinds import Kind
from pytest_egress.contract.virtual_service.build import build_virtual_service
from pytest_egress.contract.virtual_service.lint.run import lint_virtual_services
from pytest_egress.contract.virtual_service.rules import check_virtual_service
from pytest_egress.contract.virtual_service.shape import VIRTUAL_SERVICE

__all__ = ["KIND"]

KIND = Kind(VIRTUAL_SERVICE, check_virtual_service, build_virtual_service, lint_virtual_services)
