"""A cluster while it is being made, and what its making needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_egress.contract.duration import duration_json
from pytest_egress.contract.resources import MeshConfig, Workload
from pytest_egress.envoy.instances import Registry
from pytest_egress.envoy.localities import Locality
from pytest_egress.envoy.names import cluster_name
from pytest_egress.envoy.services import Service, ServicePort

if TYPE_CHECKING:
    from pytest_egress.envoy.destination_rules import MergedRule

__all__ = ["ClusterContext", "ClusterDraft", "http_options"]

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_DOWNSTREAM_PROTOCOL: Mapping[str, Any] = {
    "http_protocol_options": {},
    "http2_protocol_options": {},
}


class ClusterContext:
    """What all clusters of one proxy share.

    Attributes:
        router: whether the proxy is a gateway and not a sidecar.
        connect_timeout: the mesh's, as JSON.
        dns_refresh_rate: the mesh's, as JSON.
    """

    def __init__(
        self, mesh: MeshConfig, workload: Workload, registry: Registry, *, router: bool = False
    ) -> None:
        self.mesh = mesh
        self.workload = workload
        self.registry = registry
        self.router = router
        self.connect_timeout = duration_json(mesh.connect_timeout)
        self.dns_refresh_rate = duration_json(mesh.dns_refresh_rate)


@dataclass(slots=True)
class ClusterDraft:
    """One cluster of a service port; subset empty is the service's own.

    Attributes:
        cluster: Envoy's ``Cluster``, as JSON.
        rule: the DestinationRule that shapes it.
        options: its HTTP protocol options.
        localities: the endpoints of a DNS cluster, which become its load assignment.
        dynamic: a dynamic forward proxy, which has no endpoints.
        patient: its connect timeout is a DestinationRule's.
        name: Istio's.
    """

    service: Service
    port: ServicePort
    rule: MergedRule | None = None
    subset: str = ""
    cluster: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    localities: list[Locality] | None = None
    dynamic: bool = False
    patient: bool = False

    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = cluster_name(self.service.host, self.port.number, self.subset)

    @property
    def speaks_http2(self) -> bool:
        """Whether HTTP/2 goes upstream whatever came in."""
        return "http2_protocol_options" in self.options.get("explicit_http_config", {})

    def speak_http2(self) -> None:
        """HTTP/2 to the upstream, unless it is to speak as the client does."""
        if not self.options.keys() & {"explicit_http_config", "use_downstream_protocol_config"}:
            self.options["explicit_http_config"] = {"http2_protocol_options": {}}

    def speak_as_client(self) -> None:
        """The client's version of HTTP to the upstream."""
        self.options.pop("explicit_http_config", None)
        self.options["use_downstream_protocol_config"] = _DOWNSTREAM_PROTOCOL

    def finish(self) -> dict[str, Any]:
        """The cluster with its options and endpoints."""
        cluster, options = self.cluster, self.options
        if options:
            # Envoy's schema wants the oneof present as soon as there are any options.
            if not options.keys() & {"explicit_http_config", "use_downstream_protocol_config"}:
                options["explicit_http_config"] = {"http_protocol_options": {}}
            cluster["typed_extension_protocol_options"] = http_options(options)
        if self.localities is not None:
            cluster["load_assignment"] = {
                "cluster_name": self.name,
                "endpoints": [it.json for it in self.localities],
            }
        return cluster


def http_options(options: dict[str, Any]) -> dict[str, Any]:
    """``typed_extension_protocol_options`` with these HTTP options."""
    return {_HTTP_OPTIONS: {"@type": f"type.googleapis.com/{_HTTP_OPTIONS}", **options}}
