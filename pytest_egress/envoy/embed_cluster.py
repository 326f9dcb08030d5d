"""Clusters of the embedded Envoy: endpoints inlined, addresses replaced by places on loopback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pytest_egress.envoy.names import is_ip
from pytest_egress.envoy.secrets import Secrets, gateway_link, with_files

__all__ = ["Places", "embed_cluster", "resolver", "socket_address", "with_resolver"]

Json = dict[str, Any]

_DEFAULT_CONNECT_TIMEOUT = "10s"  # meshConfig.connectTimeout
_LOOPBACK_CONNECT_TIMEOUT = "1s"


class Places(Protocol):
    """What the embedding asks of the simulated outside; see `pytest_egress.upstream.Outside`."""

    @property
    def proxy_dns(self) -> tuple[str, int]:
        """The name server that answers with places on loopback."""
        ...

    def port_for(self, port: int) -> int:
        """The loopback port that stands for ``port`` on every place."""
        ...

    def locate(self, address: str, port: int, *, dedicated: bool = False) -> tuple[str, int]:
        """The place that stands for a simulated address and port."""
        ...

    def original_port(self, override: int = 0) -> int:
        """The loopback port of places for original destinations."""
        ...


def socket_address(address: str, port: int) -> Json:
    """A ``core.v3.Address``."""
    return {"socket_address": {"address": address, "port_value": port}}


def resolver(places: Places) -> Json:
    """The resolver that asks the name server of the simulated outside."""
    address, port = places.proxy_dns
    return {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3"
            ".CaresDnsResolverConfig",
            "resolvers": [socket_address(address, port)],
            # A name server on loopback answers at once or, when it is told to, never.
            "query_timeout_seconds": 1,
            "query_tries": 2,
            "dns_resolver_options": {"no_default_search_domain": True},
            "udp_max_queries": 100,
        },
    }


def embed_cluster(
    cluster: Json,
    assignments: Mapping[str, Json],
    places: Places | None,
    secrets: Secrets,
    *,
    patient: bool = False,
    to_gateway: bool = False,
) -> Json:
    """Inline the endpoints of a cluster and point it at the simulated outside.

    Args:
        cluster: as istiod pushes it.
        assignments: EDS answers by cluster name.
        places: the simulated outside; None: the real one.
        secrets: the files that its TLS is made from.
        patient: whether its connect timeout is no default but what the contract says.
        to_gateway: whether its endpoints are a gateway of ours.
    """
    result = (gateway_link if to_gateway else with_files)(cluster, secrets)
    kind = result.get("type")
    if kind == "EDS":
        result.pop("eds_cluster_config", None)
        result["type"] = "STATIC"
        result["load_assignment"] = assignments.get(
            result["name"], {"cluster_name": result["name"]}
        )
    if places is None:
        return result
    # On loopback a connection is there at once or never, and a TCP proxy makes its record only when
    # the connect has ended: istiod's default of 10 s would outlast any probe.
    if not patient and result.get("connect_timeout") == _DEFAULT_CONNECT_TIMEOUT:
        result["connect_timeout"] = _LOOPBACK_CONNECT_TIMEOUT
    # One resolver for the whole process: thousands of clusters would each open their own.
    result.pop("typed_dns_resolver_config", None)
    if "load_assignment" in result:
        result["load_assignment"] = _assignment(result["load_assignment"], places)
    override = result.get("original_dst_lb_config", {}).get("upstream_port_override")
    if override:
        result["original_dst_lb_config"] = {
            "upstream_port_override": places.original_port(override)
        }
    if "cluster_type" in result:
        result["cluster_type"] = with_resolver(result["cluster_type"], places)
    return result


def _assignment(assignment: Json, places: Places) -> Json:
    """A load assignment whose addresses are places; names stay names."""

    def endpoint(item: Json) -> Json:
        address = item["endpoint"]["address"].get("socket_address")
        if address is None:
            return item
        name, port = address["address"], address["port_value"]
        place = (
            places.locate(name, port, dedicated=True)
            if is_ip(name)
            else (name, places.port_for(port))
        )
        return {**item, "endpoint": {**item["endpoint"], "address": socket_address(*place)}}

    return {
        **assignment,
        "endpoints": [
            {**group, "lb_endpoints": [endpoint(item) for item in group.get("lb_endpoints", ())]}
            for group in assignment.get("endpoints", ())
        ],
    }


def with_resolver(value: Any, places: Places) -> Any:
    """Give each DNS cache of a dynamic forward proxy the resolver of the simulated outside."""
    if isinstance(value, dict):
        result = {key: with_resolver(item, places) for key, item in value.items()}
        if "dns_cache_config" in result:
            result["dns_cache_config"]["typed_dns_resolver_config"] = resolver(places)
        return result
    if isinstance(value, list):
        return [with_resolver(item, places) for item in value]
    return value
