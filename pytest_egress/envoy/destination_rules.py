"""Which DestinationRule shapes a host for one workload: lookup order, exportTo, merging.

Istiod keeps three views of all rules and looks a host up in the first that knows it: the rules of
the workload's own namespace, those that the service's namespace exports, those that the root
namespace exports. Levels are never mixed. Inside one view rules for the same host are merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.report import Path
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy.names import is_wildcard, labels_match, qualified_host
from pytest_egress.envoy.services import Service

if TYPE_CHECKING:
    # Types alone: a contract without DestinationRules does not import them.
    from pytest_egress.contract.destination_rule.resource import (
        DestinationRule,
        Subset,
        TrafficPolicy,
    )

__all__ = ["MergedRule", "select_rules"]

_PRIVATE = "."


@dataclass(frozen=True, slots=True)
class MergedRule:
    """All DestinationRules that apply to one host, as one.

    Attributes:
        host: what they are written for, with short names resolved.
        namespace: where they live.
        traffic_policy: that of the oldest rule that has one.
        subsets: of all rules, the first of each name.
        workload_selector: labels that the workload has; None for a rule that is for all.
        export_to: the namespaces that the oldest rule names; empty is the mesh's default.
        sources: the rules, the oldest first.
    """

    host: str
    namespace: str
    traffic_policy: TrafficPolicy | None
    subsets: tuple[Subset, ...]
    workload_selector: Mapping[str, str] | None
    export_to: frozenset[str]
    sources: tuple[DestinationRule, ...]

    def subset(self, name: str) -> Subset | None:
        """The subset of that name."""
        return next((it for it in self.subsets if it.name == name), None)

    def position(self, block: str, port: int, subset: str = "") -> Position | None:
        """Where a block of the policy stands that counts for a port and subset.

        ``block`` is the name of a field of `PortPolicy`. None where no rule has such a block.
        """
        first, *others = block.split("_")
        field_name = first + "".join(map(str.capitalize, others))
        for rule, path, policy in self._policies(subset):
            for index, settings in enumerate(policy.port_level):
                if settings.port == port and getattr(settings, block) is not None:
                    return rule.at(*path, "portLevelSettings", index, field_name)
            if getattr(policy, block) is not None:
                return rule.at(*path, field_name)
        return None

    def _policies(self, subset: str) -> Iterator[tuple[DestinationRule, Path, TrafficPolicy]]:
        """Each policy with its place: those of the subset first, then those of the rules."""
        for rule in self.sources:
            for index, it in enumerate(rule.subsets):
                if it.name == subset and it.traffic_policy is not None:
                    yield rule, ("spec", "subsets", index, "trafficPolicy"), it.traffic_policy
        for rule in self.sources:
            if rule.traffic_policy is not None:
                yield rule, ("spec", "trafficPolicy"), rule.traffic_policy

    def merged_with(self, rule: DestinationRule) -> MergedRule:
        """With a younger rule: its subsets are added, its policy only where there is none."""
        names = {it.name for it in self.subsets}
        return replace(
            self,
            traffic_policy=self.traffic_policy or rule.traffic_policy,
            subsets=(*self.subsets, *(it for it in rule.subsets if it.name not in names)),
            sources=(*self.sources, rule),
        )


def select_rules(
    contract: Contract, workload: Workload, services: Iterable[Service]
) -> dict[str, MergedRule]:
    """The rule of each host that has one, for the services in the workload's scope."""
    index = _Index(contract)
    found = ((it.host, index.find(it, workload)) for it in services)
    return {host: rule for host, rule in found if rule is not None}


