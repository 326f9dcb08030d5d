"""Domains of a virtual host: the host, its short forms and its address."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pytest_egress.envoy.names import WILDCARD_ADDRESS, is_ip, join_host_port

__all__ = ["Domains", "virtual_host_domains"]

_CLUSTER_DOMAIN = ".svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Domains:
    """Domains in Istio's order; ``short`` are those made by shortening or a trailing dot."""

    all: tuple[str, ...]
    short: Collection[str]

    def without(self, taken: set[str], known: Collection[str]) -> list[str]:
        """The domains that nobody has yet; adds them to ``taken``.

        A short form never displaces the full name (``known``) of another service.
        """
        free = []
        for domain in self.all:
            if domain.lower() in taken or (domain in self.short and domain in known):
                continue
            taken.add(domain.lower())
            free.append(domain)
        return free


def virtual_host_domains(
    host: str, address: str, port: int, namespace: str, *, headless: bool = False
) -> Domains:
    """The domains of a service.

    Args:
        host: its host name.
        address: its IP or CIDR; ``0.0.0.0`` adds none.
        port: appended to each domain as a second form; 0 for none.
        namespace: of the asking workload, whose neighbours have the shortest names.
        headless: of a Kubernetes Service without address, whose pods have names below it.
    """
    names = [host + "."] if not is_ip(host) else []
    short = [*names, join_host_port(host + ".", port)] if port else names
    for name in _kubernetes_names(host, namespace):
        short = [*short, *_with_port(name, port)]
    domains = [*_with_port(host, port), *short]
    if headless:
        domains += [f"*.{domain}" for domain in domains]
    if address != WILDCARD_ADDRESS:
        domains += _with_port(address, port)
    return Domains(tuple(domains), short)


def _with_port(name: str, port: int) -> list[str]:
    bare = f"[{name}]" if ":" in name else name
    return [bare, join_host_port(name, port)] if port else [bare]


def _kubernetes_names(host: str, namespace: str) -> Iterator[str]:
    """``svc``, ``svc.ns.svc`` and ``svc.ns`` for hosts that look like a Kubernetes Service's."""
    if not host.endswith(_CLUSTER_DOMAIN):
        return
    end, dot = host.index(".svc."), host.index(".")
    if dot >= end:
        return  # no namespace: svc.cluster.local itself, or a wildcard below it
    if host[dot + 1 : end] == namespace:
        yield host[:dot]
        yield f"{host[:end]}.svc"
        yield host[:end]
    else:
        yield host[:end]
        yield f"{host[:end]}.svc"
