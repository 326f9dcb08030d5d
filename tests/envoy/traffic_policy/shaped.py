"""Clusters as a DestinationRule shapes them."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.resources import MeshConfig, ServiceEntry
from tests.envoy.build import by_name, compiled, entry, rule

__all__ = ["HOST", "options_of", "shaped"]

HOST = "a.example.com"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def shaped(
    *,
    ports: str = "80/HTTP",
    service: ServiceEntry | None = None,
    mesh: MeshConfig | None = None,
    asking: dict[str, Any] | None = None,
    cluster: str = "",
    **policy: Any,
) -> dict[str, Any]:
    """The cluster of the host's first port, or ``cluster``, under a rule with that policy."""
    service = service or entry(HOST, ports)
    program = compiled(service, rule(service.hosts[0], **policy), mesh=mesh, **(asking or {}))
    return by_name(program.clusters, cluster) if cluster else program.clusters[0]


def options_of(cluster: dict[str, Any]) -> dict[str, Any]:
    """The HTTP protocol options of a cluster, without their type."""
    options = dict(cluster.get("typed_extension_protocol_options", {}).get(_OPTIONS, {}))
    options.pop("@type", None)
    return options
