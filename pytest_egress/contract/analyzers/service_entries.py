"""IST0134 and IST0177: TCP ports without addresses, one host and port in two protocols."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from pytest_egress.contract.allocation import may_have_allocated
from pytest_egress.contract.analyzers.finding import Finding, at
from pytest_egress.contract.analyzers.services import scopes
from pytest_egress.contract.resources import MeshConfig, Resource, ServiceEntry

__all__ = ["analyze"]

_Use = tuple[ServiceEntry, int]


def analyze(resources: Sequence[Resource], mesh: MeshConfig) -> Iterator[Finding]:
    """The findings about ServiceEntries."""
    entries = [it for it in resources if isinstance(it, ServiceEntry)]
    for entry in entries:
        yield from _addresses(entry, mesh)
    yield from _protocols(entries)


def _addresses(entry: ServiceEntry, mesh: MeshConfig) -> Iterator[Finding]:
    """Only proxies that resolve names themselves heed the addresses that istiod allocates."""
    if entry.addresses or (mesh.dns_capture and may_have_allocated(entry)):
        return
    for i, port in enumerate(entry.ports):
        if port.protocol.lower() in {"", "tcp"}:
            message = (
                f"port {port.number} ({port.protocol or 'no protocol'}) has no addresses to be "
                f"told apart by: the sidecar takes every call to port {port.number} for it. "
                "Give addresses, or let the agent resolve names (ISTIO_META_DNS_CAPTURE)"
            )
            yield at(entry, "IST0134", message, ("spec", "ports", i))


def _protocols(entries: Sequence[ServiceEntry]) -> Iterator[Finding]:
    uses: dict[tuple[str, str, int], list[_Use]] = defaultdict(list)
    for entry in entries:
        for scope in scopes(entry.export_to, entry.metadata.namespace):
            for host in entry.hosts:
                for i, port in enumerate(entry.ports):
                    uses[scope, host, port.number].append((entry, i))
    told: set[int] = set()
    for (scope, host, number), own in uses.items():
        seen = own if scope == "*" else [*own, *uses.get(("*", host, number), ())]
        protocols = sorted({_protocol(use) for use in seen})
        if len(protocols) < 2:
            continue
        for entry, i in seen:
            if id(entry) in told:
                continue
            told.add(id(entry))
            other, j = next(it for it in seen if _protocol(it) != _protocol((entry, i)))
            message = (
                f"{host}:{number} is {_protocol((entry, i)) or 'of no protocol'} here and "
                f"{_protocol((other, j)) or 'of none'} at {other.at('spec', 'ports', j)}: Istio "
                "takes one of the two for both. Declare one protocol"
            )
            yield at(entry, "IST0177", message, ("spec", "ports", i, "protocol"))


def _protocol(use: _Use) -> str:
    entry, port = use
    return entry.ports[port].protocol.upper()