@dataclass(slots=True)
class _View:
    """Rules by host, as one kind of reader sees them."""

    exact: dict[str, list[MergedRule]] = field(default_factory=dict)
    wildcard: dict[str, list[MergedRule]] = field(default_factory=dict)
    _by_length: list[str] | None = None

    def add(self, rule: DestinationRule, export_to: frozenset[str]) -> None:
        """Merge a rule into those of its host (istiod's ``mergeDestinationRule``).

        It is added to each rule that reaches no further than itself, and stands alone as well
        where it reaches further.
        """
        namespace = rule.metadata.namespace
        host = qualified_host(rule.host, namespace)
        rules = (self.wildcard if is_wildcard(host) else self.exact).setdefault(host, [])
        self._by_length = None
        selector = rule.workload_selector
        separate = True
        for position, known in enumerate(rules):
            if export_to == known.export_to:
                separate = False
            else:
                separate = True
                if not known.export_to or not export_to >= known.export_to:
                    continue
            both_select = selector is not None and known.workload_selector is not None
            if both_select and dict(selector or {}) != dict(known.workload_selector or {}):
                separate = True
                continue
            if both_select or selector is known.workload_selector is None:
                separate = False
            rules[position] = known.merged_with(rule)
        if separate:
            policy, subsets = rule.traffic_policy, rule.subsets
            rules.append(MergedRule(host, namespace, policy, subsets, selector, export_to, (rule,)))

    def find(self, host: str) -> list[MergedRule]:
        """The rules of the most specific pattern: the host itself, else the longest wildcard."""
        suffix = host
        if is_wildcard(host):
            suffix = host[1:]
            exact = self.wildcard.get(host)
        else:
            exact = self.exact.get(host)
        if exact is not None:
            return exact
        if self._by_length is None:
            self._by_length = sorted(self.wildcard, key=lambda it: (-len(it), it))
        for pattern in self._by_length:
            if suffix.endswith(pattern[1:]):
                return self.wildcard[pattern]
        return []


class _Index:
    """All rules of a contract in istiod's three views."""

    def __init__(self, contract: Contract) -> None:
        self._root = contract.mesh.root_namespace
        self._local: dict[str, _View] = {}
        self._exported: dict[str, _View] = {}
        self._private_root = _View()
        private_by_default = _PRIVATE in contract.mesh.default_destination_rule_export_to
        for rule in sorted(contract.destination_rules, key=_age):
            namespace = rule.metadata.namespace
            # A rule for some workloads is for those of its own namespace.
            selects = rule.workload_selector is not None
            export_to = frozenset([_PRIVATE]) if selects else frozenset(rule.export_to)
            if not export_to or not export_to.isdisjoint({"*", _PRIVATE, namespace}):
                self._local.setdefault(namespace, _View()).add(rule, export_to)
            private = private_by_default if not export_to else len(export_to) == 1
            if private and export_to <= {_PRIVATE, namespace}:
                if namespace == self._root:
                    self._private_root.add(rule, export_to)
            else:
                self._exported.setdefault(namespace, _View()).add(rule, export_to)

    def find(self, service: Service, workload: Workload) -> MergedRule | None:
        """The rule of a service: of its candidates one that selects the workload goes first."""
        general: MergedRule | None = None
        for rule in self._candidates(service, workload.namespace):
            if rule.workload_selector is None:
                general = rule
            elif rule.namespace == workload.namespace and labels_match(
                rule.workload_selector, workload.labels
            ):
                return rule
        return general

    def _candidates(self, service: Service, namespace: str) -> list[MergedRule]:
        # Rules that the root namespace exports are for others: a workload in it sees only its
        # private ones first.
        local = self._local.get(namespace)
        own = self._private_root if namespace == self._root else local
        found = own.find(service.host) if own is not None else []
        if found:
            return found
        for owner in (service.namespace, self._root):
            exported = self._exported.get(owner)
            if exported is None:
                continue
            found = [
                rule
                for rule in exported.find(service.host)
                if not rule.export_to or not rule.export_to.isdisjoint({"*", namespace})
            ]
            if found:
                return found
        return []


def _age(rule: DestinationRule) -> tuple[bool, float, str, str]:
    """Istiod's order: rules with a selector first, then by age."""
    metadata = rule.metadata
    return (
        rule.workload_selector is None,
        metadata.creation_timestamp,
        metadata.name,
        metadata.namespace,
    )
