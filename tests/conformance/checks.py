"""``python -m tests.conformance.checks``: what contract files are checked for, judged by istiod.

Of each recorded contract, and of new ones that hypothesis builds, every automatic check is decided
over the configuration that istiod pushes to the workload that the check is made from, once with the
pod's own resolver and once with Istio's. A check that does not hold is a finding about the
contract: it must have one of the reasons of `tests.conformance.faults`, or it is false.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import yaml

from pytest_egress.contract import unsupported
from pytest_egress.contract.allocation import allocate
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import Program, compile_contract
from pytest_egress.errors import ContractError
from tests.conformance.asking import Oracle, OracleError, asking, find_oracle
from tests.conformance.cases import Case, recorded
from tests.conformance.faults import REASONS, Failure, Judge, checks_of, closed, names_of
from tests.conformance.record import questions_of
from tests.conformance.structure import normalized

__all__ = ["compared", "main", "told"]

_A_SEED = 100  # contracts
_RECORDED = ("behaviour", "structure", "generated")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how many checks hold, and each that does not by its reason.

    Returns:
        0, 1 when a check fails for no fault of its contract, 2 when there is no oracle.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oracle", default="", metavar="PATH")
    parser.add_argument("--examples", type=int, default=300, metavar="N")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), metavar="N")
    options = parser.parse_args(arguments)
    try:
        path = find_oracle(options.oracle)
        with asking(path) as oracle:
            cases = [*_recorded(), *_generated(options.examples, options.seed)]
            checked, failures = compared(oracle, cases)
    except OracleError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{len(cases)} contracts, generated ones from seed {options.seed}\n")
    sys.stdout.write(told(checked, failures))
    return 1 if any(not failure.reason for _, failure in failures) or not checked else 0


def compared(
    oracle: Oracle, cases: Iterable[Case]
) -> tuple[Counter[str], list[tuple[str, Failure]]]:
    """How many checks of each kind were decided, and those that do not hold, by their case."""
    checked: Counter[str] = Counter()
    failures: list[tuple[str, Failure]] = []
    for case in cases:
        contract = closed(case)
        for captured in (False, True):
            for workload, checks in checks_of(contract, dns_capture=captured):
                program = _pushed(oracle, case, contract, workload)
                if program is None:
                    continue  # istiod itself fails on it
                checked.update(it.kind for it in checks)
                judge = Judge(contract, workload, program)
                failures += ((case["id"], it) for it in judge.failures(checks))
    return checked, failures


def _recorded() -> Iterator[Case]:
    for name in _RECORDED:
        yield from (case for case in recorded(name) if "yaml" in case and not _refused(case))


def _generated(count: int, seed: int) -> Iterator[Case]:
    for number in range(seed, seed + -(-count // _A_SEED)):
        yield from (case for case in questions_of(number, _A_SEED) if not _refused(case))


def _refused(case: Case) -> bool:
    """Whether files with this contract are refused before anything of them is checked."""
    try:
        contract = closed(case)
        for captured in (False, True):
            checks_of(contract, dns_capture=captured)
    except ContractError:
        return True
    return any(it.severity == "error" for it in unsupported(contract))


def _pushed(oracle: Oracle, case: Case, contract: Contract, workload: Workload) -> Program | None:
    """Our program with istiod's configuration in it; None where istiod gives none."""
    mesh = yaml.load(case.get("mesh") or "", yaml.CSafeLoader) or {}
    mesh["outboundTrafficPolicy"] = {"mode": "REGISTRY_ONLY"}
    if workload.dns_capture:
        contract = allocate(contract)
    answer = oracle.ask(
        {
            "id": case["id"],
            **{name: case[name] for name in ("locality", "defaults") if name in case},
            "mesh": json.dumps(mesh),
            "yaml": _with_addresses(case, contract) if workload.dns_capture else case["yaml"],
            "namespace": workload.namespace,
            "labels": dict(workload.labels),
            "metadata": {"DNS_CAPTURE": "true"} if workload.dns_capture else {},
            "want": ["listeners", "routes", "clusters", "endpoints", "names"],
        }
    )
    if "listeners" not in answer:
        return None
    pushed = normalized(answer)
    names = names_of(answer.get("names", {}).get("table", {})) if workload.dns_capture else {}
    return replace(
        compile_contract(contract, workload),
        listeners=tuple(pushed["listeners"]),
        routes=tuple(pushed["routes"]),
        clusters=tuple(pushed["clusters"]),
        endpoints=tuple(pushed["endpoints"]),
        names=names,
    )


def _with_addresses(case: Case, contract: Contract) -> str:
    """The resources of a case with the addresses that were allocated, as a cluster has them."""
    allocated: dict[tuple[str, str], Any] = {
        (it.metadata.namespace, it.metadata.name): it.status_addresses
        for it in contract.service_entries
    }
    documents = []
    for document in yaml.load_all(case["yaml"], yaml.CSafeLoader):
        if document and document.get("kind") == "ServiceEntry":
            metadata = document["metadata"]
            key = metadata.get("namespace") or "default", metadata["name"]
            found = [{"host": host, "value": value} for host, value in allocated.get(key, ())]
            document["status"] = {"addresses": found}
        documents.append(document)
    return yaml.safe_dump_all(documents, sort_keys=False)


def told(checked: Counter[str], failures: Iterable[tuple[str, Failure]]) -> str:
    """The counts, by kind and by reason, and each false finding."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in checked.most_common())
    lines = [f"{checked.total()} checks: {kinds}"]
    by_reason: dict[str, list[tuple[str, Failure]]] = {reason: [] for reason in (*REASONS, "")}
    for identity, failure in failures:
        by_reason[failure.reason].append((identity, failure))
    for reason, text in REASONS.items():
        found = by_reason[reason]
        contracts = len({identity for identity, _ in found})
        lines.append(f"{len(found):>6} fail in {contracts} contracts: {text}")
    false = by_reason[""]
    lines.append(f"{len(false):>6} false findings")
    lines += (f"FALSE {identity} {it.check.name}: {it.told}" for identity, it in false)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
