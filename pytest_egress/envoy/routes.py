"""Route configurations (RDS): virtual hosts of services and the catch-all for undeclared hosts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_egress.contract.resources import OutboundTrafficPolicy, Workload
from pytest_egress.envoy.domains import virtual_host_domains
from pytest_egress.envoy.names import UNIX_PREFIX, cluster_name, join_host_port
from pytest_egress.envoy.protocols import HTTP, SNIFFED
from pytest_egress.envoy.scope import EgressScope, Scope
from pytest_egress.envoy.services import Service, ServicePort

__all__ = ["build_routes", "catch_all", "route_configuration"]

_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_RETRY = {
    # No status codes are named, so a 503 answer is not retried.
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    "num_retries": 2,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": f"{_EXTENSIONS}.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    "host_selection_retry_max_attempts": "5",
}
_ANY_PATH = {"prefix": "/"}


def build_routes(names: Iterable[str], scope: Scope, workload: Workload) -> list[dict[str, Any]]:
    """The route configurations that the listeners ask for by ``names``."""
    ports = _Ports(scope, workload)
    return [_build_route(name, scope.policy, ports) for name in names]


def route_configuration(name: str, virtual_hosts: list[dict[str, Any]]) -> dict[str, Any]:
    """A ``RouteConfiguration`` with the settings that Istio gives each."""
    built: dict[str, Any] = {
        "name": name,
        "validate_clusters": False,
        "max_direct_response_body_size_bytes": 1048576,
        "ignore_port_in_host_matching": True,
    }
    if virtual_hosts:
        built["virtual_hosts"] = virtual_hosts
    return built


def catch_all(policy: OutboundTrafficPolicy) -> dict[str, Any]:
    """The virtual host for undeclared hosts: 502, or on to where the policy sends them."""
    if policy.mode == "REGISTRY_ONLY":
        name = "block_all"
        action: dict[str, Any] = {"direct_response": {"status": 502}}
    else:
        name, cluster = "allow_any", "PassthroughCluster"
        if policy.mode == "ALLOW_ANY_DYNAMIC_DNS":
            name, cluster = "allow_any_dynamic_dns", "AllowAnyDynamicDNSCluster"
        elif policy.egress_proxy is not None:
            proxy = policy.egress_proxy
            cluster = cluster_name(proxy.host, proxy.port, proxy.subset)
        action = {"route": {"cluster": cluster, "timeout": "0s", "max_grpc_timeout": "0s"}}
    return _virtual_host(name, ["*"], {"name": name, "match": _ANY_PATH, **action})


class _Ports:
    """The virtual hosts of each port, made once: many sniffed services may share a port."""

    def __init__(self, scope: Scope, workload: Workload) -> None:
        self._scope = scope
        self._workload = workload
        self._hosts: dict[tuple[int, str], list[dict[str, Any]]] = {}
        self._by_domain: dict[int, dict[str, dict[str, Any]]] = {}

    def hosts(self, port: int, bind: str = "") -> list[dict[str, Any]]:
        """All virtual hosts of a port; ``bind`` tells Unix sockets (port 0) apart."""
        found = self._hosts.get((port, bind))
        if found is None:
            egress = self._scope.egress_for_route(port, bind)
            found = _service_hosts(egress, port, self._workload) if egress is not None else []
            self._hosts[port, bind] = found
        return found

    def with_domain(self, port: int, *domains: str) -> dict[str, Any] | None:
        """The virtual host of ``port`` that has one of ``domains``."""
        index = self._by_domain.get(port)
        if index is None:
            index = {domain: it for it in self.hosts(port) for domain in it["domains"]}
            self._by_domain[port] = index
        return next((index[domain] for domain in domains if domain in index), None)


def _build_route(name: str, policy: OutboundTrafficPolicy, ports: _Ports) -> dict[str, Any]:
    """A shared ``"<port>"`` configuration, a Unix socket's, or one of a sniffed ``host:port``."""
    if name.startswith(UNIX_PREFIX):
        return route_configuration(name, [*_sorted(ports.hosts(0, name)), catch_all(policy)])
    host, _, port = name.rpartition(":")
    if not host:
        return route_configuration(name, [*_sorted(ports.hosts(int(port))), catch_all(policy)])
    # A sniffed service with an address of its own takes any Host header, and nothing is caught.
    own = ports.with_domain(int(port), host, name)
    return route_configuration(name, [{**own, "domains": ["*"]}] if own else [])


def _sorted(hosts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(hosts, key=lambda it: str(it["name"]))


def _service_hosts(egress: EgressScope, port: int, workload: Workload) -> list[dict[str, Any]]:
    """The virtual hosts of an egress listener's services on ``port``.

    Of several services with one host the last one counts, as in istiod's map by lower-cased
    host: an entry with several addresses has one of them as a domain. A proxy port (HTTP_PROXY
    or a Unix socket) serves all ports of all services, and domains then carry the port.
    """
    if egress.http_proxy:
        port = 0
    by_host: dict[str, tuple[Service, tuple[ServicePort, ...]]] = {}
    for service in egress.services:
        if port == 0:
            by_host[service.host] = (service, service.ports)
            continue
        service_port = service.port(port)
        if service_port is not None:
            by_host[service.host.lower()] = (service, (service_port,))
    wanted = [
        (host, service, service_port)
        for host, (service, ports) in by_host.items()
        for service_port in ports
        if service_port.protocol in HTTP or service_port.protocol == SNIFFED
    ]
    known = {host for host, _, _ in wanted}
    known.update(join_host_port(host, it.number) for host, _, it in wanted)
    taken: set[str] = set()
    names: set[str] = set()
    built: list[dict[str, Any]] = []
    for host, service, service_port in wanted:
        name = join_host_port(host, service_port.number)
        if name in names:
            continue
        names.add(name)
        suffix = service_port.number if port == 0 else 0
        named = virtual_host_domains(
            host,
            service.address,
            suffix,
            workload.namespace,
            headless=service.of_kubernetes and service.resolution == "NONE",
        )
        domains = named.without(taken, known)
        if port == 0 and service_port.number != 80:
            # A bare name means port 80 to a proxy.
            domains = [domain for domain in domains if ":" in domain]
        if domains:
            built.append(_virtual_host(name, domains, _default_route(host, service_port)))
    return built


def _default_route(host: str, port: ServicePort) -> dict[str, Any]:
    """The route of a service that no VirtualService mentions: no timeout, two retries."""
    return {
        "name": "default",
        "match": _ANY_PATH,
        "route": {
            "cluster": cluster_name(host, port.number),
            "timeout": "0s",
            "retry_policy": _RETRY,
            "max_grpc_timeout": "0s",
        },
        "decorator": {"operation": f"{join_host_port(host, port.number)}/*"},
    }


def _virtual_host(name: str, domains: list[str], route: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "domains": domains,
        "routes": [route],
        "include_request_attempt_count": True,
    }
