"""Subsets that nothing leads to, or that lead to nothing; rules that hide one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_egress.contract.destination_rule.lint.targets import Targets, rule_host, warning
from pytest_egress.contract.destination_rule.resource import DestinationRule
from pytest_egress.contract.kubernetes.inferred import full_name
from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import Resource
from pytest_egress.contract.virtual_service.lint.walk import destinations
from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["lint_rivals", "lint_subsets", "used_subsets"]


def used_subsets(resources: Iterable[Resource]) -> set[tuple[str, str]]:
    """Each (host, subset) that a VirtualService or an ``egressProxy`` leads to."""
    found = set()
    for resource in resources:
        if isinstance(resource, VirtualService):
            namespace = resource.metadata.namespace
            for _, _, destination, _ in destinations(resource):
                found.add((full_name(destination.host, namespace), destination.subset))
        policy = getattr(resource, "outbound_traffic_policy", None)
        if policy is not None and policy.egress_proxy is not None:
            found.add((policy.egress_proxy.host, policy.egress_proxy.subset))
    return found


def lint_subsets(
    rule: DestinationRule, targets: Targets, used: set[tuple[str, str]]
) -> Iterator[Problem]:
    """A subset without endpoints: nothing, where no route leads to it, and else failing calls."""
    if {"ServiceEntry", "WorkloadEntry", "VirtualService"} & targets.declared.refused:
        return
    hosts = targets.hosts(rule) if rule.subsets else ()
    carried = [targets.labels(host) for host in hosts]
    if not carried or None in carried:
        return
    known = [labels for of_host in carried for labels in of_host or ()]
    for i, subset in enumerate(rule.subsets):
        if not subset.labels or any(subset.labels.items() <= it.items() for it in known):
            continue
        wanted = ", ".join(f"{key}: {value}" for key, value in subset.labels.items())
        message = f'no endpoint of "{rule.host}" carries the labels of this subset ({wanted})'
        if any((host, subset.name) in used for host in (*hosts, rule_host(rule))):
            message += ": calls that a route sends to it fail"
        else:
            message += ", and no route leads to it: it does nothing"
        path = ("spec", "subsets", i, "labels")
        yield warning(rule, "lint/destination-rule-subset", message, path)


def lint_rivals(rules: Iterable[DestinationRule]) -> Iterator[Problem]:
    """Of several rules for one host in one namespace the policy of the oldest counts alone."""
    first: dict[tuple[str, str], DestinationRule] = {}
    for rule in sorted(rules, key=lambda it: it.metadata.creation_timestamp):
        if rule.traffic_policy is None or rule.workload_selector is not None:
            continue
        known = first.setdefault((rule.metadata.namespace, rule_host(rule)), rule)
        if known is not rule:
            place = known.at("spec", "trafficPolicy")
            message = (
                f'"{rule.host}" has a policy at {place} already: that of the oldest rule counts, '
                "this one does nothing. Put both into one rule"
            )
            path = ("spec", "trafficPolicy")
            yield warning(rule, "lint/destination-rule-rival", message, path)
