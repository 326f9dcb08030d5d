"""Istio's mutual TLS: added by itself towards MESH_INTERNAL services, or by ``ISTIO_MUTUAL``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_egress.envoy.cluster_draft import ClusterContext, ClusterDraft

if TYPE_CHECKING:
    from pytest_egress.contract.destination_rule.resource import TrafficPolicy

__all__ = ["apply_automatic_tls", "istio_context", "sds_secret", "tls_parameters", "tls_socket"]

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
    "resource_api_version": "V3",
}
_WORKLOAD = {**_AGENT, "initial_fetch_timeout": "0s"}


def apply_automatic_tls(
    draft: ClusterDraft, declared: TrafficPolicy | None, context: ClusterContext
) -> None:
    """Add the TLS that Istio adds to a MESH_INTERNAL service without ``tls`` of its own.

    It is decided per endpoint: those that take Istio's TLS are told by their ``tlsMode``, others
    stay in plain text. Where endpoints are not known to Envoy (resolution NONE, or ``declared``
    to pass through) it is all of them or none.
    """
    if _passes_through(draft, declared):
        number = draft.port.number
        instances = context.registry.instances(draft.service)
        modes = [it.tls_mode for it in instances if it.service_port == number]
        if not modes or "disabled" in modes:
            return
    names = () if draft.dynamic else context.registry.identities(draft.service)
    socket = tls_socket(istio_context(draft, names))
    if draft.dynamic:
        upstream = draft.options.setdefault("upstream_http_protocol_options", {})
        upstream |= {"auto_sni": True, "auto_san_validation": True}
    if draft.cluster.get("type") == "ORIGINAL_DST":
        draft.cluster["transport_socket"] = socket
    else:
        draft.cluster["transport_socket_matches"] = [
            {"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transport_socket": socket},
            _PLAIN,
        ]


def istio_context(draft: ClusterDraft, names: Sequence[str], sni: str = "") -> dict[str, Any]:
    """The ``UpstreamTlsContext`` with the workload's own certificate.

    ``names`` are those that the certificate of the other side may carry; none means any.
    """
    alpn = ["istio-peer-exchange", "istio"]
    if draft.speaks_http2:
        alpn.append("h2")
    validation = {"match_subject_alt_names": [{"exact": name} for name in names]} if names else {}
    built: dict[str, Any] = {
        "common_tls_context": {
            "tls_params": tls_parameters(),
            "tls_certificate_sds_secret_configs": [sds_secret("default")],
            "combined_validation_context": {
                "default_validation_context": validation,
                "validation_context_sds_secret_config": sds_secret("ROOTCA"),
            },
            "alpn_protocols": alpn,
        },
    }
    if not sni and not draft.dynamic:
        # A dynamic cluster takes its server name from the request instead.
        sni = f"outbound_.{draft.port.number}_.{draft.subset}_.{draft.service.host}"
    if sni:
        built["sni"] = sni
    return built


def sds_secret(name: str) -> dict[str, Any]:
    """A secret that the agent serves: the workload's own, or files of the pod by name."""
    workload = name in {"default", "ROOTCA"}
    return {"name": name, "sds_config": _WORKLOAD if workload else _AGENT}


def tls_parameters() -> dict[str, str]:
    """The TLS versions that Istio speaks."""
    return {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}


def tls_socket(context: dict[str, Any]) -> dict[str, Any]:
    """The transport socket of an ``UpstreamTlsContext``."""
    config = {"@type": f"{_TYPE}.tls.v3.UpstreamTlsContext", **context}
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def _passes_through(draft: ClusterDraft, declared: TrafficPolicy | None) -> bool:
    if declared is None:
        return draft.service.resolution == "NONE"
    from pytest_egress.envoy.traffic_policy.effective import passes_through

    return draft.service.resolution == "NONE" or passes_through(declared)
