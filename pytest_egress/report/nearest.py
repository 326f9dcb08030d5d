"""Which declaration a target comes nearest to, and the one edit that would let it through."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Port, ServiceEntry, Workload
from pytest_egress.evidence import Evidence
from pytest_egress.probe import Target

__all__ = ["Nearest", "covers", "matches", "nearest", "within"]

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
        edit: the one edit, of the contract or of the request, that would let the target through.
    """

    position: Position | None
    declares: str
    edit: str


def matches(pattern: str, host: str) -> bool:
    """Whether a ServiceEntry host, possibly ``*.example.com``, covers ``host`` (any depth)."""
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    return host.endswith(pattern[1:]) if pattern.startswith("*") else host == pattern


def covers(entry: ServiceEntry, host: str) -> bool:
    """Whether an entry declares ``host``: one of its hosts does, or an address when it is one."""
    return _index(entry, host) is not None


def nearest(
    contract: Contract, workload: Workload, target: Target, evidence: Evidence | None = None
) -> Nearest:
    """Find the declaration nearest to a target that the mesh refused."""
    wanted = _WANTED[target.scheme]
    declaring = [
        (entry, index)
        for entry in contract.service_entries
        for index in (_index(entry, target.host),)
        if index is not None
    ]
    same_port = [
        (entry, index, port)
        for entry, index in declaring
        for port in entry.ports
        if port.number == target.port
    ]
    for entry, index, port in same_port:
        if _fits(port, wanted):
            return _unseen(contract, workload, entry, index, port) or _unlike(
                target, evidence, entry, index, port
            )
    for entry, index, port in same_port:
        kind = _protocol(entry, wanted)
        if kind:
            at = entry.at("spec", "ports", entry.ports.index(port), "protocol")
            edit = f"change the protocol at {at} to {kind}"
            return Nearest(*_declared(entry, index, [port]), edit)
    for entry, index in declaring:
        kind = _protocol(entry, wanted)
        if kind and (entry, index) not in [(e, i) for e, i, _ in same_port]:
            at = (
                entry.at("spec", "ports", len(entry.ports) - 1) if entry.ports else entry.at("spec")
            )
            edit = f"add {_port(target.port, kind)} to the ports at {at}"
            return Nearest(*_declared(entry, index, entry.ports), edit)
    declare = _declare(target, wanted)
    if declaring:
        entry, index = declaring[0]
        return Nearest(*_declared(entry, index, entry.ports), declare)
    return _similar(contract, target, wanted, declare)


def _index(entry: ServiceEntry, host: str) -> int | None:
    """Which of an entry's hosts covers ``host``; its first one where its addresses do."""
    found = next((i for i, name in enumerate(entry.hosts) if matches(name, host)), None)
    if found is None and entry.hosts and within(entry.addresses, host):
        return 0
    return found


