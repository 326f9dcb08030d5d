"""TLS that the proxy originates, seen from the upstream's side: plain in, TLS out."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.observed import document

from .conftest import Pod
from .contracts import HOST, URL, rule

#: As in Istio's own task: the application speaks HTTP to port 80, the upstream TLS on port 443.
ENTRY = {
    "hosts": [HOST],
    "location": "MESH_EXTERNAL",
    "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 443}],
    "resolution": "DNS",
}


def secure(*, promised: bool = True, **tls: Any) -> tuple[str, str]:
    """The entry, and a rule that originates TLS where that is promised."""
    declared = document("ServiceEntry", "api", "default", ENTRY)
    if not promised:
        return declared, rule()
    return declared, rule(trafficPolicy={"tls": {"mode": "SIMPLE", **tls}})


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """The client's certificate and key, as a rule names them."""
    leaf = trustme.CA().issue_cert("client.example", common_name="payments")
    chain, key = tmp_path / "client.pem", tmp_path / "client.key"
    leaf.cert_chain_pems[0].write_to_path(chain)
    leaf.private_key_pem.write_to_path(key)
    return {"clientCertificate": str(chain), "privateKey": str(key)}


def test_plain_in_tls_out(pod: Pod, promised: bool) -> None:
    """The client speaks HTTP in plain text; what arrives is TLS, with the host as server name."""
    egress = pod(*secure(promised=promised))
    outcome = egress.get(URL)
    assert outcome.reachable, outcome.explain()
    assert outcome.tls is None
    [request] = outcome.requests
    assert (request.tls, request.port) == (promised, 443)
    assert request.sni == (HOST if promised else "")
    assert outcome.upstream.port == 443


def test_server_name(pod: Pod, promised: bool) -> None:
    """``sni`` replaces the server name."""
    sni: dict[str, Any] = {"sni": "edge.example.net"} if promised else {}
    [request] = pod(*secure(**sni)).get(URL).requests
    assert request.sni == ("edge.example.net" if promised else HOST)
    assert request.host == HOST


def test_names_that_the_certificate_must_have(pod: Pod, promised: bool) -> None:
    """``subjectAltNames`` are looked for in the upstream's certificate."""
    wanted: dict[str, Any] = {"subjectAltNames": ["backend.example.net"]} if promised else {}
    egress = pod(*secure(**wanted))
    outcome = egress.get(URL)
    assert outcome.unreachable is promised, outcome.explain()
    assert ("UF" in outcome.flags) is promised
    assert ("CERTIFICATE_VERIFY_FAILED" in outcome.reason) is promised
    egress.upstream(HOST).certificate(names=["backend.example.net"])
    assert egress.get(URL).reachable is promised


@pytest.mark.parametrize("kind", ["wrong-name", "unknown-ca", "expired"])
def test_certificates_are_verified(pod: Pod, promised: bool, kind: str) -> None:
    """A certificate that is wrong fails, unless the rule says not to look."""
    egress = pod(*secure(**({} if promised else {"insecureSkipVerify": True})))
    egress.upstream(HOST).certificate(kind)
    outcome = egress.get(URL)
    assert outcome.unreachable is promised, outcome.explain()
    assert ("CERTIFICATE_VERIFY_FAILED" in outcome.reason) is promised


def test_upstream_that_speaks_no_tls(pod: Pod, promised: bool, httpserver: Any) -> None:
    """A plain server behind the name is told as such."""
    httpserver.expect_request("/").respond_with_data("plain")
    egress = pod(*secure(promised=promised))
    egress.upstream(HOST).to(httpserver)
    outcome = egress.get(URL)
    assert outcome.unreachable is promised, outcome.explain()
    assert ("TLS" in outcome.reason) is promised


def test_client_certificate(pod: Pod, promised: bool, certificate: dict[str, str]) -> None:
    """MUTUAL presents the certificate that the rule names."""
    mutual: dict[str, Any] = {"mode": "MUTUAL", **certificate} if promised else {}
    egress = pod(*secure(**mutual))
    outcome = egress.get(URL)
    assert outcome.reachable, outcome.explain()
    [request] = outcome.requests
    presented = request.client_certificate
    assert (presented is not None) is promised
    if presented is not None:
        assert presented.sans == ("client.example",)
        assert "CN=payments" in presented.subject
        assert len(presented.fingerprint) == 64


def test_required_client_certificate(pod: Pod, promised: bool, certificate: dict[str, str]) -> None:
    """An upstream that requires one refuses a proxy that has none."""
    mutual: dict[str, Any] = {"mode": "MUTUAL", **certificate} if promised else {}
    egress = pod(*secure(**mutual))
    egress.upstream(HOST).client_certificate(required=True)
    outcome = egress.get(URL)
    assert outcome.reachable is promised, outcome.explain()
    assert ("PEER_DID_NOT_RETURN_A_CERTIFICATE" in outcome.reason) is not promised


def test_reason_noted_after_the_connection_has_ended(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy tells the end of a connection before the upstream has noted why it ended it."""
    handshake = ssl.SSLSocket.do_handshake

    def slow_to_tell(sock: ssl.SSLSocket, block: bool = False) -> None:
        try:
            handshake(sock, block)
        except ssl.SSLError:
            time.sleep(0.1)
            raise

    egress = pod(*secure())
    egress.upstream(HOST).client_certificate(required=True)
    monkeypatch.setattr(ssl.SSLSocket, "do_handshake", slow_to_tell)
    outcome = egress.get(URL)
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in outcome.reason
