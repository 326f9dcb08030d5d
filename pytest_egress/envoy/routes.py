"""Route configurations (RDS): the virtual hosts of a port and the catch-all for others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pytest_egress.contract.resources import OutboundTrafficPolicy, Workload
from pytest_egress.envoy.names import HTTP_PROXY_ROUTES, UNIX_PREFIX, cluster_name
from pytest_egress.envoy.scope import Scope
from pytest_egress.envoy.virtual_hosts import VirtualHost, build_virtual_hosts

__all__ = ["RouteConfiguration", "build_routes", "catch_all", "route_configuration"]


@dataclass(frozen=True, slots=True)
class RouteConfiguration:
    """One answer of RDS in the making."""

    name: str
    hosts: tuple[VirtualHost, ...]

    def to_json(self) -> dict[str, Any]:
        """Envoy's ``RouteConfiguration``."""
        return route_configuration(self.name, [host.to_json() for host in self.hosts])


def build_routes(
    names: Iterable[str], scope: Scope, workload: Workload
) -> list[RouteConfiguration]:
    """The route configurations that the listeners ask for by ``names``."""
    ports = _Ports(scope, workload)
    return [RouteConfiguration(name, tuple(_hosts(name, scope.policy, ports))) for name in names]


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


def catch_all(policy: OutboundTrafficPolicy) -> VirtualHost:
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
    return VirtualHost(name, ("*",), ({"name": name, "match": {"prefix": "/"}, **action},))


class _Ports:
    """The virtual hosts of each port, made once: many sniffed services may share a port."""

    def __init__(self, scope: Scope, workload: Workload) -> None:
        self._scope = scope
        self._workload = workload
        self._hosts: dict[tuple[int, str], list[VirtualHost]] = {}
        self._by_domain: dict[int, dict[str, VirtualHost]] = {}

    def hosts(self, port: int, bind: str = "") -> list[VirtualHost]:
        """All virtual hosts of a port; ``bind`` tells Unix sockets (port 0) apart."""
        found = self._hosts.get((port, bind))
        if found is None:
            egress = self._scope.egress_for_route(port, bind)
            found = []
            if egress is not None:
                found = build_virtual_hosts(self._scope, egress, port, self._workload)
            self._hosts[port, bind] = found
        return found

    def with_domain(self, port: int, *domains: str) -> VirtualHost | None:
        """The virtual host of ``port`` that has one of ``domains``."""
        index = self._by_domain.get(port)
        if index is None:
            index = {domain: it for it in self.hosts(port) for domain in it.domains}
            self._by_domain[port] = index
        return next((index[domain] for domain in domains if domain in index), None)


def _hosts(name: str, policy: OutboundTrafficPolicy, ports: _Ports) -> list[VirtualHost]:
    """Those of ``"<port>"``, of all ports (Unix socket, HTTP proxy) or a sniffed ``host:port``."""
    if name.startswith(UNIX_PREFIX) or name == HTTP_PROXY_ROUTES:
        return [*_sorted(ports.hosts(0, name)), catch_all(policy)]
    host, _, port = name.rpartition(":")
    if not host:
        return [*_sorted(ports.hosts(int(port))), catch_all(policy)]
    # A sniffed service with an address of its own takes any Host header, and nothing is caught.
    own = ports.with_domain(int(port), host, name)
    return [replace(own, domains=("*",))] if own else []


def _sorted(hosts: list[VirtualHost]) -> list[VirtualHost]:
    return sorted(hosts, key=lambda it: it.name)
