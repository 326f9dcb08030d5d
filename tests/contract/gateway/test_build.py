"""A Gateway with every field of the API, as a typed resource."""

from __future__ import annotations

from pytest_egress.contract import loads
from pytest_egress.contract.gateway.resource import (
    Server,
    ServerPort,
    ServerTls,
    TlsCertificate,
)

EVERYTHING = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress, namespace: shop}
spec:
  selector: {istio: egressgateway}
  servers:
  - name: first
    port: {number: 443, name: https, protocol: HTTPS}
    bind: 192.0.2.1
    hosts: [./api.weather.example, "*"]
    defaultEndpoint: unix:///x
    tls:
      mode: MUTUAL
      caCertificates: /ca.pem
      tlsCertificates:
      - {serverCertificate: /a.pem, privateKey: /a.key, caCertificates: /a-ca.pem}
      subjectAltNames: [a.example]
      verifyCertificateSpki: [s]
      verifyCertificateHash: [h]
      minProtocolVersion: TLSV1_2
      maxProtocolVersion: TLSV1_3
      cipherSuites: [AES128-SHA]
      caCertCredentialName: ca
      insecureSkipVerify: null
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*.weather.example"]
    tls: {httpsRedirect: true}
"""


def test_every_field_is_kept() -> None:
    """As written; an absent mode is PASSTHROUGH."""
    (gateway,) = loads(EVERYTHING).gateways
    first = Server(
        ServerPort(443, "HTTPS", "https"),
        ("./api.weather.example", "*"),
        "192.0.2.1",
        ServerTls(
            "MUTUAL",
            ca_certificates="/ca.pem",
            ca_cert_credential_name="ca",
            tls_certificates=(TlsCertificate("/a.pem", "/a.key", "/a-ca.pem"),),
            subject_alt_names=("a.example",),
            verify_certificate_spki=("s",),
            verify_certificate_hash=("h",),
            min_protocol_version="TLSV1_2",
            max_protocol_version="TLSV1_3",
            cipher_suites=("AES128-SHA",),
        ),
        "unix:///x",
        "first",
    )
    redirect = ServerTls("PASSTHROUGH", https_redirect=True)
    second = Server(ServerPort(80, "HTTP", "http"), ("*.weather.example",), tls=redirect)
    assert gateway.servers == (first, second)
    assert gateway.selector == {"istio": "egressgateway"}
    assert str(gateway.at("spec", "servers", 1, "tls")) == "<string>:27:10"


def test_the_gateway_api_is_another_group() -> None:
    """Kubernetes' own Gateway is left alone."""
    text = EVERYTHING.replace("networking.istio.io/v1", "gateway.networking.k8s.io/v1")
    contract = loads(text)
    assert contract.gateways == ()
    assert contract.other_kinds == {"Gateway of gateway.networking.k8s.io": 1}
