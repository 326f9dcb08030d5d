"""What a mutant changes of the proxies' configuration, and which calls that can matter to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pytest_egress.contract.allocation import allocate
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import Program, compile_contract
from pytest_egress.evidence import Evidence

__all__ = ["Configurations", "Difference", "askers"]

_STRANGER = "pytest-egress-elsewhere"


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the configurations of two contracts differ.

    Attributes:
        workloads: who sees a difference; none: the two are equal.
        names: the listeners, route configurations and clusters that differ.
        lookups: whether names resolve to other addresses.
    """

    workloads: tuple[Workload, ...] = ()
    names: frozenset[str] = field(default=frozenset())
    lookups: bool = False

    def concerns(self, evidence: Iterable[Evidence]) -> bool:
        """Whether one of these calls could have met what differs.

        That is so where it met it by name, or went to a port that has a listener more.
        """
        return self.lookups or any(
            not self.names.isdisjoint(_met(it)) or not self.names.isdisjoint(_listeners(it))
            for it in evidence
        )


class Configurations:
    """The configurations of one contract, to compare its mutants with."""

    def __init__(self, contract: Contract, workloads: Iterable[Workload]) -> None:
        self.contract = contract
        self.workloads = tuple(workloads)
        self._programs = [_program(contract, it) for it in self.workloads]
        self._gateways = _gateways(contract)

    def difference(self, mutant: Contract) -> Difference:
        """Where a mutant's configurations differ.

        Raises:
            ContractError: the mutant cannot be compiled.
        """
        names: set[str] = set()
        workloads = []
        lookups = False
        for workload, program in zip(self.workloads, self._programs, strict=True):
            other = _program(mutant, workload)
            found = set(_differing(program, other))
            if found or program.names != other.names:
                workloads.append(workload)
                names |= found
                lookups |= program.names != other.names
        gateways = _gateways(mutant)
        if len(gateways) != len(self._gateways):
            workloads, names = list(self.workloads), names | {"*"}
        else:
            for program, other in zip(self._gateways, gateways, strict=True):
                found = set(_differing(program, other))
                if found:
                    workloads, names = list(self.workloads), names | found
        return Difference(tuple(workloads), frozenset(names), lookups)


def askers(contract: Contract, seen: Iterable[Workload]) -> list[Workload]:
    """The workloads that a contract may tell apart: those seen, one of each namespace, a stranger.

    A contract that differs for none of them differs for nobody.
    """
    given = list(seen)
    captured = any(it.dns_capture for it in given)
    resources = (*contract.service_entries, *contract.sidecars)
    namespaces = dict.fromkeys(it.metadata.namespace for it in resources)
    for entry in contract.service_entries:
        namespaces.update(dict.fromkeys(set(entry.export_to) - {"*", ".", "~"}))
    found = {_key(it): it for it in given}
    for namespace in (*namespaces, _STRANGER):
        workload = Workload(namespace, {}, captured)
        found.setdefault(_key(workload), workload)
    for sidecar in contract.sidecars:
        labels = dict(sidecar.workload_selector or {})
        workload = Workload(sidecar.metadata.namespace, labels, captured)
        found.setdefault(_key(workload), workload)
    return list(found.values())


def _key(workload: Workload) -> tuple[str, tuple[tuple[str, str], ...], bool]:
    return workload.namespace, tuple(sorted(workload.labels.items())), workload.dns_capture


def _program(contract: Contract, workload: Workload) -> Program:
    allocated = allocate(contract) if workload.dns_capture else contract
    return compile_contract(allocated, workload)


def _gateways(contract: Contract) -> list[Program]:
    if not contract.speaks_of_services:
        return []
    from pytest_egress.contract.kubernetes.registry import gateway_workloads
    from pytest_egress.envoy.gateway.program import compile_gateway

    return [compile_gateway(contract, it).program for it in gateway_workloads(contract)]


def _differing(one: Program, other: Program) -> Iterator[str]:
    """The names of what only one of two programs has, or has otherwise."""
    for kind, key in (
        ("listeners", "name"),
        ("routes", "name"),
        ("clusters", "name"),
        ("endpoints", "cluster_name"),
    ):
        ours = {it[key]: it for it in getattr(one, kind)}
        theirs = {it[key]: it for it in getattr(other, kind)}
        for name in ours.keys() | theirs.keys():
            if ours.get(name) != theirs.get(name):
                yield name


def _met(evidence: Evidence) -> set[str]:
    """What a call met, by name; ``*`` is everything."""
    cluster = evidence.cluster or evidence.missing_cluster
    return {evidence.listener, evidence.route_config, cluster, "*"} - {""}


def _listeners(evidence: Evidence) -> set[str]:
    """The listeners that would take the call if they were there."""
    address, _, port = evidence.destination.rpartition(":")
    return {f"{address.strip('[]')}_{port}", f"0.0.0.0_{port}"}
