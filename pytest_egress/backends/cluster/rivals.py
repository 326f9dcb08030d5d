"""Objects between which istiod chooses by age, and how a run's own namespaces keep its choice.

Of two objects of one kind for one host, istiod takes what is for the workload's namespace alone
before what is exported to it by name, and that before what is for all; among equals the older one.
In a run's own namespaces nothing is for all, so that the age alone decides: rivals are created in
the order in which istiod prefers them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

from pytest_egress.contract.position import Problem

if TYPE_CHECKING:
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Resource

__all__ = ["contradictions", "rivals"]

_OWN, _NAMED, _ALL, _UNSEEN = range(4)

Group = list[Any]


def rivals(contract: Contract, namespace: str) -> list[Group]:
    """The groups of objects that are for the same host, each in the order of istiod's choice.

    Args:
        contract: it.
        namespace: of the workload that asks.
    """
    mesh = contract.mesh

    def rank(defaults: Sequence[str]) -> Callable[[Any], int]:
        return lambda it: _rank(it, it.export_to or defaults, namespace)

    services = rank(mesh.default_service_export_to or ("*",))
    routes = rank(mesh.default_virtual_service_export_to or ("*",))
    return [
        *_sharing(contract.service_entries, lambda it: it.hosts, services),
        *_sharing(contract.virtual_services, lambda it: it.hosts, routes),
        *_sharing(contract.destination_rules, lambda it: [it.host], lambda _: _OWN),
        *_sharing(contract.sidecars, lambda it: [it.metadata.namespace], lambda _: _OWN),
    ]


def contradictions(contract: Contract, namespace: str) -> Iterator[Problem]:
    """Rivals of which a run's own namespaces would make istiod prefer the other one.

    What stands in the workload's own namespace comes first there in any case.
    """
    for group in rivals(contract, namespace):
        for first, second in combinations(group, 2):
            if not hasattr(first, "hosts") or _folded(first.hosts).isdisjoint(
                _folded(second.hosts)
            ):
                continue
            own = [it.metadata.namespace == namespace for it in (first, second)]
            if own == [False, True]:
                name = f"{first.metadata.namespace}/{first.metadata.name}"
                yield Problem(
                    "error",
                    f"{name} ({first.at('metadata', 'name')}) is for the same host and comes first "
                    "in the mesh; on a cluster, in namespaces of its own, it would come second: "
                    "use --egress-backend=local",
                    second.at("metadata", "name"),
                    "unsupported-on-cluster",
                )


def _sharing(
    some: Iterable[Resource],
    hosts_of: Callable[[Any], Iterable[str]],
    rank: Callable[[Any], int],
) -> list[Group]:
    """Those that share a host with another one, directly or through others."""
    by_host: dict[str, Group] = {}
    for it in some:
        if rank(it) == _UNSEEN:
            continue
        hosts = _folded(hosts_of(it))
        known = {id(by_host[host]): by_host[host] for host in hosts if host in by_host}
        group = [*chain(*known.values()), it]
        # Seldom more than the hosts of one: rivals are few.
        by_host.update(dict.fromkeys(chain(hosts, *(_folded(hosts_of(m)) for m in group)), group))
    groups = {id(group): group for group in by_host.values() if len(group) > 1}
    return [sorted(group, key=lambda it: (rank(it), *_age(it))) for group in groups.values()]


def _folded(hosts: Iterable[str]) -> set[str]:
    return {host.lower() for host in hosts}


def _age(resource: Resource) -> tuple[float, str, str]:
    metadata = resource.metadata
    return (metadata.creation_timestamp, metadata.name, metadata.namespace)


def _rank(resource: Resource, export_to: Iterable[str], namespace: str) -> int:
    """How early istiod takes an object for a workload of a namespace."""
    own = resource.metadata.namespace
    exported = {own if it == "." else it for it in export_to}
    if "~" in exported:
        return _UNSEEN
    if "*" in exported:
        return _ALL
    if namespace not in exported:
        return _UNSEEN
    return _OWN if own == namespace else _NAMED
