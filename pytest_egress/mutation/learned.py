"""What the first run teaches: the tests that had a pod, under which contract, and what they met."""

from __future__ import annotations

import copyreg
import io
import pickle
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import MeshConfig, Workload
from pytest_egress.evidence import Evidence
from pytest_egress.mutation.difference import Difference

__all__ = ["Group", "Learned", "Ran", "packed", "unpacked"]

_RESOURCES = (
    "service_entries",
    "workload_entries",
    "sidecars",
    "virtual_services",
    "destination_rules",
    "gateways",
    "kubernetes_services",
    "kubernetes_pods",
)


@dataclass(slots=True, eq=False)
class Ran:
    """A test that has run under a contract.

    Attributes:
        place: its place in the order of the run.
        mesh: the settings that it ran under; it may have chosen the policy for itself.
        evidence: what its calls have met; empty: it made none through its pod.
    """

    place: int
    mesh: MeshConfig
    evidence: list[Evidence] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Group:
    """Tests whose contracts have the same resources.

    Attributes:
        contract: one of these contracts.
        tests: by node id.
    """

    contract: Contract
    tests: dict[str, Ran] = field(default_factory=dict)

    def holds(self, contract: Contract) -> bool:
        """Whether a contract has these resources."""
        if all(getattr(self.contract, it) is getattr(contract, it) for it in _RESOURCES):
            return True
        if any(getattr(self.contract, it) != getattr(contract, it) for it in _RESOURCES):
            return False
        self.contract = contract  # equal, from elsewhere: known at a glance from now on
        return True

    @property
    def first(self) -> int:
        """The place of its first test."""
        return min(test.place for test in self.tests.values())

    @property
    def base(self) -> Contract:
        """The contract to change: in the mesh that most tests run in."""
        counted: list[tuple[MeshConfig, int]] = []  # there are few, and they have no hash
        for test in sorted(self.tests.values(), key=lambda it: it.place):
            for index, (mesh, count) in enumerate(counted):
                if mesh is test.mesh or mesh == test.mesh:
                    counted[index] = mesh, count + 1
                    break
            else:
                counted.append((test.mesh, 1))
        return replace(self.contract, mesh=max(counted, key=lambda it: it[1])[0])

    def concerned(self, difference: Difference) -> Iterator[str]:
        """The tests that a difference can matter to, in the order of the run."""
        for name, test in sorted(self.tests.items(), key=lambda it: it[1].place):
            if not test.evidence or difference.concerns(test.evidence):
                yield name


@dataclass(slots=True, eq=False)
class Learned:
    """What one process has learned, or all of them together."""

    groups: list[Group] = field(default_factory=list)
    workloads: list[Workload] = field(default_factory=list)

    def group_of(self, contract: Contract) -> Group:
        """The group of a contract, which may be a new one."""
        for group in self.groups:
            if group.holds(contract):
                return group
        self.groups.append(Group(contract))
        return self.groups[-1]

    def keep(self, test: str, evidence: Iterable[Evidence | None]) -> None:
        """What a test has met; of one that had no pod nothing is kept."""
        for group in self.groups:
            if test in group.tests:
                group.tests[test].evidence.extend(it for it in evidence if it is not None)

    def saw(self, workload: Workload) -> None:
        """Somebody asks."""
        if workload not in self.workloads:
            self.workloads.append(workload)

    def join(self, other: Learned) -> None:
        """Add what another process has learned."""
        for group in other.groups:
            self.group_of(group.contract).tests.update(group.tests)
        for workload in other.workloads:
            self.saw(workload)

    def in_order(self) -> list[Group]:
        """The groups that have tests, in the order of the run, whoever has run what."""
        return sorted((it for it in self.groups if it.tests), key=lambda it: it.first)


def packed(value: Any) -> bytes:
    """A value for another process of the same run; what it shares stays shared."""
    buffer = io.BytesIO()
    _Packer(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def unpacked(data: bytes) -> Any:
    """The value, with what it shares."""
    return pickle.loads(data)  # noqa: S301  it comes from a process that this run has started


def _unchanging(values: dict[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(values)


class _Packer(pickle.Pickler):
    dispatch_table = copyreg.dispatch_table | {
        MappingProxyType: lambda it: (_unchanging, (dict(it),)),
    }
