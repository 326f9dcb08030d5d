"""What the terminal shows of a run: its header line, and what the contract is warned of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pytest_egress.errors import BackendError
from pytest_egress.loading import create_backend, loader
from pytest_egress.settings import lookup

__all__ = ["header", "show_bypasses", "show_warnings"]

_MOST = 10


def show_warnings(reporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the warnings of the run's contract; nothing where there are none."""
    warnings = loader(config).for_run().warnings
    if not warnings:
        return
    reporter.section("egress contract warnings")
    for problem in warnings[:_MOST]:
        reporter.line(str(problem))
    if len(warnings) > _MOST:
        reporter.line(f"... and {len(warnings) - _MOST} more: pytest-egress validate shows all")


def show_bypasses(reporter: pytest.TerminalReporter, reports: Iterable[Any]) -> None:
    """Write the ways around the sidecar that tests with the marker ``egress_bypass`` found."""
    from pytest_egress.bypass.marker import lines, read

    reporter.section("ways around the sidecar (advice)")
    for line in lines(it for report in reports for it in read(report)):
        reporter.line(line)


def header(config: pytest.Config) -> str:
    """One line: backend and Envoy version, size of the contract, policy."""
    contract = loader(config).for_run()
    where = ", ".join(_describe(config, name) for name in lookup(config, "backend")[0])
    entries, files = len(contract.service_entries), len(contract.files)
    warnings = len(contract.warnings)
    size = f"{entries} {'ServiceEntry' if entries == 1 else 'ServiceEntries'}"
    size += f" in {files} file{'s' if files != 1 else ''}"
    if warnings:
        size += f" ({warnings} warning{'s' if warnings != 1 else ''})"
    mode, source = lookup(config, "policy")
    if source == "default":
        mode = contract.mesh.outbound_traffic_policy.mode
    return f"egress: {where}, {size}, {mode}"


def _describe(config: pytest.Config, name: str) -> str:
    try:
        return create_backend(config, name).describe()
    except BackendError as error:
        return f"{name} ({error.tried})"
