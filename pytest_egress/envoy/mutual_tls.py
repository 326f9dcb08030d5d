"""Istio's automatic mutual TLS towards MESH_INTERNAL services."""

from __future__ import annotations

from typing import Any

from pytest_egress.envoy.instances import Registry
from pytest_egress.envoy.protocols import HTTP2
from pytest_egress.envoy.services import Service, ServicePort

__all__ = ["apply_mutual_tls"]

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets"
_PLAIN = {
    "name": "tlsMode-disabled",
    "match": {},
    "transport_socket": {
        "name": "envoy.transport_sockets.raw_buffer",
        "typed_config": {"@type": f"{_TYPE}.raw_buffer.v3.RawBuffer"},
    },
}
_AGENT = {
    "api_config_source": {
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}],
        "set_node_on_first_message_only": True,
    },
    "initial_fetch_timeout": "0s",
    "resource_api_version": "V3",
}


def apply_mutual_tls(
    cluster: dict[str, Any],
    options: dict[str, Any],
    service: Service,
    port: ServicePort,
    registry: Registry,
) -> None:
    """Add the TLS that Istio adds by itself; changes ``cluster`` and its HTTP ``options``.

    A MESH_EXTERNAL service never gets any. A MESH_INTERNAL one gets it per endpoint: those that
    take Istio's TLS are told by their ``tlsMode``, others stay in plain text. Where endpoints
    are not known to Envoy (resolution NONE) it is all of them or none. The certificates come
    from the agent's SDS server (``sds-grpc``).
    """
    if service.mesh_external:
        return
    if service.resolution == "NONE":
        instances = [it for it in registry.instances(service) if it.service_port == port.number]
        if not instances or any(it.tls_mode == "disabled" for it in instances):
            return
    socket = _transport_socket(service, port, registry)
    if service.dynamic_wildcard:
        options["upstream_http_protocol_options"] = {"auto_sni": True, "auto_san_validation": True}
        # Envoy's schema wants the oneof present as soon as there are any options.
        if not options.keys() & {"explicit_http_config", "use_downstream_protocol_config"}:
            options["explicit_http_config"] = {"http_protocol_options": {}}
    if service.resolution == "NONE":
        cluster["transport_socket"] = socket
    else:
        cluster["transport_socket_matches"] = [
            {"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transport_socket": socket},
            _PLAIN,
        ]


def _transport_socket(service: Service, port: ServicePort, registry: Registry) -> dict[str, Any]:
    alpn = ["istio-peer-exchange", "istio"]
    if port.protocol in HTTP2:
        alpn.append("h2")
    # A dynamic cluster takes its server name from the request instead.
    names = [] if service.dynamic_wildcard else registry.identities(service)
    validation = {"match_subject_alt_names": [{"exact": name} for name in names]} if names else {}
    context: dict[str, Any] = {
        "@type": f"{_TYPE}.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_2",
                "tls_maximum_protocol_version": "TLSv1_3",
            },
            "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": _AGENT}],
            "combined_validation_context": {
                "default_validation_context": validation,
                "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": _AGENT},
            },
            "alpn_protocols": alpn,
        },
    }
    if not service.dynamic_wildcard:
        context["sni"] = f"outbound_.{port.number}_._.{service.host}"
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
