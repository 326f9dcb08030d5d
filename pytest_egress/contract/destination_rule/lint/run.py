"""All warnings about the DestinationRules of a contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_egress.contract.destination_rule.lint.subsets import (
    lint_rivals,
    lint_subsets,
    used_subsets,
)
from pytest_egress.contract.destination_rule.lint.targets import Targets
from pytest_egress.contract.destination_rule.lint.tls import decrypted_ports, lint_tls
from pytest_egress.contract.destination_rule.resource import DestinationRule
from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import Resource
from pytest_egress.contract.virtual_service.lint.declared import Declared

__all__ = ["lint_destination_rules"]


def lint_destination_rules(
    resources: Sequence[Resource], refused: frozenset[str]
) -> Iterator[Problem]:
    """What is told of DestinationRules once everything has been read.

    Args:
        resources: of the contract.
        refused: kinds of which an object could not be read.
    """
    rules = [it for it in resources if isinstance(it, DestinationRule)]
    declared = Declared(resources, refused)
    targets = Targets(resources, declared)
    used, decrypted = used_subsets(resources), decrypted_ports(resources)
    gateways = bool(declared.gateways) or "Gateway" in refused
    for rule in rules:
        yield from targets.lint(rule)
        yield from lint_subsets(rule, targets, used)
        yield from lint_tls(rule, targets, decrypted, gateways=gateways)
    yield from lint_rivals(rules)
