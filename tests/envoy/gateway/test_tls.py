"""The TLS of a gateway's servers: where certificates come from, and what is asked of clients."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.gateway.resource import TlsCertificate
from pytest_egress.envoy.gateway.merge import GatewayServer
from pytest_egress.envoy.gateway.tls import transport_socket
from tests.envoy.gateway.build import gateway, server

FILES = {"server_certificate": "/c/s.pem", "private_key": "/c/k.pem"}


def context(port: str = "443/HTTPS", **settings: Any) -> dict[str, Any]:
    """The ``DownstreamTlsContext`` of a server."""
    owner = gateway(server(port, **settings))
    built = transport_socket(GatewayServer(owner.servers[0], owner, 0, ("*",)))
    assert built is not None
    assert built["name"] == "envoy.transport_sockets.tls"
    typed: dict[str, Any] = built["typed_config"]
    return typed


def certificates(config: dict[str, Any]) -> list[str]:
    """The names of the secrets that hold the server's certificates."""
    common = config["common_tls_context"]
    return [it["name"] for it in common["tls_certificate_sds_secret_configs"]]


@pytest.mark.parametrize(
    ("port", "mode"),
    [("443/TLS", "PASSTHROUGH"), ("15443/TLS", "AUTO_PASSTHROUGH"), ("80/HTTP", "SIMPLE")],
)
def test_no_termination(port: str, mode: str) -> None:
    """TLS that passes through, and an HTTP server's redirect, are not decrypted."""
    owner = gateway(server(port, tls=mode))
    assert transport_socket(GatewayServer(owner.servers[0], owner, 0, ("*",))) is None


def test_simple_with_files() -> None:
    """The agent reads the files; no client certificate is asked for."""
    config = context(tls="SIMPLE", **FILES)
    assert certificates(config) == ["file-cert:/c/s.pem~/c/k.pem"]
    assert config["require_client_certificate"] is False
    assert "combined_validation_context" not in config["common_tls_context"]
    assert config["common_tls_context"]["alpn_protocols"] == ["h2", "http/1.1"]


def test_several_certificates() -> None:
    """``tlsCertificates`` are all shown."""
    pairs = tuple(TlsCertificate(f"/{it}.pem", f"/{it}.key") for it in "ab")
    config = context(tls="SIMPLE", tls_certificates=pairs)
    assert certificates(config) == ["file-cert:/a.pem~/a.key", "file-cert:/b.pem~/b.key"]


@pytest.mark.parametrize(("mode", "required"), [("MUTUAL", True), ("OPTIONAL_MUTUAL", False)])
def test_client_certificates(mode: str, required: bool) -> None:
    """Clients are verified against the CA, by name and revocation list where these are given."""
    config = context(
        tls=mode, ca_certificates="/c/ca.pem", ca_crl="/crl", subject_alt_names=("a",), **FILES
    )
    assert config["require_client_certificate"] is required
    validation = config["common_tls_context"]["combined_validation_context"]
    assert validation["default_validation_context"] == {
        "match_subject_alt_names": [{"exact": "a"}],
        "crl": {"filename": "/crl"},
    }
    assert validation["validation_context_sds_secret_config"]["name"] == "file-root:/c/ca.pem"


@pytest.mark.parametrize(
    ("port", "alpn"),
    [
        ("443/HTTPS", ["h2", "http/1.1"]),
        ("443/TLS", ["istio-peer-exchange", "h2", "http/1.1"]),
    ],
)
def test_istio_mutual(port: str, alpn: list[str]) -> None:
    """The mesh's own certificates on both sides; versions and ciphers are Envoy's."""
    config = context(port, tls="ISTIO_MUTUAL", min_protocol_version="TLSV1_3")
    assert certificates(config) == ["default"]
    common = config["common_tls_context"]
    secret = common["combined_validation_context"]["validation_context_sds_secret_config"]
    assert secret["name"] == "ROOTCA"
    assert common["alpn_protocols"] == alpn
    assert "tls_params" not in common
    assert config["require_client_certificate"] is True


def test_credentials() -> None:
    """Secrets of the cluster come from istiod, the CA under a name derived from the first."""
    config = context(tls="MUTUAL", credential_names=("rsa", "kubernetes-gateway://ns/ecdsa"))
    assert certificates(config) == ["kubernetes://rsa", "kubernetes-gateway://ns/ecdsa"]
    validation = config["common_tls_context"]["combined_validation_context"]
    secret = validation["validation_context_sds_secret_config"]
    assert secret == {
        "name": "kubernetes://rsa-cacert",
        "sds_config": {"ads": {}, "resource_api_version": "V3"},
    }
    named = context(tls="SIMPLE", credential_name="c", subject_alt_names=("x",))
    assert named["common_tls_context"]["validation_context"] == {
        "match_subject_alt_names": [{"exact": "x"}]
    }


def test_versions_and_ciphers() -> None:
    """Unknown and repeated cipher suites are left out."""
    config = context(
        tls="SIMPLE",
        min_protocol_version="TLSV1_2",
        max_protocol_version="TLSV1_3",
        cipher_suites=("AES128-SHA", "nonsense", "AES128-SHA"),
        **FILES,
    )
    assert config["common_tls_context"]["tls_params"] == {
        "tls_minimum_protocol_version": "TLSv1_2",
        "tls_maximum_protocol_version": "TLSv1_3",
        "cipher_suites": ["AES128-SHA"],
    }
