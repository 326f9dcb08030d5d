"""``pytest-egress explain URL...``: what decides about a call, why, and what would change it."""

from __future__ import annotations

import argparse
import json

from pytest_egress.cli.pod import enforceable, mesh_of, workload_of
from pytest_egress.errors import ProbeError
from pytest_egress.probe import ProbeOptionError, Target
from pytest_egress.probe.target import is_address
from pytest_egress.report.foresight import Foresight
from pytest_egress.report.foretold import foretell

__all__ = ["explain_urls"]


def explain_urls(options: argparse.Namespace) -> int:
    """Explain each URL; return 0: what a contract decides is no failure.

    Raises:
        ContractError: the contract cannot be used.
        ProbeError: a URL or an option cannot be used.
    """
    if options.address and not is_address(options.address):
        raise ProbeError(f"--address={options.address}: expected an IP address")
    try:
        targets = [Target.parse(url) for url in options.urls]
    except ProbeOptionError as error:
        raise ProbeError(str(error)) from None
    mesh = mesh_of(options)
    workload = workload_of(options.workload, mesh, dns_proxy=options.dns_proxy, option="--from")
    foresight = Foresight(enforceable(options.contract, mesh), workload)
    told = [foretell(foresight, target, options.address) for target in targets]
    if options.format == "json":
        print(json.dumps([it.to_json() for it in told], indent=2))
    else:
        print("\n\n".join("\n".join(it.lines()) for it in told))
    return 0
