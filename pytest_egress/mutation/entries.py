"""Mutants of ServiceEntries, Sidecars and the mesh: who is reached, where, and by whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pytest_egress.collection.names import covered, free_port, inside, neighbour
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import OutboundTrafficPolicy, Port, ServiceEntry, Sidecar
from pytest_egress.envoy.protocols import HTTP, TLS, parse_protocol
from pytest_egress.mutation.mutant import Mutant, call_of, changed, replaced, url_of, without

__all__ = [
    "allow_any",
    "drop_host",
    "no_resolution",
    "other_port",
    "remove_entry_sans",
    "remove_sidecar_host",
    "tls_to_tcp",
    "widen_export",
    "widen_host",
]

_ELSEWHERE = "198.51.100.77"


def drop_host(contract: Contract) -> Iterator[Mutant]:
    """A declared host is gone."""
    for entry in contract.service_entries:
        for index, host in enumerate(entry.hosts):
            left = without(entry.hosts, index)
            made = changed(contract, entry, hosts=left) if left else replaced(contract, entry)
            yield Mutant(
                "drop-host",
                f"{host} is not declared",
                entry.at("spec", "hosts", index),
                made,
                f"assert {_call(entry, host)}.reachable",
            )


def widen_host(contract: Contract) -> Iterator[Mutant]:
    """A wildcard is declared beside a host: its neighbours are reached."""
    is_covered = covered(contract)
    for entry in contract.service_entries:
        ports = tuple(it for it in entry.ports if parse_protocol(it.protocol) in HTTP | TLS)
        for index, host in enumerate(entry.hosts):
            wider = _wider(host)
            if not wider or not ports:
                continue
            metadata = dataclasses.replace(entry.metadata, name=f"{entry.metadata.name}-wide")
            wide = dataclasses.replace(
                entry, metadata=metadata, hosts=(wider,), ports=ports, addresses=(),
                resolution="NONE", endpoints=(), workload_selector=None, status_addresses=(),
            )  # fmt: skip
            beside = f"not-declared{wider[1:]}" if not is_covered(f"not-declared{wider[1:]}") else (
                neighbour(host, is_covered)
            )  # fmt: skip
            yield Mutant(
                "widen-host",
                f"{wider} is declared beside {host}",
                entry.at("spec", "hosts", index),
                replaced(contract, entry, entry, wide),
                f"assert {call_of(beside, ports[0])}.blocked",
            )


def allow_any(contract: Contract) -> Iterator[Mutant]:
    """What nothing declares is let through."""
    say = 'assert egress.get("https://not-declared.invalid").blocked'
    mesh = contract.mesh
    if mesh.outbound_traffic_policy.mode == "REGISTRY_ONLY":
        policy = OutboundTrafficPolicy("ALLOW_ANY")
        opened = dataclasses.replace(mesh, outbound_traffic_policy=policy)
        made = dataclasses.replace(contract, mesh=opened)
        yield Mutant("allow-any", "outboundTrafficPolicy is ALLOW_ANY", None, made, say)
    for sidecar in contract.sidecars:
        policy_of = sidecar.outbound_traffic_policy
        if policy_of is not None and policy_of.mode == "REGISTRY_ONLY":
            made = changed(
                contract, sidecar, outbound_traffic_policy=OutboundTrafficPolicy("ALLOW_ANY")
            )
            at = sidecar.at("spec", "outboundTrafficPolicy")
            change = "the Sidecar's outboundTrafficPolicy is ALLOW_ANY"
            yield Mutant("allow-any", change, at, made, _as(sidecar, say))


def other_port(contract: Contract) -> Iterator[Mutant]:
    """A host is declared on another port."""
    taken = {port.number for entry in contract.service_entries for port in entry.ports}
    for entry in contract.service_entries:
        for index, port in enumerate(entry.ports):
            number = free_port("", port.number, taken)
            moved = dataclasses.replace(port, number=number, target_port=port.target_port)
            ports = (*entry.ports[:index], moved, *entry.ports[index + 1 :])
            host = inside(entry.hosts[0])
            yield Mutant(
                "other-port",
                f"port {port.number} is {number}",
                entry.at("spec", "ports", index, "number"),
                changed(contract, entry, ports=ports),
                f"assert {call_of(host, port)}.reachable",
            )


def tls_to_tcp(contract: Contract) -> Iterator[Mutant]:
    """A port of TLS takes any bytes, for whatever server name."""
    is_covered = covered(contract)
    for entry in contract.service_entries:
        if entry.resolution == "DYNAMIC_DNS" or any(it.startswith("*") for it in entry.hosts):
            continue  # istiod takes no such port there
        if len(entry.hosts) > 1 and entry.resolution != "NONE":
            continue
        for index, port in enumerate(entry.ports):
            if parse_protocol(port.protocol) not in TLS:
                continue
            ports = list(entry.ports)
            ports[index] = dataclasses.replace(port, protocol="TCP")
            host = inside(entry.hosts[0])
            other = neighbour(host, is_covered)
            tls = dataclasses.replace(port, protocol="TLS")
            call = f'egress.probe("{url_of(host, tls)}", sni="{other}")'
            yield Mutant(
                "tls-to-tcp",
                f"port {port.number} is TCP, not {port.protocol}",
                entry.at("spec", "ports", index, "protocol"),
                changed(contract, entry, ports=tuple(ports)),
                f"assert {call}.blocked",
            )


def no_resolution(contract: Contract) -> Iterator[Mutant]:
    """Whoever is dialled is reached, not whom the entry resolves to."""
    for entry in contract.service_entries:
        if entry.resolution not in {"DNS", "DNS_ROUND_ROBIN", "STATIC"} or not entry.ports:
            continue
        host, port = inside(entry.hosts[0]), entry.ports[0]
        if entry.endpoints:
            of = {it.address for it in entry.endpoints}
            say = f"assert {call_of(host, port)}.upstream.address in {of!r}"
        else:
            call = f'egress.probe("{url_of(host, port)}", address="{_ELSEWHERE}")'
            say = f'assert {call}.upstream.address != "{_ELSEWHERE}"'
        yield Mutant(
            "no-resolution",
            f"resolution is NONE, not {entry.resolution}",
            entry.at("spec", "resolution"),
            changed(contract, entry, resolution="NONE", endpoints=(), workload_selector=None),
            say,
        )


def widen_export(contract: Contract) -> Iterator[Mutant]:
    """Every namespace sees an entry."""
    for entry in contract.service_entries:
        if not entry.export_to or "*" in entry.export_to or not entry.ports:
            continue
        call = _call(entry, entry.hosts[0]).replace(
            "egress.", 'egress.as_workload("elsewhere").', 1
        )
        yield Mutant(
            "widen-export",
            f"exportTo is *, not {', '.join(entry.export_to)}",
            entry.at("spec", "exportTo"),
            changed(contract, entry, export_to=("*",)),
            f"assert {call}.blocked",
        )


def remove_entry_sans(contract: Contract) -> Iterator[Mutant]:
    """The upstream's certificate may be for another name."""
    for entry in contract.service_entries:
        if entry.subject_alt_names and entry.ports:
            host = inside(entry.hosts[0])
            yield Mutant(
                "remove-san",
                f"subjectAltNames of {host} are gone",
                entry.at("spec", "subjectAltNames"),
                changed(contract, entry, subject_alt_names=()),
                wrong_certificate(host, entry.ports[0]),
            )


