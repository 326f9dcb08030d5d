"""Listeners (LDS): the per-port ones and ``virtualOutbound``, as Envoy JSON."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.duration import Duration, duration_json
from pytest_egress.contract.resources import MeshConfig, OutboundTrafficPolicy, Workload
from pytest_egress.envoy.chains import PLAINTEXT_HTTP, Chain, tcp_proxy
from pytest_egress.envoy.endpoints import socket_address
from pytest_egress.envoy.http_manager import connection_manager, rds
from pytest_egress.envoy.listener_map import ListenerEntry
from pytest_egress.envoy.names import WILDCARD_ADDRESS, cluster_name
from pytest_egress.envoy.routes import catch_all, route_configuration

__all__ = ["TLS_INSPECTOR", "listener", "undeclared_cluster", "virtual_outbound"]

_TYPE = "type.googleapis.com/envoy.extensions.filters.listener"
TLS_INSPECTOR = {
    "name": "envoy.filters.listener.tls_inspector",
    "typed_config": {
        "@type": f"{_TYPE}.tls_inspector.v3.TlsInspector",
        "initial_read_buffer_size": 512,
    },
}
_HTTP_INSPECTOR = {
    "name": "envoy.filters.listener.http_inspector",
    "typed_config": {"@type": f"{_TYPE}.http_inspector.v3.HttpInspector"},
}
_SNI_FORWARD_PROXY = "envoy.extensions.filters.network.sni_dynamic_forward_proxy"


def undeclared_cluster(policy: OutboundTrafficPolicy) -> str:
    """Where bytes go that nothing declares: BlackHole, Passthrough or the egress proxy's cluster.

    ALLOW_ANY_DYNAMIC_DNS resolves names of HTTP only; other bytes pass through.
    """
    if policy.mode == "REGISTRY_ONLY":
        return "BlackHoleCluster"
    proxy = policy.egress_proxy
    if proxy is None:
        return "PassthroughCluster"
    return cluster_name(proxy.host, proxy.port, proxy.subset)


def listener(
    entry: ListenerEntry, policy: OutboundTrafficPolicy, workload: Workload, mesh: MeshConfig
) -> dict[str, Any]:
    """One per-port listener.

    A chain that matches everything becomes the default chain, unless it is the only one. Where
    none does, ``PassthroughFilterChain`` catches the rest (and blocks it under REGISTRY_ONLY).
    """
    built: dict[str, Any] = {
        "name": entry.name,
        "address": socket_address(entry.bind, entry.port.number),
        "listener_filters_timeout": duration_json(_detection_timeout(entry, mesh)),
        "continue_on_listener_filters_timeout": True,
        "traffic_direction": "OUTBOUND",
    }
    if entry.bind_to_port:
        built["max_connections_to_accept_per_socket_event"] = 1
    else:
        built["bind_to_port"] = False
    inspectors = _inspectors(entry)
    if inspectors:
        built["listener_filters"] = inspectors
    chains: list[dict[str, Any]] = []
    default: dict[str, Any] | None = None
    for chain in entry.chains:
        filter_chain = _filter_chain(chain, entry, policy, workload, mesh)
        if chain.matches_all:
            default = filter_chain
        else:
            chains.append({"filter_chain_match": chain.match(), **filter_chain})
    if default is None:
        default = {
            "filter_chain_match": {},
            "filters": [tcp_proxy(undeclared_cluster(policy))],
            "name": "PassthroughFilterChain",
        }
    if chains:
        built["filter_chains"] = chains
        built["default_filter_chain"] = default
    else:
        built["filter_chains"] = [default]
    return built


def virtual_outbound(
    policy: OutboundTrafficPolicy, workload: Workload, mesh: MeshConfig
) -> dict[str, Any]:
    """The listener that iptables redirects to; connections that match no other stay on it.

    Its first chain blocks connections made to its own port (15001), which would loop.
    """
    port = mesh.proxy_listen_port
    chains: list[dict[str, Any]] = [
        {
            "filter_chain_match": {"destination_port": port},
            "filters": [tcp_proxy("BlackHoleCluster")],
            "name": "virtualOutbound-blackhole",
        }
    ]
    built: dict[str, Any] = {
        "name": "virtualOutbound",
        "address": socket_address(WILDCARD_ADDRESS, port),
        "filter_chains": chains,
        "use_original_dst": True,
        "traffic_direction": "OUTBOUND",
        "max_connections_to_accept_per_socket_event": 1,
    }
    if policy.mode == "ALLOW_ANY_DYNAMIC_DNS":
        built["listener_filters"] = [_HTTP_INSPECTOR]
        manager = connection_manager(
            "outbound_virtualOutbound_allow_any_dynamic_dns;",
            {
                "route_config": route_configuration(
                    "allow_any_dynamic_dns", [catch_all(policy).to_json()]
                )
            },
            mesh,
            allow_any_dynamic_dns=True,
            dns_capture=workload.dns_capture,
        )
        chains.append(
            {
                "filter_chain_match": {"application_protocols": PLAINTEXT_HTTP},
                "filters": [manager],
                "name": "virtualOutbound-catchall-tcp-http",
            }
        )
    chains.append(
        {
            "filters": [tcp_proxy(undeclared_cluster(policy))],
            "name": "virtualOutbound-catchall-tcp",
        }
    )
    return built


def _inspectors(entry: ListenerEntry) -> list[dict[str, Any]]:
    """The listener filters that the chains' matches need; TLS comes before HTTP."""
    tls = any(
        chain.server_names or any(it["name"] == _SNI_FORWARD_PROXY for it in chain.filters)
        for chain in entry.chains
    )
    return [TLS_INSPECTOR] * tls + [_HTTP_INSPECTOR] * _detects_http(entry)


def _detects_http(entry: ListenerEntry) -> bool:
    return any(chain.plaintext_http for chain in entry.chains)


def _detection_timeout(entry: ListenerEntry, mesh: MeshConfig) -> Duration:
    """How long a connection may say nothing: for ever, unless the protocol is to be detected."""
    return mesh.protocol_detection_timeout if _detects_http(entry) else 0


def _filter_chain(
    chain: Chain,
    entry: ListenerEntry,
    policy: OutboundTrafficPolicy,
    workload: Workload,
    mesh: MeshConfig,
) -> dict[str, Any]:
    if chain.routes is None:
        filters = list(chain.filters)
    else:
        filters = [
            connection_manager(
                f"outbound_{entry.name};",
                rds(chain.routes.name),
                mesh,
                protocol=chain.routes.protocol,
                service=chain.routes.service,
                explicit_proxy=chain.routes.service is None,
                allow_any_dynamic_dns=policy.mode == "ALLOW_ANY_DYNAMIC_DNS",
                dns_capture=workload.dns_capture,
            )
        ]
    # The timeout is set on every chain; without a TLS transport socket it never fires.
    return {"filters": filters, "transport_socket_connect_timeout": "15s"}
