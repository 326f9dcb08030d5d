"""Checked plain values to the typed Gateway."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from pytest_egress.contract.gateway.resource import (
    Gateway,
    Server,
    ServerPort,
    ServerTls,
    TlsCertificate,
)
from pytest_egress.contract.report import Report
from pytest_egress.contract.resources import Locate, Metadata

__all__ = ["build_gateway"]


def build_gateway(
    metadata: Metadata, spec: dict[str, Any], _status: Any, locate: Locate, _report: Report
) -> Gateway:
    """A Gateway from a spec without errors."""
    return Gateway(
        metadata,
        servers=tuple(_server(server) for server in spec.get("servers", ())),
        selector=MappingProxyType(spec.get("selector", {})),
        locate=locate,
    )


def _server(values: dict[str, Any]) -> Server:
    port = values["port"]
    tls = values.get("tls")
    return Server(
        ServerPort(port["number"], port["protocol"], port["name"], port.get("targetPort", 0)),
        hosts=tuple(values["hosts"]),
        bind=values.get("bind", ""),
        tls=None if tls is None else _tls(tls),
        default_endpoint=values.get("defaultEndpoint", ""),
        name=values.get("name", ""),
    )


def _tls(values: dict[str, Any]) -> ServerTls:
    return ServerTls(
        mode=values.get("mode", "PASSTHROUGH"),
        https_redirect=values.get("httpsRedirect", False),
        server_certificate=values.get("serverCertificate", ""),
        private_key=values.get("privateKey", ""),
        ca_certificates=values.get("caCertificates", ""),
        ca_crl=values.get("caCrl", ""),
        credential_name=values.get("credentialName", ""),
        credential_names=tuple(values.get("credentialNames", ())),
        ca_cert_credential_name=values.get("caCertCredentialName", ""),
        tls_certificates=tuple(
            TlsCertificate(
                it.get("serverCertificate", ""),
                it.get("privateKey", ""),
                it.get("caCertificates", ""),
            )
            for it in values.get("tlsCertificates", ())
        ),
        subject_alt_names=tuple(values.get("subjectAltNames", ())),
        verify_certificate_spki=tuple(values.get("verifyCertificateSpki", ())),
        verify_certificate_hash=tuple(values.get("verifyCertificateHash", ())),
        min_protocol_version=values.get("minProtocolVersion", "TLS_AUTO"),
        max_protocol_version=values.get("maxProtocolVersion", "TLS_AUTO"),
        cipher_suites=tuple(values.get("cipherSuites", ())),
        insecure_skip_verify=values.get("insecureSkipVerify"),
    )
