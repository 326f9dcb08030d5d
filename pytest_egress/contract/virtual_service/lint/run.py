"""All warnings about the VirtualServices of a contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import Resource
from pytest_egress.contract.virtual_service.lint.binding import lint_binding
from pytest_egress.contract.virtual_service.lint.declared import Declared
from pytest_egress.contract.virtual_service.lint.delegates import lint_delegates
from pytest_egress.contract.virtual_service.lint.destinations import lint_destinations
from pytest_egress.contract.virtual_service.lint.effects import lint_effects
from pytest_egress.contract.virtual_service.lint.order import lint_order
from pytest_egress.contract.virtual_service.lint.refused import lint_overlaps, lint_refused
from pytest_egress.contract.virtual_service.lint.rivals import lint_replaced, lint_rivals
from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["lint_virtual_services"]


def lint_virtual_services(
    resources: Sequence[Resource], refused: frozenset[str]
) -> Iterator[Problem]:
    """What is told of VirtualServices once everything has been read.

    Args:
        resources: of the contract.
        refused: kinds of which an object could not be read.
    """
    services = [it for it in resources if isinstance(it, VirtualService)]
    declared = Declared(resources, refused)
    for service in services:
        yield from lint_binding(service, declared)
        yield from lint_destinations(service, declared)
        yield from lint_order(service)
        yield from lint_effects(service)
        yield from lint_refused(service)
    yield from lint_delegates(services, declared)
    yield from lint_rivals(services)
    yield from lint_overlaps(services)
    if "ServiceEntry" not in refused:
        yield from lint_replaced(services, declared)
