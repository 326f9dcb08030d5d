"""What a gateway of ours cannot give: told with the field, its place and who can."""

from __future__ import annotations

import pytest

from pytest_egress.contract import loads, unsupported
from tests.contract.kubernetes.documents import ENTRY, SERVICE, documents

GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress}
spec:
  selector: {istio: egressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [api.weather.com]
"""


def told(server: str, *others: str) -> list[str]:
    """The problems of a Gateway whose only server goes on like this."""
    text = documents(GATEWAY + f"    {server}\n", ENTRY, *others)
    return [str(it) for it in unsupported(loads(text, file="egress.yaml"))]


@pytest.mark.parametrize(
    ("server", "place", "message"),
    [
        (
            "tls: {mode: SIMPLE, credentialName: web}",
            "egress.yaml:9:41",
            'spec.servers[0].tls.credentialName: "web" is a Secret of the cluster',
        ),
        (
            "tls: {mode: SIMPLE, credentialNames: [rsa, ecdsa]}",
            "egress.yaml:9:48",
            'spec.servers[0].tls.credentialNames[1]: "ecdsa" is a Secret of the cluster',
        ),
        (
            "tls: {mode: AUTO_PASSTHROUGH}",
            "egress.yaml:9:17",
            "spec.servers[0].tls.mode: AUTO_PASSTHROUGH serves other clusters of the mesh",
        ),
    ],
)
def test_needs_a_cluster(server: str, place: str, message: str) -> None:
    """One error for each field."""
    found = told(server, SERVICE)
    assert found[-1] == (
        f"{place}: error: {message}: the embedded Envoy cannot enforce it, only a cluster can "
        "(--egress-backend=kind, cluster) "
        "[unsupported-field]"
    )


def test_other_pods_gateways_are_left_alone() -> None:
    """An ingress gateway's Secret is no matter of a contract that leads to no such gateway."""
    assert told("tls: {mode: SIMPLE, credentialName: web}") == []


def test_a_credential_for_a_gateway_needs_a_cluster() -> None:
    """A sidecar takes no Secret and speaks plain text; a gateway would take it."""
    rule = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: origination}
spec:
  host: api.weather.com
  trafficPolicy: {tls: {mode: MUTUAL, credentialName: client}}
"""
    assert told("tls: {mode: PASSTHROUGH}", rule) == []
    (problem,) = told("tls: {mode: PASSTHROUGH}", rule, SERVICE)
    assert "tls.credentialName: the certificates are in the Secret" in problem


def test_supported_modes() -> None:
    """Passing through, the mesh's own certificates, and files."""
    files = "serverCertificate: /a.pem, privateKey: /a.key"
    for mode in ("PASSTHROUGH", "ISTIO_MUTUAL", f"SIMPLE, {files}"):
        assert told(f"tls: {{mode: {mode}}}", SERVICE) == []
