"""Telling the simulated outside what a contract is about to reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from pytest_egress.contract.contract import Contract
from pytest_egress.envoy import Program
from pytest_egress.probe.target import is_address
from pytest_egress.upstream import Outside

__all__ = ["declare", "endpoints_of"]


def declare(outside: Outside, contract: Contract) -> None:
    """Give the contract's hosts places of their own before a proxy resolves them.

    A host with ``addresses`` resolves to the first of them.
    """
    hosts = {host for entry in contract.service_entries for host in entry.hosts}
    ports = {port.number for entry in contract.service_entries for port in entry.ports}
    targets = {port.target_port for e in contract.service_entries for port in e.ports} - {0}
    names = {
        endpoint.address
        for entry in contract.service_entries
        for endpoint in entry.endpoints
        if not is_address(endpoint.address)
    }
    own = {
        port for e in contract.service_entries for end in e.endpoints for port in end.ports.values()
    }
    addresses = {
        host: next(iter(_plain(entry.addresses)), "")
        for entry in contract.service_entries
        for host in entry.hosts
    }
    outside.declare(
        [*sorted(hosts), *sorted(names - hosts)],
        sorted(ports | targets | own),
        [(host, address) for host, address in addresses.items() if address],
    )


def endpoints_of(program: Program) -> dict[str, tuple[str, ...]]:
    """The hosts that each endpoint belongs to, an address or a name other than the host's own."""
    found: dict[str, dict[str, None]] = {}
    for assignment in _assignments(program):
        host = assignment["cluster_name"].rpartition("|")[2].lower()
        for group in assignment.get("endpoints", ()):
            for item in group.get("lb_endpoints", ()):
                address = item["endpoint"]["address"].get("socket_address", {}).get("address")
                if address and address != host:
                    found.setdefault(address, {})[host] = None
    return {address: tuple(hosts) for address, hosts in found.items()}


def _assignments(program: Program) -> Iterator[dict[str, Any]]:
    yield from program.endpoints
    for cluster in program.clusters:
        if "load_assignment" in cluster:
            yield cluster["load_assignment"]


def _plain(addresses: Iterable[str]) -> Iterator[str]:
    """The IPv4 addresses of an entry; of a network its first host."""
    for text in addresses:
        network = ipaddress.ip_network(text, strict=False)
        if isinstance(network, ipaddress.IPv4Network):
            yield str(network[0] if network.num_addresses == 1 else network[1])