def within(addresses: Sequence[str], host: str) -> bool:
    """Whether ``host`` is an IP address that is one of, or in a range of, ``addresses``."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    # strict=False: Istio takes ranges with host bits too.
    return any(address in ip_network(item, strict=False) for item in addresses)


def _fits(port: Port, wanted: str) -> bool:
    """Whether a port of this protocol takes what a target of ``wanted`` sends."""
    group = port.protocol.lower()
    if not group:
        return True  # told apart by the first bytes
    if wanted in {"HTTP", "GRPC"}:
        return group in _HTTP
    return group in _TLS if wanted in {"HTTPS", "TLS"} else group not in _HTTP | _TLS


def _protocol(entry: ServiceEntry, wanted: str) -> str:
    """What ``wanted`` is called in an entry; empty where Istio would refuse the entry with it."""
    if entry.resolution == "DYNAMIC_DNS":
        return {"HTTPS": "TLS", "TCP": ""}.get(wanted, wanted)
    if wanted == "TCP" and entry.resolution != "NONE" and len(entry.hosts) > 1:
        return ""
    return wanted


def _unseen(
    contract: Contract, workload: Workload, entry: ServiceEntry, index: int, port: Port
) -> Nearest | None:
    """Host, port and protocol are declared; None when the workload does see the entry."""
    from pytest_egress.envoy.scope import build_scope, select_sidecar
    from pytest_egress.envoy.services import convert_services

    position, declares = _declared(entry, index, [port])
    own = entry.metadata.namespace == workload.namespace
    exported = entry.export_to or contract.mesh.default_service_export_to or ("*",)
    names = {"*", workload.namespace} | ({"."} if own else set())
    if not names & set(exported):
        name = "." if own else workload.namespace
        at = entry.at("spec", "exportTo")
        add = entry.export_to and "~" not in entry.export_to
        return Nearest(
            position,
            f"{declares}, exported to {', '.join(exported)} only",
            f"add {name!r} to exportTo at {at}" if add else f"set exportTo: [{name!r}] at {at}",
        )
    sidecar = select_sidecar(contract, workload)
    if sidecar is None or not sidecar.egress:
        return None
    scope = build_scope(contract, workload, convert_services(contract, workload))
    if any(it.entry is entry for egress in scope.egress for it in egress.services):
        return None
    ports = [listener.port for listener in sidecar.egress]
    listener = next(
        (i for i, it in enumerate(ports) if it is None or it.number in {0, port.number}),
        len(ports) - 1,
    )
    at = sidecar.at("spec", "egress", listener, "hosts")
    return Nearest(
        position,
        f"{declares}, but a Sidecar decides what {workload.namespace} sees",
        f"add '{entry.metadata.namespace}/{entry.hosts[index]}' to the hosts at {at}",
    )


def _unlike(
    target: Target, evidence: Evidence | None, entry: ServiceEntry, index: int, port: Port
) -> Nearest:
    """The entry is seen, so what was sent, or where, is not what it declares."""
    position, declares = _declared(entry, index, [port])
    host = entry.hosts[index]
    went_to = evidence.destination.rpartition(":")[0].strip("[]") if evidence else ""
    group = port.protocol.lower()
    if entry.addresses and group not in _HTTP and not within(entry.addresses, went_to):
        declares += f" at {', '.join(entry.addresses)}"
        edit = (
            f"let {target.host} resolve to one of these addresses (it was dialled at "
            f"{went_to or 'another'}), or take them out at {entry.at('spec', 'addresses')}"
        )
    elif evidence is not None and evidence.kind == "http":
        edit = f"send the Host header {host} (it was {evidence.authority or 'absent'})"
    elif target.secure:
        name = evidence.requested_server_name if evidence is not None else ""
        edit = f"send the server name {host} in the handshake (SNI; it was {name or 'absent'})"
    elif target.scheme in {"http", "grpc"}:
        edit = "speak HTTP/1.1 or HTTP/2: what was sent is neither, and this port takes no other"
    else:
        edit = "see the proxy's line: another declaration has taken this port"
    return Nearest(position, declares, edit)


def _similar(contract: Contract, target: Target, wanted: str, declare: str) -> Nearest:
    """Nothing declares the host: the entry with the most similar name, if it can be extended."""
    names = {
        name: (entry, index)
        for entry in contract.service_entries
        for index, name in enumerate(entry.hosts)
    }
    close = difflib.get_close_matches(target.host, list(names), n=1, cutoff=0.6)
    if not close:
        return Nearest(None, "nothing like it", declare)
    entry, index = names[close[0]]
    at, declares = _declared(entry, index, entry.ports)
    extensible = (
        any(port.number == target.port and _fits(port, wanted) for port in entry.ports)
        and not within((target.host,), target.host)  # an address is no host
        and entry.resolution != "DYNAMIC_DNS"  # takes wildcards alone
        and all(port.protocol.lower() in _HTTP | _TLS for port in entry.ports)
        and not any(port.number == target.port and entry.addresses for port in entry.ports)
    )
    return Nearest(
        at, declares, f"add {target.host} to the hosts at {at}" if extensible else declare
    )


def _declare(target: Target, wanted: str) -> str:
    port = _port(target.port, wanted)
    if within((target.host,), target.host):
        return (
            "declare it: a ServiceEntry with a host name of your choice, "
            f"addresses: [{target.host}], ports: [{port}], resolution: NONE"
        )
    return (
        f"declare it: a ServiceEntry with hosts: [{target.host}], ports: [{port}], resolution: DNS"
    )


def _port(number: int, protocol: str) -> str:
    return f"{{number: {number}, name: {protocol.lower()}-{number}, protocol: {protocol}}}"


def _declared(entry: ServiceEntry, index: int, ports: Sequence[Port]) -> tuple[Position, str]:
    listed = ", ".join(f"{p.number}/{p.protocol or 'any'}" for p in ports) or "no port"
    return entry.at("spec", "hosts", index), f"{entry.hosts[index]} on {listed}"
