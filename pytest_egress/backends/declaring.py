"""Telling the simulated outside what a contract is about to reach."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_egress.contract.contract import Contract
from pytest_egress.envoy import Program
from pytest_egress.probe.target import is_address
from pytest_egress.upstream import Outside

__all__ = ["certificates_in", "clients_of", "declare", "endpoints_of"]

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


def declare(outside: Outside, contract: Contract) -> None:
    """Give the contract's hosts places of their own before a proxy resolves them.

    A host with ``addresses`` resolves to the first of them.
    """
    entries = contract.service_entries
    if contract.speaks_of_services:
        from pytest_egress.envoy.kubernetes import kubernetes_entries

        entries = (*entries, *kubernetes_entries(contract))
    hosts = {host for entry in entries for host in entry.hosts}
    ports = {port.number for entry in entries for port in entry.ports}
    targets = {port.target_port for e in entries for port in e.ports} - {0}
    names = {
        endpoint.address
        for entry in entries
        for endpoint in entry.endpoints
        if not is_address(endpoint.address)
    }
    own = {port for e in entries for end in e.endpoints for port in end.ports.values()}
    addresses = {
        host: next(iter(_plain(entry.addresses)), "") for entry in entries for host in entry.hosts
    }
    outside.declare(
        [*sorted(hosts), *sorted(names - hosts)],
        sorted(ports | targets | own),
        [(host, address) for host, address in addresses.items() if address],
    )


def endpoints_of(*programs: Program) -> dict[str, tuple[str, ...]]:
    """The hosts that each endpoint belongs to, an address or a name other than the host's own."""
    found: dict[str, dict[str, None]] = {}
    for assignment in (it for program in programs for it in _assignments(program)):
        host = assignment["cluster_name"].rpartition("|")[2].lower()
        for group in assignment.get("endpoints", ()):
            for item in group.get("lb_endpoints", ()):
                address = item["endpoint"]["address"].get("socket_address", {}).get("address")
                if address and address != host:
                    found.setdefault(address, {})[host] = None
    return {address: tuple(hosts) for address, hosts in found.items()}


def clients_of(contract: Contract, pod_root: str) -> list[tuple[str, str]]:
    """Hosts, and the client certificates (PEM) that DestinationRules present to them.

    Raises:
        OSError: a file cannot be read.
    """
    if not contract.destination_rules:
        return []
    from pytest_egress.contract.pod_files import local_path, pod_files

    hosts = {id(rule): rule.host for rule in contract.destination_rules}
    return [
        (hosts[id(file.resource)], certificates_in(Path(local_path(file.path, pod_root))))
        for file in pod_files(contract)
        if file.role == "certificate" and id(file.resource) in hosts
    ]


def certificates_in(path: Path) -> str:
    """The certificates (PEM) in a file, which may hold a key as well.

    Raises:
        OSError: it cannot be read.
    """
    return "\n".join([*_CERTIFICATE.findall(path.read_text("utf-8", "replace")), ""])


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
