"""The TLS that a gateway's server speaks: ``DownstreamTlsContext`` as istiod writes it.

Certificates come from secret servers: the agent's (``sds-grpc``) for files of the pod and for the
mesh's own, istiod's (ADS) for ``credentialName``.
"""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.gateway.resource import ServerTls
from pytest_egress.contract.server_tls import is_cipher
from pytest_egress.envoy.gateway.merge import GatewayServer
from pytest_egress.envoy.protocols import HTTP

__all__ = ["transport_socket"]

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_AGENT: Json = {
    "api_config_source": {
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}],
        "set_node_on_first_message_only": True,
    },
    "resource_api_version": "V3",
}
_ISTIOD: Json = {"ads": {}, "resource_api_version": "V3"}
_MESH = {"default", "ROOTCA"}
_VERSIONS = {
    "TLSV1_0": "TLSv1_0",
    "TLSV1_1": "TLSv1_1",
    "TLSV1_2": "TLSv1_2",
    "TLSV1_3": "TLSv1_3",
}
_TYPED = ("kubernetes://", "kubernetes-gateway://", "configmap://")
_ALPN = ["h2", "http/1.1"]
_VERIFIES = ("MUTUAL", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL")


def transport_socket(server: GatewayServer) -> Json | None:
    """The transport socket of a server's filter chain; None where TLS is not terminated."""
    tls = server.server.tls
    if tls is None or server.passes_through or server.protocol in HTTP:
        return None
    common: Json = {}
    if tls.mode == "ISTIO_MUTUAL":
        _from_agent(common, "default", "ROOTCA", tls)
    elif tls.credential_name or tls.credential_names:
        _from_istiod(common, tls)
    else:
        _from_agent(common, _files(tls.server_certificate, tls.private_key), _root(tls), tls)
    if tls.mode != "ISTIO_MUTUAL":
        parameters = _parameters(tls)
        if parameters:
            common["tls_params"] = parameters
    exchanges = tls.mode == "ISTIO_MUTUAL" and server.protocol != "HTTPS"
    common["alpn_protocols"] = ["istio-peer-exchange", *_ALPN] if exchanges else _ALPN
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _TYPE,
            "common_tls_context": common,
            "require_client_certificate": tls.mode in {"MUTUAL", "ISTIO_MUTUAL"},
        },
    }


def _from_agent(common: Json, certificate: str, root: str, tls: ServerTls) -> None:
    """Files of the gateway's pod, or the mesh's own certificates."""
    names = [_files(it.server_certificate, it.private_key) for it in tls.tls_certificates] or [
        certificate
    ]
    common["tls_certificate_sds_secret_configs"] = [_agent_secret(name) for name in names]
    if tls.mode not in _VERIFIES:
        return
    validation = _names(tls)
    if tls.ca_crl:
        validation["crl"] = {"filename": tls.ca_crl}
    if tls.insecure_skip_verify:
        validation["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
    common["combined_validation_context"] = {
        "default_validation_context": validation,
        "validation_context_sds_secret_config": _agent_secret(root),
    }


def _from_istiod(common: Json, tls: ServerTls) -> None:
    """Secrets of the cluster."""
    names = tls.credential_names or (tls.credential_name,)
    common["tls_certificate_sds_secret_configs"] = [_secret(name) for name in names]
    if tls.mode in {"MUTUAL", "OPTIONAL_MUTUAL"}:
        validation = _names(tls)
        if tls.verify_certificate_spki:
            validation["verify_certificate_spki"] = list(tls.verify_certificate_spki)
        if tls.verify_certificate_hash:
            validation["verify_certificate_hash"] = list(tls.verify_certificate_hash)
        if tls.insecure_skip_verify:
            validation["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
        common["combined_validation_context"] = {
            "default_validation_context": validation,
            "validation_context_sds_secret_config": _secret(
                tls.ca_cert_credential_name or f"{names[0]}-cacert"
            ),
        }
    elif tls.subject_alt_names:
        common["validation_context"] = _names(tls)


def _names(tls: ServerTls) -> Json:
    if not tls.subject_alt_names:
        return {}
    return {"match_subject_alt_names": [{"exact": name} for name in tls.subject_alt_names]}


def _parameters(tls: ServerTls) -> Json:
    parameters: Json = {}
    if tls.min_protocol_version != "TLS_AUTO":
        parameters["tls_minimum_protocol_version"] = _VERSIONS[tls.min_protocol_version]
    suites = [it for it in dict.fromkeys(tls.cipher_suites) if is_cipher(it)]
    if suites:
        parameters["cipher_suites"] = suites
    if tls.max_protocol_version != "TLS_AUTO":
        parameters["tls_maximum_protocol_version"] = _VERSIONS[tls.max_protocol_version]
    return parameters


def _files(certificate: str, key: str) -> str:
    return f"file-cert:{certificate}~{key}" if certificate and key else "default"


def _root(tls: ServerTls) -> str:
    return f"file-root:{tls.ca_certificates}" if tls.ca_certificates else "ROOTCA"


def _agent_secret(name: str) -> Json:
    source = {**_AGENT, "initial_fetch_timeout": "0s"} if name in _MESH else _AGENT
    return {"name": name, "sds_config": source}


def _secret(name: str) -> Json:
    """A Secret by ``credentialName``; a name with a scheme stays as it is."""
    if name.startswith("builtin://"):
        return _agent_secret("ROOTCA" if name.endswith("-cacert") else "default")
    typed = name.startswith(_TYPED)
    return {"name": name if typed else f"kubernetes://{name}", "sds_config": _ISTIOD}
