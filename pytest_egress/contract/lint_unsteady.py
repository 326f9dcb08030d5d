"""Warnings about what istiod answers differently from one time to the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import Resource, ServiceEntry, Sidecar
from pytest_egress.contract.syntax import HTTP_PROTOCOLS

__all__ = ["lint_unsteady"]

_RULE = "lint/unsteady"


def lint_unsteady(resources: Sequence[Resource]) -> Iterator[Problem]:
    """Findings about entries with addresses, also under Sidecars that name their hosts."""
    several: dict[tuple[str, str], list[ServiceEntry]] = defaultdict(list)
    for entry in resources:
        if isinstance(entry, ServiceEntry) and entry.addresses:
            yield from _domains(entry)
            if len(set(entry.addresses)) > 1:
                for host in entry.hosts:
                    several[entry.metadata.namespace, host].append(entry)
    if several:
        for sidecar in resources:
            if isinstance(sidecar, Sidecar):
                yield from _imports(sidecar, several)


def _domains(entry: ServiceEntry) -> Iterator[Problem]:
    """One virtual host takes one of the addresses as a domain."""
    addresses, hosts = len(set(entry.addresses)), len(set(entry.hosts))
    if addresses == hosts == 1:
        return
    for i, port in enumerate(entry.ports):
        if port.protocol.lower() in HTTP_PROTOCOLS:
            message = (
                f"an HTTP request to port {port.number} that carries an address for a name goes, "
                f"now this way and now that, to one of {hosts} hosts by one of {addresses} "
                "addresses: call by host name, or make one entry per host and address"
            )
            yield Problem("warning", message, entry.at("spec", "ports", i), _RULE)
            return


def _imports(
    sidecar: Sidecar, several: dict[tuple[str, str], list[ServiceEntry]]
) -> Iterator[Problem]:
    """Where all imports are exact, istiod looks each host up and takes one of its services."""
    for i, listener in enumerate(sidecar.egress):
        imports = [text.partition("/") for text in listener.hosts]
        if any(source == "*" or host.startswith("*") for source, _, host in imports):
            continue
        for j, (source, _, host) in enumerate(imports):
            namespace = sidecar.metadata.namespace if source == "." else source
            for entry in several.get((namespace, host), ()):
                message = (
                    f"of the addresses of {host} at {entry.at('spec', 'addresses')} istiod takes "
                    "one, now this and now that, where a Sidecar names its hosts exactly: "
                    f'write "{source}/*", or make one entry per address'
                )
                yield Problem(
                    "warning", message, sidecar.at("spec", "egress", i, "hosts", j), _RULE
                )