def remove_sidecar_host(contract: Contract) -> Iterator[Mutant]:
    """A Sidecar does not import a host."""
    for sidecar in contract.sidecars:
        for i, listener in enumerate(sidecar.egress):
            for j, host in enumerate(listener.hosts):
                hosts = without(listener.hosts, j) or ("~/*",)
                egress = list(sidecar.egress)
                egress[i] = dataclasses.replace(listener, hosts=hosts)
                name = host.partition("/")[2]
                entry = _entry_of(contract, name)
                say = f'assert egress.get("https://{inside(name)}").reachable'
                if entry is not None and entry.ports:
                    say = f"assert {_call(entry, entry.hosts[0])}.reachable"
                yield Mutant(
                    "remove-sidecar-host",
                    f"the Sidecar does not import {host}",
                    sidecar.at("spec", "egress", i, "hosts", j),
                    changed(contract, sidecar, egress=tuple(egress)),
                    _as(sidecar, say),
                )


def wrong_certificate(host: str, port: Port) -> str:
    """The assertion that a certificate of another name is refused."""
    return (
        f'egress_upstreams["{host}"].certificate(names=["other.invalid"]); '
        f"assert {call_of(host, port)}.unreachable"
    )


def _call(entry: ServiceEntry, host: str) -> str:
    name = inside(host)
    return call_of(name, entry.ports[0]) if entry.ports else f'egress.get("https://{name}")'


def _wider(host: str) -> str:
    """The wildcard above a host; empty where there is none below the top of names."""
    name = host.removeprefix("*.")
    parent = name.partition(".")[2]
    return f"*.{parent}" if parent and "*" not in name else ""


def _entry_of(contract: Contract, pattern: str) -> ServiceEntry | None:
    for entry in contract.service_entries:
        if pattern in {"*", *entry.hosts} or any(
            pattern.startswith("*") and it.endswith(pattern[1:]) for it in entry.hosts
        ):
            return entry
    return None


def _as(sidecar: Sidecar, say: str) -> str:
    """An assertion as the workload that a Sidecar is for."""
    namespace, labels = sidecar.metadata.namespace, dict(sidecar.workload_selector or {})
    more = f", {labels!r}" if labels else ""
    return say.replace("egress.", f'egress.as_workload("{namespace}"{more}).', 1)
