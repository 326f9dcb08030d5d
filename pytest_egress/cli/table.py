"""``pytest-egress table``: every declared host and port, as each workload finds it."""

from __future__ import annotations

import argparse

from pytest_egress.cli.pod import enforceable, mesh_of, workload_of
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.drift.candidates import Question, workloads
from pytest_egress.drift.table import FORMATS, Table, table
from pytest_egress.errors import ProbeError
from pytest_egress.verdict import Verdict

__all__ = ["print_table"]


def print_table(options: argparse.Namespace) -> int:
    """Print the table; 0, or 3 when a probe was inconclusive.

    Raises:
        ContractError: the contract cannot be used.
        ProbeError: it declares nothing, or an option cannot be used.
        BackendError: the proxy cannot be brought up.
    """
    mesh = mesh_of(options)
    contract = enforceable(options.contract, mesh)
    if not contract.service_entries:
        raise ProbeError(
            f"{', '.join(options.contract)} holds no ServiceEntry: nothing is declared"
        )
    captured = options.dns_proxy or mesh.dns_capture
    asking = [
        workload_of(text, mesh, dns_proxy=options.dns_proxy, option="--from")
        for text in options.workload
    ] or workloads(contract, dns_capture=captured)
    made = (
        _probed(contract, asking, options.envoy) if options.probe else _foretold(contract, asking)
    )
    for line in FORMATS[options.format](made):
        print(line)
    return 3 if any(Verdict.INCONCLUSIVE in row.verdicts for row in made.rows) else 0


def _foretold(contract: Contract, asking: list[Workload]) -> Table:
    from pytest_egress.report.foresight import Foresight

    sights = {id(it): Foresight(contract, it) for it in asking}

    def verdict(workload: Workload, question: Question) -> Verdict:
        sight = sights[id(workload)]
        address = sight.dialled(question.name)[0]
        return sight.meet(question.call(address)).judgement.verdict

    return table(contract, asking, verdict, "decided over the compiled configuration, no proxy ran")


def _probed(contract: Contract, asking: list[Workload], envoy: str) -> Table:
    from pytest_egress.backends.local import LocalBackend
    from pytest_egress.egress import Egress

    backend = LocalBackend(envoy=envoy)
    try:
        pods = {id(it): Egress(backend, contract, it) for it in asking}

        def verdict(workload: Workload, question: Question) -> Verdict:
            url = f"{question.protocol}://{question.name}:{question.port}"
            options = {}
            if question.protocol == "http":
                url += question.path
                options = {"method": question.method, "headers": dict(question.headers)}
            return pods[id(workload)].probe(url, **options).verdict

        return table(contract, asking, verdict, f"probed on {backend.describe()}")
    finally:
        backend.close()
