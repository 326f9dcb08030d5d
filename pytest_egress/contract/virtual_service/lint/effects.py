"""Settings of an http route that Istio accepts and that do nothing."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Path
from pytest_egress.contract.virtual_service.lint.walk import warning
from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["lint_effects"]


def lint_effects(service: VirtualService) -> Iterator[Problem]:
    """Faults for no call at all."""
    for i, route in enumerate(service.http):
        if route.fault is None:
            continue
        delay, abort = route.fault.delay, route.fault.abort
        never = [
            name
            for name, share in (
                ("delay", 1 if delay is None else delay.percentage or delay.percent),
                ("abort", 1 if abort is None else abort.percentage),
            )
            if not share
        ]
        for name in never:
            path: Path = ("spec", "http", i, "fault", name)
            message = (
                f"the {name} is never injected: no percentage means 0 %. "
                "Write percentage: {value: 100}"
            )
            yield warning(service, "lint/virtual-service-fault-percentage", message, path)
