"""Warnings about contracts that Istio accepts and that rarely mean what they say.

Their rules begin with ``lint/``; they never change what ``verdict`` says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Report
from pytest_egress.contract.resources import Port, ServiceEntry
from pytest_egress.contract.syntax import HTTP_PROTOCOLS, TLS_PROTOCOLS

__all__ = ["PREFIX", "lint_across", "lint_entry"]

PREFIX = "lint/"
_BARE_TCP = frozenset({"tcp", "mongo", "redis", "mysql"})
_PLAIN_HTTP = HTTP_PROTOCOLS - {"http_proxy"}


def lint_entry(entry: ServiceEntry, report: Report) -> None:
    """Findings about one ServiceEntry that validation accepted."""
    _lint_location(entry, report)
    _lint_addresses(entry, report)
    if entry.resolution in {"DNS", "DNS_ROUND_ROBIN"}:
        for i, host in enumerate(entry.hosts):
            if host.startswith("*"):
                message = f'every name of "{host}" is sent to the same endpoints, whatever it is'
                report.warning("lint/wildcard-dns", message, ("spec", "hosts", i))
    for i, port in enumerate(entry.ports):
        if port.number == 443 and port.protocol.lower() in _PLAIN_HTTP:
            message = (
                f"{port.protocol} on port 443 expects plain text: for calls that are encrypted "
                "already use HTTPS or TLS (a DestinationRule may add TLS to plain HTTP)"
            )
            report.warning("lint/http-on-443", message, ("spec", "ports", i, "protocol"))
        if _is_open(entry, port):
            message = (
                f"TCP port {port.number} without addresses and resolution NONE opens "
                f"0.0.0.0:{port.number}: every destination on it is allowed. Give addresses"
            )
            report.warning("lint/open-port", message, ("spec", "ports", i))


def lint_across(entries: Sequence[ServiceEntry]) -> list[Problem]:
    """Findings about ServiceEntries that get in each other's way."""
    return [*_same_host_and_port(entries), *_swallowed_ports(entries)]


def _lint_location(entry: ServiceEntry, report: Report) -> None:
    spec = report.value.get("spec", {})
    if "location" not in spec:
        message = "location is not set: Istio takes MESH_EXTERNAL, a host outside the mesh. Say so"
        report.warning("lint/location-unset", message, ("spec", "location"))
    if "resolution" not in spec and not all(host.startswith("*") for host in entry.hosts):
        message = (
            "resolution is not set: Istio takes NONE, and the address that the caller looked up "
            "decides. Set DNS to have the proxy look the host up, or say NONE"
        )
        report.warning("lint/resolution-unset", message, ("spec", "resolution"))


def _lint_addresses(entry: ServiceEntry, report: Report) -> None:
    if entry.resolution != "STATIC" or entry.endpoints or entry.workload_selector is not None:
        return
    if entry.addresses:
        message = (
            f'"{entry.addresses[0]}" is an address to match calls by, not one to send them to: '
            "resolution STATIC without endpoints answers 503. Did you mean endpoints?"
        )
        report.warning("lint/addresses-not-endpoints", message, ("spec", "addresses", 0))
    else:
        message = "resolution STATIC without endpoints has nowhere to send a call: give endpoints"
        report.warning("lint/static-without-endpoints", message, ("spec", "resolution"))


def _is_open(entry: ServiceEntry, port: Port) -> bool:
    return entry.resolution == "NONE" and not entry.addresses and port.protocol.lower() in _BARE_TCP


def _same_host_and_port(entries: Iterable[ServiceEntry]) -> Iterable[Problem]:
    """Two entries for one host and port, in one namespace or both seen beyond their own.

    A private entry beside another namespace's public one is a way to override it: no finding.
    """
    first: dict[tuple[str, int, str], tuple[ServiceEntry, int]] = {}
    for entry in entries:
        scopes = (
            [entry.metadata.namespace] if _is_private(entry) else [entry.metadata.namespace, ""]
        )
        for h, host in enumerate(entry.hosts):
            clash: tuple[ServiceEntry, int] | None = None
            for port in entry.ports:
                for scope in scopes:
                    known = first.setdefault((host.lower(), port.number, scope), (entry, h))
                    if known[0] is not entry and clash is None:
                        clash = known
                        number = port.number
            if clash is not None:
                place = clash[0].at("spec", "hosts", clash[1])
                message = (
                    f"{host}:{number} is declared at {place} already: "
                    "Istio merges or drops one of the two. Keep one"
                )
                position = entry.at("spec", "hosts", h)
                yield Problem("warning", message, position, "lint/duplicate-host-port")


def _is_private(entry: ServiceEntry) -> bool:
    """Seen by its own namespace at most."""
    return bool(entry.export_to) and set(entry.export_to) <= {".", "~", entry.metadata.namespace}


def _meet(one: ServiceEntry, other: ServiceEntry) -> bool:
    """Whether some workload may see both."""
    same = one.metadata.namespace == other.metadata.namespace
    return same or not (_is_private(one) and _is_private(other))


def _swallowed_ports(entries: Iterable[ServiceEntry]) -> Iterable[Problem]:
    """TCP without addresses listens on 0.0.0.0:port, where HTTP and TLS entries listen too."""
    users: dict[int, list[tuple[ServiceEntry, int]]] = defaultdict(list)
    for entry in entries:
        if not entry.addresses:
            for i, port in enumerate(entry.ports):
                users[port.number].append((entry, i))
    for number, places in users.items():
        if len(places) == 1:
            continue
        bare = [(e, i) for e, i in places if e.ports[i].protocol.lower() in _BARE_TCP]
        routed = HTTP_PROTOCOLS | TLS_PROTOCOLS
        others = [(e, i) for e, i in places if e.ports[i].protocol.lower() in routed]
        for entry, i in bare:
            other = next(((e, j) for e, j in others if e is not entry and _meet(e, entry)), None)
            if other is not None:
                place = other[0].at("spec", "ports", other[1])
                message = (
                    f"TCP port {number} without addresses takes every call to port {number} that "
                    f"no host name claims, also beside the entry at {place}: give addresses"
                )
                position = entry.at("spec", "ports", i)
                yield Problem("warning", message, position, "lint/tcp-swallows-port")
