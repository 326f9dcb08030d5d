"""Filter chains of outbound listeners: what they match and where they lead."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import TYPE_CHECKING, Any

from pytest_egress.envoy.forward_proxy import sni_forward_proxy
from pytest_egress.envoy.names import WILDCARD_ADDRESS, cluster_name, is_ip, parse_prefix
from pytest_egress.envoy.protocols import TLS, Protocol
from pytest_egress.envoy.services import Service, ServicePort

if TYPE_CHECKING:
    from pytest_egress.envoy.destination_rules import MergedRule
    from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = [
    "PLAINTEXT_HTTP",
    "Chain",
    "HttpRoutes",
    "network_filters",
    "split_tcp_proxy",
    "tcp_chain",
    "tcp_proxy",
]

# What http_inspector reports; HTTP/1.0 is not among them unless PILOT_HTTP10 is set.
PLAINTEXT_HTTP = ["http/1.1", "h2c"]
_TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_MONGO_PROXY = "type.googleapis.com/envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy"


@dataclass(frozen=True, slots=True)
class HttpRoutes:
    """An HTTP connection manager to be: its route configuration and the service that asked first.

    Only the first service's protocol and host shape the manager; later ones share it. Without
    one it is the mesh's explicit HTTP proxy.
    """

    name: str
    protocol: Protocol
    service: Service | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A filter chain: its match, and network filters or an HTTP connection manager.

    Attributes:
        server_names: of the TLS handshake; empty matches any.
        cidrs: destination ranges and addresses; empty matches any.
        plaintext_http: match what http_inspector takes for HTTP.
        filters: the network filters of a TCP chain.
        routes: of an HTTP chain, else None.
        rule: the VirtualService's rule that made it, else None.
    """

    server_names: tuple[str, ...] = ()
    cidrs: tuple[str, ...] = ()
    plaintext_http: bool = False
    filters: tuple[dict[str, Any], ...] = ()
    routes: HttpRoutes | None = None
    rule: Rule | None = None

    @property
    def matches_all(self) -> bool:
        """Whether nothing is asked of a connection; such a chain becomes the default chain."""
        any_name = not self.server_names or "*" in self.server_names
        return any_name and not self.plaintext_http and not self.cidrs

    @property
    def conflict_key(self) -> Hashable:
        """Two chains of one listener with equal keys match the same; the later one is dropped."""
        names = frozenset(name for name in self.server_names if name != "*")
        ranges = frozenset(it.network for it in _prefixes(self.cidrs))
        return (self.plaintext_http, names, ranges)

    def match(self) -> dict[str, Any]:
        """The ``FilterChainMatch``."""
        match: dict[str, Any] = {}
        if self.plaintext_http:
            match["transport_protocol"] = "raw_buffer"
            match["application_protocols"] = PLAINTEXT_HTTP
        if self.server_names and "*" not in self.server_names:
            match["server_names"] = sorted(self.server_names)
        ranges = [
            {"address_prefix": str(it.ip), "prefix_len": it.network.prefixlen}
            for it in _prefixes(sorted(self.cidrs))
        ]
        if ranges:
            match["prefix_ranges"] = ranges
        return match


def tcp_chain(
    service: Service,
    port: ServicePort,
    bind: str,
    cidrs: tuple[str, ...],
    rule: MergedRule | None = None,
) -> Chain:
    """The chain to a service on a TCP, TLS or sniffed listener port.

    ``port`` is the listener's: the service's own or the one of a Sidecar's egress listener. The
    server name is matched only where nothing else tells services apart: on the wildcard
    address, on a CIDR and for a DYNAMIC_DNS wildcard. With an address of its own the service
    takes any name, or none. ``rule`` is the service's DestinationRule.
    """
    # A service with one port is meant whatever port the Sidecar listens on.
    number = service.ports[0].number if len(service.ports) == 1 else port.number
    name = cluster_name(service.host, number)
    filters = network_filters(port.protocol, tcp_proxy(name, rule))
    if service.dynamic_wildcard:
        filters = (sni_forward_proxy(service.host, port.number), *filters)
    if port.protocol not in TLS:
        return Chain(cidrs=cidrs, filters=filters)
    unaddressed = service.address == WILDCARD_ADDRESS and bind == WILDCARD_ADDRESS
    if cidrs or "/" in service.address or unaddressed or service.dynamic_wildcard:
        return Chain((service.host,), cidrs, filters=filters)
    return Chain(cidrs=cidrs, filters=filters)


def tcp_proxy(cluster: str, rule: MergedRule | None = None, subset: str = "") -> dict[str, Any]:
    """The terminal filter that forwards bytes to ``cluster``, as its DestinationRule says."""
    return _tcp_proxy(cluster, {"cluster": cluster}, rule, subset)


def split_tcp_proxy(
    stat_prefix: str, weights: Sequence[tuple[str, int]], rule: MergedRule | None = None
) -> dict[str, Any]:
    """The terminal filter that forwards each connection to one of several clusters.

    ``rule`` is the DestinationRule of the first one.
    """
    clusters = [{"name": name, "weight": weight} for name, weight in weights]
    return _tcp_proxy(stat_prefix, {"weighted_clusters": {"clusters": clusters}}, rule, "")


def _tcp_proxy(
    stat_prefix: str, target: dict[str, Any], rule: MergedRule | None, subset: str
) -> dict[str, Any]:
    config = {"@type": _TCP_PROXY, "stat_prefix": stat_prefix, **target}
    if rule is not None:
        from pytest_egress.envoy.traffic_policy.tcp_proxy import tcp_proxy_settings

        config |= tcp_proxy_settings(rule, subset)
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def network_filters(protocol: Protocol, proxy: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """The filters of a chain that ends in ``proxy``; MongoDB's own goes before it."""
    if protocol != "Mongo":
        return (proxy,)
    prefix = proxy["typed_config"]["stat_prefix"]
    mongo = {
        "name": "envoy.filters.network.mongo_proxy",
        "typed_config": {"@type": _MONGO_PROXY, "stat_prefix": prefix},
    }
    return mongo, proxy


def _prefixes(cidrs: Iterable[str]) -> list[IPv4Interface | IPv6Interface]:
    """The ranges with their host bits; one that starts at 0.0.0.0 restricts nothing."""
    parsed = (ip_interface(it) if is_ip(it) else parse_prefix(it) for it in cidrs)
    return [it for it in parsed if it is not None and str(it.ip) != WILDCARD_ADDRESS]
