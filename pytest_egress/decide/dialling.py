"""Which address an application dials for a host, as far as a contract tells."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import ServiceEntry
from pytest_egress.envoy.program import Program
from pytest_egress.probe.target import is_address

__all__ = ["ANY_ADDRESS", "Dialling"]

#: Stands for what a name resolves to where no contract says it (RFC 2544: nobody's address).
ANY_ADDRESS = "198.18.0.1"


class Dialling:
    """The addresses of a simulated run's names.

    With DNS capture what Istio's agent answers, else the first of the entry's ``addresses``, the
    cluster IP of a Service, or one that no listener names.
    """

    def __init__(self, contract: Contract, program: Program) -> None:
        self._program = program
        entries = contract.service_entries
        if contract.speaks_of_services:
            from pytest_egress.envoy.kubernetes import kubernetes_entries

            entries = (*entries, *kubernetes_entries(contract))
        # As the simulated outside: the last entry of a host counts.
        self._entries = {host.lower(): entry for entry in entries for host in entry.hosts}

    def address(self, host: str) -> tuple[str, str]:
        """The address, and why it is that one."""
        if is_address(host):
            return host, "the address itself"
        name = host.lower().removesuffix(".")
        known = self._program.names.get(name)
        if known is not None:
            return known.addresses[0], "Istio's agent answers with it"
        entry = self._entries.get(name)
        address = _first(entry) if entry is not None else ""
        if entry is not None and address:
            return address, f"{entry.at('spec', 'addresses')} gives it"
        return ANY_ADDRESS, "standing for whatever the name resolves to"


def _first(entry: ServiceEntry) -> str:
    """The first IPv4 address of an entry; of a network its first host."""
    for text in entry.addresses:
        network = ip_network(text, strict=False)
        if isinstance(network, IPv4Network):
            return str(network[0] if network.num_addresses == 1 else network[1])
    return ""
