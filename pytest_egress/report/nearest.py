"""Which declaration a target comes nearest to, and the one edit that would let it through."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Port, ServiceEntry, Workload

__all__ = ["Nearest", "matches", "nearest"]

_HTTP = {"http", "http2", "grpc", "grpc-web", "http_proxy"}
_TLS = {"https", "tls"}
# What a port must be declared as, for each scheme of a target.
_WANTED = {
    "http": "HTTP",
    "https": "HTTPS",
    "tls": "TLS",
    "tcp": "TCP",
    "grpc": "GRPC",
    "grpcs": "HTTPS",
}


@dataclass(frozen=True, slots=True)
class Nearest:
    """The declaration that comes nearest, and what to change.

    Attributes:
        position: where it stands; None when nothing in the contract resembles the target.
        declares: what it declares, in words.
        edit: the one edit that would let the target through.
    """

    position: Position | None
    declares: str
    edit: str


def matches(pattern: str, host: str) -> bool:
    """Whether a ServiceEntry host, possibly ``*.example.com``, covers ``host`` (any depth)."""
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    return host.endswith(pattern[1:]) if pattern.startswith("*") else host == pattern


def nearest(contract: Contract, workload: Workload, scheme: str, host: str, port: int) -> Nearest:
    """Find the declaration nearest to a target that the mesh refused."""
    wanted = _WANTED.get(scheme, "TCP")
    declaring = [
        (entry, index)
        for entry in contract.service_entries
        for index, pattern in enumerate(entry.hosts)
        if matches(pattern, host)
    ]
    for entry, index in declaring:
        declared = next((p for p in entry.ports if p.number == port), None)
        if declared is not None:
            return _same_port(contract, workload, entry, index, declared, wanted)
    if declaring:
        entry, index = declaring[0]
        number = len(entry.ports)
        where = entry.at("spec", "ports", number - 1) if number else entry.at("spec")
        return Nearest(
            entry.at("spec", "hosts", index),
            f"{entry.hosts[index]} on {_ports(entry.ports)}",
            f"add {{number: {port}, name: {wanted.lower()}-{port}, protocol: {wanted}}} to the "
            f"ports at {where}",
        )
    return _similar(contract, host, port, wanted)


def _same_port(
    contract: Contract,
    workload: Workload,
    entry: ServiceEntry,
    index: int,
    declared: Port,
    wanted: str,
) -> Nearest:
    """Host and port are declared: the protocol differs, or this workload does not see the entry."""
    position = entry.at("spec", "hosts", index)
    declares = f"{entry.hosts[index]} on {_ports([declared])}"
    group = declared.protocol.lower()
    fits = (
        group in _HTTP
        if wanted in {"HTTP", "GRPC"}
        else group in _TLS
        if wanted in {"HTTPS", "TLS"}
        else group not in _HTTP | _TLS
    )
    if not fits and group:
        at = entry.at("spec", "ports", entry.ports.index(declared), "protocol")
        return Nearest(position, declares, f"change the protocol at {at} to {wanted}")
    namespace = entry.metadata.namespace
    exported = entry.export_to or contract.mesh.default_service_export_to
    if namespace != workload.namespace and not {"*", workload.namespace} & set(exported):
        return Nearest(
            position,
            f"{declares}, exported to {', '.join(exported)} only",
            f"add {workload.namespace!r} to exportTo at {entry.at('spec', 'exportTo')}",
        )
    if contract.sidecars:
        sidecar = contract.sidecars[0]
        return Nearest(
            position,
            f"{declares}, but a Sidecar decides what {workload.namespace} sees",
            f"add '{namespace}/{entry.hosts[index]}' to the hosts at {sidecar.at('spec', 'egress')}",
        )
    return Nearest(
        position,
        declares,
        "check the destination address: the entry is bound to its own addresses at "
        f"{entry.at('spec', 'addresses')}",
    )


def _similar(contract: Contract, host: str, port: int, wanted: str) -> Nearest:
    names = {
        name: (entry, index)
        for entry in contract.service_entries
        for index, name in enumerate(entry.hosts)
    }
    close = difflib.get_close_matches(host, list(names), n=1, cutoff=0.6)
    if not close:
        return Nearest(
            None,
            "nothing like it",
            f"declare it: a ServiceEntry with hosts: [{host}], ports: [{{number: {port}, "
            f"name: {wanted.lower()}-{port}, protocol: {wanted}}}], resolution: DNS",
        )
    entry, index = names[close[0]]
    at = entry.at("spec", "hosts", index)
    return Nearest(at, f"{close[0]} on {_ports(entry.ports)}", f"add {host} to the hosts at {at}")


def _ports(ports: Sequence[Port]) -> str:
    return ", ".join(f"{p.number}/{p.protocol or 'any'}" for p in ports) or "no port"
