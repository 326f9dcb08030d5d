"""``tls``: TLS that the proxy originates, as a DestinationRule asks for it."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.destination_rule.resource import ClientTls
from pytest_egress.envoy.cluster_draft import ClusterContext, ClusterDraft
from pytest_egress.envoy.mutual_tls import istio_context, sds_secret, tls_parameters, tls_socket

__all__ = ["apply_client_tls"]

_OPEN_TO_ALL = "configmap://"
_KEPT_PREFIXES = (_OPEN_TO_ALL, "kubernetes://", "kubernetes-gateway://")
_CA_SUFFIX = "-cacert"


def apply_client_tls(draft: ClusterDraft, tls: ClientTls, context: ClusterContext) -> None:
    """Add the transport socket of a rule's ``tls`` to a cluster."""
    if tls.mode == "DISABLE" or _credential_is_out_of_reach(draft, tls, context):
        return
    if tls.mode == "ISTIO_MUTUAL":
        names = tls.subject_alt_names or _service_names(draft, context)
        built = istio_context(draft, names, tls.sni)
        if draft.dynamic:
            _take_names_from_requests(draft, tls)
    else:
        _take_names_from_requests(draft, tls)
        built = _client_context(draft, tls, context)
    draft.cluster["transport_socket"] = tls_socket(built)


def _credential_is_out_of_reach(
    draft: ClusterDraft, tls: ClientTls, context: ClusterContext
) -> bool:
    """Whether the sidecar sends plain text although the rule names a Secret.

    Istiod gives Secrets to sidecars only where the rule says which workloads it is for.
    """
    if not tls.credential_name or tls.credential_name.startswith(_OPEN_TO_ALL):
        return False
    selects = draft.rule is not None and draft.rule.workload_selector is not None
    return not context.router and not selects and tls.mode != "ISTIO_MUTUAL"


def _service_names(draft: ClusterDraft, context: ClusterContext) -> tuple[str, ...]:
    """``subjectAltNames`` of the ServiceEntry and the accounts of its endpoints."""
    return () if draft.dynamic else tuple(context.registry.identities(draft.service))


def _take_names_from_requests(draft: ClusterDraft, tls: ClientTls) -> None:
    """Without ``sni`` the name of each HTTP request is asked for and, without names, verified.

    It acts on HTTP alone: a TCP connection then has no server name, and no name is verified.
    """
    auto_sni = not tls.sni
    verify = draft.dynamic or (auto_sni and not tls.subject_alt_names)
    verify = verify and not tls.insecure_skip_verify
    if draft.dynamic and not (auto_sni and verify):
        kind = draft.cluster["cluster_type"]
        config = {**kind["typed_config"], "allow_insecure_cluster_options": True}
        draft.cluster["cluster_type"] = {**kind, "typed_config": config}
    if auto_sni or verify:
        draft.options["upstream_http_protocol_options"] = {
            **({"auto_sni": True} if auto_sni else {}),
            **({"auto_san_validation": True} if verify else {}),
        }


def _client_context(draft: ClusterDraft, tls: ClientTls, context: ClusterContext) -> dict[str, Any]:
    names = tls.subject_alt_names
    if not names and not draft.service.of_kubernetes:
        names = _service_names(draft, context)
    common: dict[str, Any] = {"tls_params": _parameters(context)}
    mutual = tls.mode == "MUTUAL"
    if tls.credential_name:
        if mutual:
            secret = _credential(tls.credential_name)
            common["tls_certificate_sds_secret_configs"] = [secret]
        authority = _credential(tls.credential_name + _CA_SUFFIX)
    else:
        if mutual:
            files = f"file-cert:{tls.client_certificate}~{tls.private_key}"
            common["tls_certificate_sds_secret_configs"] = [sds_secret(files)]
        authority = sds_secret(f"file-root:{tls.ca_certificates or 'system'}")
    if not tls.insecure_skip_verify:
        validation: dict[str, Any] = {}
        if names:
            validation["match_subject_alt_names"] = [{"exact": name} for name in names]
        if tls.ca_crl and not tls.credential_name:
            validation["crl"] = {"filename": tls.ca_crl}
        common["combined_validation_context"] = {
            "default_validation_context": validation,
            "validation_context_sds_secret_config": authority,
        }
    elif not tls.credential_name:
        common["validation_context"] = {}
    if draft.speaks_http2:
        common["alpn_protocols"] = ["h2"]
    built: dict[str, Any] = {"common_tls_context": common}
    if tls.sni:
        built["sni"] = tls.sni
    return built


def _parameters(context: ClusterContext) -> dict[str, Any]:
    """The TLS versions, and what ``meshConfig.tlsDefaults`` says of curves and ciphers."""
    defaults = context.mesh.tls_defaults
    parameters: dict[str, Any] = {**tls_parameters()}
    if defaults is not None and defaults.ecdh_curves:
        parameters["ecdh_curves"] = list(defaults.ecdh_curves)
    if defaults is not None and defaults.cipher_suites:
        parameters["cipher_suites"] = list(defaults.cipher_suites)
    return parameters


def _credential(name: str) -> dict[str, Any]:
    """A secret that istiod itself serves, from a Kubernetes Secret or ConfigMap."""
    if name in {"builtin://", "builtin://-cacert"}:
        return sds_secret("ROOTCA" if name.endswith(_CA_SUFFIX) else "default")
    name = name.removeprefix("sds://")
    if name.startswith("builtin://"):
        name = "default"
    elif name.startswith("invalid://"):
        name = "invalid://"
    elif not name.startswith(_KEPT_PREFIXES):
        name = f"kubernetes://{name}"
    return {"name": name, "sds_config": {"ads": {}, "resource_api_version": "V3"}}
