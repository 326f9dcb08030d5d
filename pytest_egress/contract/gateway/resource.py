"""The typed Gateway, as ``networking/v1alpha3/gateway.proto`` defines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pytest_egress.contract.resources import Resource

__all__ = ["Gateway", "Server", "ServerPort", "ServerTls", "TlsCertificate"]

_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
TlsVersion = Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]


@dataclass(frozen=True, slots=True)
class ServerPort:
    """``Port``; ``protocol`` as written."""

    number: int
    protocol: str
    name: str
    target_port: int = 0


@dataclass(frozen=True, slots=True)
class TlsCertificate:
    """``ServerTLSSettings.TLSCertificate``."""

    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """``ServerTLSSettings``."""

    mode: Literal[
        "PASSTHROUGH",
        "SIMPLE",
        "MUTUAL",
        "AUTO_PASSTHROUGH",
        "ISTIO_MUTUAL",
        "OPTIONAL_MUTUAL",
    ] = "PASSTHROUGH"
    https_redirect: bool = False
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    credential_names: tuple[str, ...] = ()
    ca_cert_credential_name: str = ""
    tls_certificates: tuple[TlsCertificate, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    min_protocol_version: TlsVersion = "TLS_AUTO"
    max_protocol_version: TlsVersion = "TLS_AUTO"
    cipher_suites: tuple[str, ...] = ()
    insecure_skip_verify: bool | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """``Server``; hosts are ``namespace/dnsName`` or ``dnsName``."""

    port: ServerPort
    hosts: tuple[str, ...] = ()
    bind: str = ""
    tls: ServerTls | None = None
    default_endpoint: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Gateway(Resource):
    """``networking.istio.io`` Gateway; an empty selector selects every gateway workload."""

    servers: tuple[Server, ...] = ()
    selector: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
