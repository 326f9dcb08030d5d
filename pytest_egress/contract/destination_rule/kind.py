"""How a DestinationRule is read; imported only where a contract has one."""

from __future__ import annotations

from pytest_egress.contract.destination_rule.build import build_destination_rule
from pytest_egress.contract.destination_rule.lint.run import lint_destination_rules
from pytest_egress.contract.destination_rule.rules import check_destination_rule
from pytest_egress.contract.destination_rule.shape import DESTINATION_RULE
from pytest_egress.contract.kinds import Kind

__all__ = ["KIND"]

KIND = Kind(
    DESTINATION_RULE, check_destination_rule, build_destination_rule, lint_destination_rules
)
