"""The route configurations of a gateway: VirtualServices are merged host by host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_egress.envoy.gateway.context import GatewayContext
from pytest_egress.envoy.gateway.merge import GatewayServer
from pytest_egress.envoy.names import is_wildcard, join_host_port, subset_of
from pytest_egress.envoy.routes import route_configuration
from pytest_egress.envoy.virtual_service.http_routes import build_http_routes
from pytest_egress.envoy.virtual_service.match import catches_all
from pytest_egress.envoy.virtual_service.merge import MergedVirtualService
from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["GatewayRoutes", "gateway_routes"]

Json = dict[str, Any]
_Routes = list[tuple[Json, Rule]]


@dataclass(slots=True)
class GatewayRoutes:
    """One route configuration: its JSON, and the rule that made each route of a virtual host."""

    json: Json
    rules: dict[tuple[str, int], Rule] = field(default_factory=dict)


@dataclass(slots=True)
class _Host:
    """A virtual host in the making."""

    name: str
    domains: list[str]
    routes: _Routes
    https_only: bool = False

    def shares(self, other: _Host) -> bool:
        """Whether both have the very same routes, so that they can be one."""
        return self.https_only == other.https_only and self.key == other.key

    @property
    def key(self) -> tuple[int, ...]:
        """The identity of the routes, in order."""
        return tuple(id(route) for route, _ in self.routes)

    def to_json(self) -> tuple[Json, list[Rule]]:
        """Envoy's ``VirtualHost``; a route that takes every request goes to the end."""
        ordered = sorted(self.routes, key=lambda it: catches_all(it[0]["match"]))
        built: Json = {"name": self.name, "domains": self.domains}
        if ordered:
            built["routes"] = [route for route, _ in ordered]
        if self.https_only:
            built["require_tls"] = "ALL"
        built["include_request_attempt_count"] = True
        return built, [rule for _, rule in ordered]


def gateway_routes(
    name: str, servers: Sequence[GatewayServer], context: GatewayContext
) -> GatewayRoutes:
    """The route configuration ``name`` that these servers share.

    A server without any VirtualService has a virtual host that answers 404.
    """
    hosts = _hosts(servers, context)
    if not hosts:
        port = servers[0].server.port.number
        blackhole = {"name": join_host_port("blackhole", port), "domains": ["*"]}
        return GatewayRoutes(route_configuration(name, [blackhole]))
    built: list[Json] = []
    rules: dict[tuple[str, int], Rule] = {}
    for host in sorted(_collapsed(hosts), key=lambda it: it.name):
        virtual_host, made_by = host.to_json()
        built.append(virtual_host)
        rules |= {(host.name, index): rule for index, rule in enumerate(made_by)}
    return GatewayRoutes(route_configuration(name, built), rules)


def _hosts(servers: Iterable[GatewayServer], context: GatewayContext) -> dict[str, _Host]:
    """The virtual hosts by host; of several VirtualServices for one it has all routes."""
    found: dict[str, _Host] = {}
    # Routes are made once for each Gateway, at the port of the first server that asks.
    made: dict[tuple[str, int], _Routes] = {}
    for server in servers:
        port = server.server.port.number
        tls = server.server.tls
        redirects = tls is not None and tls.https_redirect
        for merged in context.bound(server.gateway_name):
            shared = _shared_hosts(server, merged)
            if not shared:
                continue
            key = (server.gateway_name, id(merged))
            if key not in made:
                routing = context.routing(merged, server.gateway_name, port, tls=tls is not None)
                routes = build_http_routes(merged, routing)
                if not routes:
                    continue
                made[key] = routes
            for host in map(str.lower, shared):
                known = found.get(host)
                if known is None:
                    known = _Host(join_host_port(host, port), [host], [])
                    found[host] = known
                known.routes.extend(made[key])
                known.https_only = known.https_only or redirects
        if redirects:
            for host in map(str.lower, server.hosts):
                known = found.setdefault(host, _Host(join_host_port(host, port), [host], []))
                known.https_only = True
    return found


def _shared_hosts(server: GatewayServer, merged: MergedVirtualService) -> list[str]:
    """The narrower of each pair of a server's and a VirtualService's hosts that overlap."""
    namespace = merged.service.metadata.namespace
    found: dict[str, None] = {}
    for text in server.hosts:
        source, slash, host = text.rpartition("/")
        if slash and source != namespace:
            continue
        for other in merged.service.hosts:
            if subset_of(host, other):
                found[host] = None
            elif subset_of(other, host):
                found[other] = None
    return list(found)


def _collapsed(hosts: dict[str, _Host]) -> Iterable[_Host]:
    """Virtual hosts with the same routes as one, called after the most specific host."""
    kept: list[_Host] = []
    latest: dict[tuple[int, ...], _Host] = {}
    for _, host in sorted(hosts.items(), key=lambda it: (is_wildcard(it[0]), -len(it[0]), it[0])):
        known = latest.get(host.key)
        if known is not None and known.shares(host):
            known.domains.extend(host.domains)
        else:
            latest[host.key] = host
            kept.append(host)
    return kept
