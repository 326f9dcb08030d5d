"""Warnings about what istiod accepts and the proxy then refuses, as far as the YAML shows it.

Whether a proxy really refuses it is asked of Envoy itself when the contract is enforced, which
makes it an error; here the author of the YAML learns of it without an Envoy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Path
from pytest_egress.contract.resources import MeshConfig, Port, Resource, ServiceEntry
from pytest_egress.contract.syntax import HTTP_PROTOCOLS, TLS_PROTOCOLS, is_partial_wildcard

if TYPE_CHECKING:
    from pytest_egress.contract.destination_rule.resource import (
        DestinationRule,
        PortPolicy,
        TrafficPolicy,
    )

__all__ = ["RULE", "lint_refused"]

RULE = "lint/envoy-refuses"
_ISTIOD = "lint/istiod-fails"
_RACE = "istio.io/connect-strategy"


def lint_refused(resources: Sequence[Resource], mesh: MeshConfig) -> Iterator[Problem]:
    """Findings about ServiceEntries, also together with the DestinationRules of their hosts."""
    taken = {
        mesh.proxy_listen_port: "outbound traffic",
        mesh.proxy_inbound_listen_port: "inbound traffic",
        15021: "health checks",
        15090: "statistics",
    }
    rules = [it for it in resources if type(it).__name__ == "DestinationRule"]
    for entry in resources:
        if isinstance(entry, ServiceEntry):
            yield from _ports_of_the_proxy(entry, taken)
            yield from _racing(entry)
            if entry.resolution == "DYNAMIC_DNS":
                yield from _dynamic(entry, rules)  # type: ignore[arg-type]  # by its name


def _ports_of_the_proxy(entry: ServiceEntry, taken: Mapping[int, str]) -> Iterator[Problem]:
    """A listener on every address is one too many where the proxy has its own."""
    if any("/" not in address for address in entry.addresses):
        return
    for i, port in enumerate(entry.ports):
        protocol = port.protocol.lower()
        if port.number in taken and protocol not in HTTP_PROTOCOLS | {"udp"}:
            message = (
                f"port {port.number} on every address is the proxy's own, for "
                f"{taken[port.number]}: Envoy refuses a second listener there. "
                "Give addresses, or another port"
            )
            yield _refused(entry, ("spec", "ports", i), message)


def _racing(entry: ServiceEntry) -> Iterator[Problem]:
    strategy = entry.metadata.annotations.get(_RACE, "").upper()
    endpoints = max(1, len(entry.endpoints)) * max(1, len(entry.addresses))
    if strategy == "RACE_FIRST_TCP_CONNECT" and entry.resolution == "DNS" and endpoints > 1:
        message = (
            f"the annotation {_RACE} makes this a LOGICAL_DNS cluster, which Envoy refuses with "
            "more than one endpoint (each endpoint counts once per address): give one"
        )
        yield _refused(entry, ("metadata", "annotations", _RACE), message)


def _dynamic(entry: ServiceEntry, rules: Sequence[DestinationRule]) -> Iterator[Problem]:
    for h, host in enumerate(entry.hosts):
        rule = _rule_for(host, rules)
        if is_partial_wildcard(host) and any(_lower(p) in TLS_PROTOCOLS for p in entry.ports):
            message = f'Envoy refuses the server name "{host}" on TLS ports: use "*.domain"'
            yield _refused(entry, ("spec", "hosts", h), message)
        for i, port in enumerate(entry.ports):
            policy = _policy_for(port, rule)
            tls = policy.tls if policy else None
            if tls is not None and tls.mode != "DISABLE":
                continue
            if _lower(port) in {"http2", "grpc"}:
                message = (
                    f"{port.protocol} in plain text with resolution DYNAMIC_DNS is refused by "
                    "Envoy: use HTTP, or a DestinationRule that adds TLS"
                )
                yield _refused(entry, ("spec", "ports", i, "protocol"), message)
            elif rule and policy and policy.connection_pool and policy.connection_pool.http:
                message = (
                    "connectionPool.http for a host with resolution DYNAMIC_DNS is refused by "
                    "Envoy unless the rule adds TLS: take it out"
                )
                yield _refused(rule, ("spec", "trafficPolicy", "connectionPool", "http"), message)
        if rule and rule.traffic_policy and rule.traffic_policy.outlier_detection:
            path: Path = ("spec", "trafficPolicy", "outlierDetection")
            message = (
                "outlierDetection for a host with resolution DYNAMIC_DNS makes istiod 1.31 fail, "
                "and no proxy that sees both gets any configuration: take it out"
            )
            yield Problem("warning", message, rule.at(*path), _ISTIOD)


def _rule_for(host: str, rules: Sequence[DestinationRule]) -> DestinationRule | None:
    """The most specific rule: of the host itself, else of the longest wildcard around it."""
    covering = [
        rule
        for rule in rules
        if rule.host == host or (rule.host.startswith("*") and host.endswith(rule.host[1:]))
    ]
    return max(covering, key=lambda rule: len(rule.host), default=None)


def _policy_for(port: Port, rule: DestinationRule | None) -> TrafficPolicy | PortPolicy | None:
    policy = rule.traffic_policy if rule else None
    for level in policy.port_level if policy else ():
        if level.port == port.number:
            return level
    return policy


def _lower(port: Port) -> str:
    return port.protocol.lower()


def _refused(resource: Resource, path: Path, message: str) -> Problem:
    return Problem("warning", message, resource.at(*path), RULE)
