"""Telling the simulated outside what a contract is about to reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from pytest_egress.contract.contract import Contract
from pytest_egress.probe.target import is_address
from pytest_egress.upstream import Outside

__all__ = ["declare"]


def declare(outside: Outside, contract: Contract) -> None:
    """Give the contract's hosts places of their own before a proxy resolves them.

    A host with ``addresses`` resolves to the first of them, and what is scripted for a host holds
    at its endpoints.
    """
    hosts = {host for entry in contract.service_entries for host in entry.hosts}
    ports = {port.number for entry in contract.service_entries for port in entry.ports}
    targets = {port.target_port for e in contract.service_entries for port in e.ports} - {0}
    endpoints = {
        (host, endpoint.address)
        for entry in contract.service_entries
        if len(entry.hosts) == 1
        for host in entry.hosts
        for endpoint in entry.endpoints
        if is_address(endpoint.address)
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
        sorted(hosts),
        sorted(ports | targets | own),
        sorted(endpoints),
        [(host, address) for host, address in addresses.items() if address],
    )


def _plain(addresses: Iterable[str]) -> Iterator[str]:
    """The IPv4 addresses of an entry; of a network its first host."""
    for text in addresses:
        network = ipaddress.ip_network(text, strict=False)
        if isinstance(network, ipaddress.IPv4Network):
            yield str(network[0] if network.num_addresses == 1 else network[1])
