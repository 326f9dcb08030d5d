"""Files or text to a contract, or to the list of everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Literal

from pytest_egress.contract.collect import Collector
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.files import StrPath
from pytest_egress.contract.lint import PREFIX
from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import (
    MeshConfig,
    Resource,
    ServiceEntry,
    Sidecar,
    WorkloadEntry,
)
from pytest_egress.contract.source import Source
from pytest_egress.errors import ContractError

__all__ = ["check", "contract_of", "load", "loads", "verdict"]


def load(paths: StrPath | Iterable[StrPath], *, mesh: MeshConfig | None = None) -> Contract:
    """Read a contract from files.

    Args:
        paths: files, directories (every ``*.yaml`` and ``*.yml`` in and below them) and globs.
            A file that is named twice is read once.
        mesh: the mesh the resources live in; by default a closed one (REGISTRY_ONLY).

    Raises:
        ContractError: with every problem of every file, warnings included.
    """
    collector = Collector(mesh)
    collector.read(paths)
    return contract_of(collector, mesh)


def loads(text: str, *, file: str = "<string>", mesh: MeshConfig | None = None) -> Contract:
    """Read a contract from a text; ``file`` is the name that problems give.

    Raises:
        ContractError: with every problem, warnings included.
    """
    collector = Collector(mesh)
    collector.add(Source(file, text.removeprefix("\ufeff")))
    return contract_of(collector, mesh)


def check(text: str, *, file: str = "<string>") -> list[Problem]:
    """Everything that is to be said of a text: errors, istiod's warnings and lint.

    Never raises for a bad contract; an empty list means that there is nothing to say.
    """
    collector = Collector()
    collector.add(Source(file, text.removeprefix("\ufeff")))
    return collector.finish()


def verdict(problems: Iterable[Problem]) -> Literal["accepted", "warned", "refused"]:
    """What Kubernetes and istiod would say; lint does not count."""
    counted = {p.severity for p in problems if not p.rule.startswith(PREFIX)}
    if "error" in counted:
        return "refused"
    return "warned" if counted else "accepted"


def contract_of(collector: Collector, mesh: MeshConfig | None = None) -> Contract:
    """The contract of what a collector has read; it is finished by this.

    Raises:
        ContractError: with every problem, warnings included.
    """
    problems = collector.finish()
    if any(problem.severity == "error" for problem in problems):
        raise ContractError(problems)
    resources = collector.resources
    return Contract(
        service_entries=tuple(r for r in resources if isinstance(r, ServiceEntry)),
        workload_entries=tuple(r for r in resources if isinstance(r, WorkloadEntry)),
        sidecars=tuple(r for r in resources if isinstance(r, Sidecar)),
        virtual_services=_of_kind(resources, "VirtualService"),
        destination_rules=_of_kind(resources, "DestinationRule"),
        gateways=_of_kind(resources, "Gateway"),
        kubernetes_services=_of_kind(resources, "KubernetesService"),
        kubernetes_pods=_of_kind(resources, "KubernetesPod"),
        mesh=mesh or MeshConfig(),
        warnings=tuple(problems),
        files=tuple(collector.files),
        other_kinds=MappingProxyType(dict(collector.other_kinds)),
    )


def _of_kind(resources: Iterable[Resource], kind: str) -> tuple[Any, ...]:
    """The resources of a kind whose type is not imported unless there are some."""
    return tuple(r for r in resources if type(r).__name__ == kind)
