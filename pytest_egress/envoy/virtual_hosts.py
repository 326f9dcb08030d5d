"""Virtual hosts of one port: those of VirtualServices first, then those of other services."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_egress.contract.resources import Workload
from pytest_egress.envoy.domains import Domains, virtual_host_domains
from pytest_egress.envoy.names import cluster_name, join_host_port
from pytest_egress.envoy.protocols import HTTP, SNIFFED
from pytest_egress.envoy.retries import retry_policy
from pytest_egress.envoy.routed import RoutedHosts, RoutedService
from pytest_egress.envoy.scope import EgressScope, Scope
from pytest_egress.envoy.services import ServicePort

if TYPE_CHECKING:
    from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["VirtualHost", "build_virtual_hosts"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """A virtual host in the making; ``rules`` tells which rule made each of its routes."""

    name: str
    domains: tuple[str, ...]
    routes: tuple[Json, ...]
    rules: tuple[Rule | None, ...] = ()

    def to_json(self) -> Json:
        """Envoy's ``VirtualHost``."""
        return {
            "name": self.name,
            "domains": list(self.domains),
            "routes": list(self.routes),
            "include_request_attempt_count": True,
        }


def build_virtual_hosts(
    scope: Scope, egress: EgressScope, port: int, workload: Workload
) -> list[VirtualHost]:
    """The virtual hosts of an egress listener on ``port``, unsorted.

    A proxy port (HTTP_PROXY or a Unix socket, port 0) serves all ports of all services, and
    domains then carry the port.
    """
    if egress.http_proxy:
        port = 0
    registry = _registry(egress, port)
    routed: list[RoutedHosts] = []
    if egress.virtual_services:
        from pytest_egress.envoy.virtual_service.hosts import routed_hosts

        routed = routed_hosts(scope, egress, registry, port, workload)
    taken = {it.host for hosts in routed for it in hosts.services}
    routed += (
        RoutedHosts(it.number, (service,), (_default_route(service, it, scope),))
        for host, service in registry.items()
        if host not in taken
        for it in service.ports
        if it.protocol in HTTP or it.protocol == SNIFFED
    )
    return list(_distinct(routed, port, workload.namespace))


def _registry(egress: EgressScope, port: int) -> dict[str, RoutedService]:
    """The services of a port by host.

    Of several with one host the last one counts, as in istiod's map by lower-cased host: an
    entry with several addresses has one of them as a domain.
    """
    found: dict[str, RoutedService] = {}
    for service in egress.services:
        if port == 0:
            found[service.host] = RoutedService(service.host, service, service.ports)
            continue
        service_port = service.port(port)
        if service_port is not None:
            host = service.host.lower()
            found[host] = RoutedService(host, service, (service_port,))
    return found


def _distinct(routed: list[RoutedHosts], port: int, namespace: str) -> Iterable[VirtualHost]:
    """The virtual hosts; of two with one name, or for one domain, the first counts."""
    known = {it.host for hosts in routed for it in hosts.services}
    known.update(join_host_port(it.host, hosts.port) for hosts in routed for it in hosts.services)
    taken: set[str] = set()
    names: set[str] = set()
    for hosts in routed:
        suffix = hosts.port if port == 0 else 0
        wanted: list[tuple[str, Domains]] = [
            (host.lower(), Domains((_bracketed(host.lower()),), ())) for host in hosts.hosts
        ]
        wanted += (
            (
                it.host,
                virtual_host_domains(
                    it.host,
                    it.service.address,
                    suffix,
                    namespace,
                    headless=it.service.of_kubernetes and it.service.resolution == "NONE",
                ),
            )
            for it in hosts.services
        )
        for host, named in wanted:
            name = join_host_port(host, hosts.port)
            if name in names:
                continue
            names.add(name)
            domains = named.without(taken, known)
            if suffix and suffix != 80:
                # A bare name means port 80 to a proxy.
                domains = [domain for domain in domains if ":" in domain]
            if domains:
                yield VirtualHost(name, tuple(domains), hosts.routes, hosts.rules)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _default_route(service: RoutedService, port: ServicePort, scope: Scope) -> Json:
    """The route of a service that no VirtualService mentions: no timeout, two retries."""
    action: Json = {
        "cluster": cluster_name(service.host, port.number),
        "timeout": "0s",
        "max_grpc_timeout": "0s",
    }
    retries = retry_policy(scope.retries)
    if retries is not None:
        action["retry_policy"] = retries
    rule = scope.rules.get(service.host)
    if rule is not None:
        from pytest_egress.envoy.traffic_policy.effective import service_hash
        from pytest_egress.envoy.traffic_policy.hashing import route_hash_policy

        key = service_hash(rule, port.number)
        policy = route_hash_policy(key) if key is not None else {}
        if policy:
            action["hash_policy"] = [policy]
    return {
        "name": "default",
        "match": {"prefix": "/"},
        "route": action,
        "decorator": {"operation": f"{join_host_port(service.host, port.number)}/*"},
    }
