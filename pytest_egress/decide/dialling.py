"""Which address an application dials for a host, as far as a contract tells."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network

from pytest_egress.contract.contract import Contract
from pytest_egress.envoy.program import Program
from pytest_egress.probe.target import is_address

__all__ = ["ANY_ADDRESS", "dialled_address"]

#: Stands for what a name resolves to where no contract says it (RFC 2544: nobody's address).
ANY_ADDRESS = "198.18.0.1"


def dialled_address(contract: Contract, program: Program, host: str) -> tuple[str, str]:
    """The address, and why it is that one.

    That of a simulated run: with DNS capture what Istio's agent answers, else the first of the
    entry's ``addresses``, the cluster IP of a Service, or one that no listener names.
    """
    if is_address(host):
        return host, "the address itself"
    name = host.lower().removesuffix(".")
    known = program.names.get(name)
    if known is not None:
        return known.addresses[0], "Istio's agent answers with it"
    entries = contract.service_entries
    if contract.speaks_of_services:
        from pytest_egress.envoy.kubernetes import kubernetes_entries

        entries = (*entries, *kubernetes_entries(contract))
    # As the simulated outside: the last entry of a host counts.
    for entry in reversed(entries):
        if name in {it.lower() for it in entry.hosts}:
            for text in entry.addresses:
                network = ip_network(text, strict=False)
                if isinstance(network, IPv4Network):
                    first = network[0] if network.num_addresses == 1 else network[1]
                    return str(first), f"{entry.at('spec', 'addresses')} gives it"
            break
    return ANY_ADDRESS, "standing for whatever the name resolves to"
