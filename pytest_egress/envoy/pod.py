"""What a contract's configuration meets in a pod and not here, and that Envoy may refuse it there.

Here no listener binds a port. In a pod the proxy's own listeners do, and Envoy takes no second one
at their addresses.
"""

from __future__ import annotations

import json
from typing import Any

from pytest_egress.contract.resources import MeshConfig
from pytest_egress.envoy.chains import tcp_proxy
from pytest_egress.envoy.endpoints import socket_address
from pytest_egress.envoy.names import WILDCARD_ADDRESS
from pytest_egress.envoy.program import Program

__all__ = ["in_pod", "may_be_refused"]

Json = dict[str, Any]

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_OF_THE_AGENT = {"the agent's health checks": 15021, "the agent's statistics": 15090}


def in_pod(bootstrap: Json, program: Program, mesh: MeshConfig) -> Json:
    """The bootstrap with the proxy's own listeners as a pod has them, those first.

    It is for Envoy to validate, never to be served.
    """
    static = bootstrap["static_resources"]
    own = {item["name"]: item["address"] for item in _own(program, mesh)}
    found = {item["name"]: item for item in static["listeners"]}
    chain = {"filters": [tcp_proxy("BlackHoleCluster")]}
    first = [
        {"name": name, "filter_chains": [chain], **found.get(name, {}), "address": address}
        for name, address in own.items()
    ]
    rest = [item for name, item in found.items() if name not in own]
    return {**bootstrap, "static_resources": {**static, "listeners": [*first, *rest]}}


def may_be_refused(program: Program, mesh: MeshConfig) -> bool:
    """Whether the program has something in it that Envoy is known to refuse: it is to be asked."""
    addresses = [item["address"] for item in (*program.listeners, *_own(program, mesh)[1:])]
    distinct = {json.dumps(address, sort_keys=True) for address in addresses}
    return (
        len(distinct) < len(addresses)
        or any(map(_partial_names, program.listeners))
        or any(map(_doubtful, program.clusters))
    )


def _own(program: Program, mesh: MeshConfig) -> list[Json]:
    """Name and address of the listeners that every pod has, ``virtualOutbound`` first."""
    ports = {"virtualInbound": mesh.proxy_inbound_listen_port, **_OF_THE_AGENT}
    return [
        *(item for item in program.listeners if item["name"] == "virtualOutbound"),
        *(
            {"name": name, "address": socket_address(WILDCARD_ADDRESS, port)}
            for name, port in ports.items()
        ),
    ]


def _partial_names(listener: Json) -> bool:
    """Whether a chain matches server names like ``*foo.example.com``."""
    return any(
        name.startswith("*") and not name.startswith("*.")
        for chain in listener.get("filter_chains", ())
        for name in chain.get("filter_chain_match", {}).get("server_names", ())
    )


def _doubtful(cluster: Json) -> bool:
    if cluster.get("type") == "LOGICAL_DNS":
        groups = cluster["load_assignment"]["endpoints"]
        return sum(len(group["lb_endpoints"]) for group in groups) != 1
    # Without TLS of its own such a cluster takes no HTTP options.
    kind = cluster.get("cluster_type", {}).get("typed_config", {})
    options: Json = cluster.get("typed_extension_protocol_options", {}).get(_HTTP_OPTIONS, {})
    automatic = options.get("upstream_http_protocol_options", {})
    safe = kind.get("allow_insecure_cluster_options") or (
        automatic.get("auto_sni") and automatic.get("auto_san_validation")
    )
    return bool(kind and options and not safe)
