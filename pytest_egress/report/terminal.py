"""What the terminal shows of a run: its header line."""

from __future__ import annotations

import pytest

from pytest_egress.errors import BackendError
from pytest_egress.loading import loader
from pytest_egress.settings import lookup

__all__ = ["header"]


def header(config: pytest.Config) -> str:
    """One line: backend and Envoy version, size of the contract, policy."""
    from pytest_egress.backends.local import LocalBackend

    contract = loader(config).for_run()
    backend = LocalBackend(envoy=lookup(config, "envoy")[0], live=lookup(config, "live")[0])
    try:
        where = backend.describe()
    except BackendError as error:
        where = f"local ({error.tried})"
    entries, files = len(contract.service_entries), len(contract.files)
    warnings = len(contract.warnings)
    size = f"{entries} {'ServiceEntry' if entries == 1 else 'ServiceEntries'}"
    size += f" in {files} file{'s' if files != 1 else ''}"
    if warnings:
        size += f" ({warnings} warning{'s' if warnings != 1 else ''})"
    return f"egress: {where}, {size}, {lookup(config, 'policy')[0]}"
