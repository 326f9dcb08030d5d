"""The addresses that istiod's IP allocator would give the hosts of a contract.

In a cluster the allocator writes them to ``status.addresses``, where they stay. Here a fresh
cluster is assumed, in which the entries are created in order of age, then of the contract:
addresses of 240.240.0.0/16 one after the other, those that are in use left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import ServiceEntry
from pytest_egress.contract.syntax import is_ip

__all__ = ["allocate", "may_have_allocated"]

_PREFIX = IPv4Network("240.240.0.0/16")
_LABEL = "networking.istio.io/enable-autoallocate-ip"


def may_have_allocated(entry: ServiceEntry) -> bool:
    """Whether the allocator gives the hosts of an entry addresses, and proxies heed them."""
    opted_out = entry.metadata.labels.get(_LABEL, "").lower() == "false"
    return entry.resolution != "NONE" and not opted_out and not entry.addresses


def allocate(contract: Contract) -> Contract:
    """The contract with ``status.addresses`` as the allocator would write them.

    Addresses that are there stay, unless another entry chose one of them, or had it before; those
    of hosts that have no right to one go.
    """
    taken = {address for entry in contract.service_entries for address in entry.addresses}
    by_age = sorted(contract.service_entries, key=lambda it: it.metadata.creation_timestamp)
    free = _free(contract)
    written: dict[int, ServiceEntry] = {}
    for entry in by_age:
        if not may_have_allocated(entry):
            continue
        known: dict[str, list[str]] = {}
        own = {address for _, address in entry.status_addresses}
        if taken.isdisjoint(own):
            taken |= own
            for host, address in entry.status_addresses:
                known.setdefault(host, []).append(address)
        wanted = dict.fromkeys(host for host in entry.hosts if _has_address(entry, host))
        if known.keys() != wanted.keys():
            addresses = tuple(
                (host, address) for host in wanted for address in known.get(host) or [next(free)]
            )
            written[id(entry)] = dataclasses.replace(entry, status_addresses=addresses)
    if not written:
        return contract
    entries = tuple(written.get(id(entry), entry) for entry in contract.service_entries)
    return dataclasses.replace(contract, service_entries=entries)


def _has_address(entry: ServiceEntry, host: str) -> bool:
    """A wildcard stands for names that no one address would do for, unless Envoy looks them up."""
    return not host.startswith("*") or entry.resolution == "DYNAMIC_DNS"


def _free(contract: Contract) -> Iterator[str]:
    """The addresses that nothing of the contract uses, in order.

    An exhausted range gives empty texts, which are no addresses: istiod goes on without, too.
    """
    used: set[IPv4Address] = set()
    for entry in contract.service_entries:
        # The status of an entry that has addresses of its own is cleared.
        allocated = entry.status_addresses if may_have_allocated(entry) else ()
        for text in (*entry.addresses, *(value for _, value in allocated)):
            if is_ip(text) and ":" not in text:
                used.add(IPv4Address(text))
    for number in range(1, _PREFIX.num_addresses):
        if _PREFIX[number] not in used:
            yield str(_PREFIX[number])
    while True:
        yield ""
