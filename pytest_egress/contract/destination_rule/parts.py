"""The parts of a DestinationRule, each with its place: policies by rule, port and subset."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pytest_egress.contract.destination_rule.resource import (
    ClientTls,
    DestinationRule,
    PortPolicy,
    TrafficPolicy,
)
from pytest_egress.contract.report import Path

__all__ = ["policies", "tls_scopes", "tls_settings"]


def policies(rule: DestinationRule) -> Iterator[tuple[Path, TrafficPolicy | PortPolicy]]:
    """Every policy of the rule with its path: its own and its subsets', each then by port."""
    holders: list[tuple[Path, TrafficPolicy | None]] = [
        (("spec", "trafficPolicy"), rule.traffic_policy),
        *(
            (("spec", "subsets", i, "trafficPolicy"), subset.traffic_policy)
            for i, subset in enumerate(rule.subsets)
        ),
    ]
    for path, policy in holders:
        if policy is None:
            continue
        yield path, policy
        for i, port in enumerate(policy.port_level):
            yield (*path, "portLevelSettings", i), port


def tls_settings(rule: DestinationRule) -> Iterator[tuple[Path, ClientTls]]:
    """Every ``tls`` of the rule with its path."""
    for path, policy in policies(rule):
        if policy.tls is not None:
            yield (*path, "tls"), policy.tls


def tls_scopes(rule: DestinationRule) -> Iterator[tuple[Path, ClientTls, Callable[[int], bool]]]:
    """As ``tls_settings``, with what tells whether a port is concerned.

    What is said of a port replaces all that is said around it.
    """
    for path, policy in policies(rule):
        if isinstance(policy, TrafficPolicy):
            concerns = _other_than(frozenset(level.port for level in policy.port_level))
        else:
            concerns = policy.port.__eq__
        if policy.tls is not None:
            yield (*path, "tls"), policy.tls, concerns


def _other_than(ports: frozenset[int]) -> Callable[[int], bool]:
    return lambda port: port not in ports
