"""What DestinationRules are for: the declared hosts, and the ports that they have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from pytest_egress.contract.destination_rule.parts import policies
from pytest_egress.contract.destination_rule.resource import DestinationRule, PortPolicy
from pytest_egress.contract.kubernetes.inferred import full_name
from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Path
from pytest_egress.contract.resources import Port, Resource, ServiceEntry, WorkloadEntry
from pytest_egress.contract.virtual_service.lint.declared import Declared, is_cluster_host

__all__ = ["Target", "Targets", "rule_host", "warning"]

Target = tuple[str, ServiceEntry, Port]


class Targets:
    """Which declared hosts each DestinationRule applies to.

    Attributes:
        declared: what else the contract declares.
    """

    def __init__(self, resources: Sequence[Resource], declared: Declared) -> None:
        self.declared = declared
        self._entries: dict[str, list[ServiceEntry]] = defaultdict(list)
        self._exact: set[tuple[str, str]] = set()
        self._workloads: list[WorkloadEntry] = []
        self._ports: dict[str, list[Target]] = {}
        self._labels: dict[str, list[Mapping[str, str]] | None] = {}
        for resource in resources:
            if isinstance(resource, ServiceEntry):
                for host in resource.hosts:
                    self._entries[host].append(resource)
            elif isinstance(resource, WorkloadEntry):
                self._workloads.append(resource)
            elif isinstance(resource, DestinationRule):
                self._exact.add((resource.metadata.namespace, rule_host(resource)))

    def hosts(self, rule: DestinationRule) -> list[str]:
        """The declared hosts of a rule.

        A rule of its own keeps a host from the wildcard rules of the same namespace.
        """
        host, namespace = rule_host(rule), rule.metadata.namespace
        if not host.startswith("*"):
            return [host] if host in self._entries else []
        suffix = host[1:]
        return [
            name
            for name in self._entries
            if name == host or (name.endswith(suffix) and (namespace, name) not in self._exact)
        ]

    def ports(self, rule: DestinationRule) -> Iterator[Target]:
        """The declared ports of the rule's hosts, of those that are alike the first one."""
        for host in self.hosts(rule):
            if host not in self._ports:
                self._ports[host] = list(self._different(host))
            yield from self._ports[host]

    def labels(self, host: str) -> list[Mapping[str, str]] | None:
        """The labels of a host's endpoints, each set once; None: pods may be behind it."""
        if host not in self._labels:
            self._labels[host] = self._carried(self._entries.get(host, ()))
        return self._labels[host]

    def _different(self, host: str) -> Iterator[Target]:
        """What no finding tells apart counts once: thousands of entries may declare one host."""
        seen: set[tuple[object, ...]] = set()
        for entry in self._entries[host]:
            of_entry = (
                bool(entry.subject_alt_names),
                bool(entry.endpoints),
                entry.workload_selector is not None,
            )
            for port in entry.ports:
                traits = (port.number, port.protocol, bool(port.target_port), *of_entry)
                if traits not in seen:
                    seen.add(traits)
                    yield host, entry, port

    def _carried(self, entries: Sequence[ServiceEntry]) -> list[Mapping[str, str]] | None:
        found: dict[frozenset[tuple[str, str]], Mapping[str, str]] = {}
        for entry in entries:
            selected = list(self._selected(entry))
            if entry.workload_selector is not None and not selected:
                return None
            for labels in (*(it.labels for it in entry.endpoints), *selected):
                found.setdefault(frozenset(labels.items()), labels)
        return list(found.values())

    def _selected(self, entry: ServiceEntry) -> Iterator[Mapping[str, str]]:
        selector = entry.workload_selector
        for workload in self._workloads if selector is not None else ():
            labels = {**workload.metadata.labels, **workload.endpoint.labels}
            same = workload.metadata.namespace == entry.metadata.namespace
            if same and selector is not None and selector.items() <= labels.items():
                yield labels

    def lint(self, rule: DestinationRule) -> Iterator[Problem]:
        """A rule for what nobody declares: a host, a port."""
        host = rule_host(rule)
        if "ServiceEntry" in self.declared.refused or not self._entries or is_cluster_host(host):
            return
        if not self.hosts(rule):
            yield warning(rule, "lint/destination-rule-host", self._nobody(host), ("spec", "host"))
            return
        numbers = sorted({port.number for _, _, port in self.ports(rule)})
        known = ", ".join(map(str, numbers)) or "none"
        for path, number in _port_levels(rule):
            if number and number not in numbers:
                message = f"the rule's hosts declare no port {number} ({known}): it does nothing"
                place: Path = (*path, "port", "number")
                yield warning(rule, "lint/destination-rule-port", message, place)

    def _nobody(self, host: str) -> str:
        wildcard = self.declared.wildcard(host)
        spelling = self.declared.spelling(host)
        if spelling is not None:
            return f'"{host}" is declared as "{spelling}", and case counts here: it does nothing'
        if wildcard is not None:
            return (
                f'only the wildcard "{wildcard}" declares "{host}", and a rule for one name of it '
                f'does nothing: write "{wildcard}", or declare the host itself'
            )
        return f'no ServiceEntry declares "{host}": it does nothing. {self.declared.mend(host)}'


def rule_host(rule: DestinationRule) -> str:
    """The host of a rule as istiod reads it."""
    return full_name(rule.host, rule.metadata.namespace)


def warning(rule: DestinationRule, name: str, message: str, path: Path) -> Problem:
    """A warning about the value at ``path``."""
    return Problem("warning", message, rule.at(*path), name)


def _port_levels(rule: DestinationRule) -> Iterator[tuple[Path, int]]:
    for path, policy in policies(rule):
        if isinstance(policy, PortPolicy):
            yield path, policy.port
