"""TLS between a sidecar, an egress gateway and the outside, as Istio's own examples have it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict
from tests.backends.egress_gateway import HOST, documents
from tests.backends.egress_task import (
    FORMS,
    MUTUAL_SNI,
    ORIGINATION,
    gateway,
    mutual,
    pieces,
    subset,
)

NAME = "istio-egressgateway.istio-system"
HTTP_URL, TLS_URL = "http://api.weather.com/v3", "https://api.weather.com/v3"


@pytest.fixture(scope="module")
def backend() -> Iterator[LocalBackend]:
    """A backend of this module's own: its many contracts would push others' proxies out."""
    backend = LocalBackend()
    yield backend
    backend.close()


@pytest.fixture
def upstreams(backend: LocalBackend) -> Iterator[Upstreams]:
    """The outside without requests of earlier tests."""
    backend.outside.reset()
    with backend.upstreams() as scripted:
        yield scripted


def pod(backend: LocalBackend, *texts: str) -> Egress:
    """A pod under these documents."""
    return Egress(backend, loads(documents(*texts), file="egress.yaml"))


@pytest.mark.parametrize("form", FORMS)
def test_without_the_gateway(backend: LocalBackend, form: str) -> None:
    """The sidecar leads there all the same, and the gateway is what blocks."""
    url = HTTP_URL if form in {"HTTP", "origination"} else TLS_URL
    outcome = pod(backend, *pieces(FORMS[form], "gateway")).get(url)
    assert outcome.blocked
    assert outcome.reason.startswith(f"gateway {NAME}: nothing listens on port ")


@pytest.mark.parametrize(
    ("form", "rule"),
    [
        ("HTTP", "subset"),
        ("passthrough", "subset"),
        ("origination", "mutual"),
        ("mutual, SNI", "mutual"),
    ],
)
def test_without_the_subset(backend: LocalBackend, form: str, rule: str) -> None:
    """The rule leads to a subset that no DestinationRule has: the sidecar itself blocks."""
    url = HTTP_URL if form in {"HTTP", "origination"} else TLS_URL
    outcome = pod(backend, *pieces(FORMS[form], rule)).get(url)
    assert outcome.blocked
    assert outcome.hops == ()
    assert "|weather|" in outcome.reason
    assert f"declare the subset weather in a DestinationRule for {HOST}" in outcome.explain()


def test_plain_text_to_a_mutual_server(backend: LocalBackend) -> None:
    """Without the DestinationRule's TLS no filter chain takes it; the edit says what would."""
    outcome = pod(backend, *pieces(ORIGINATION, mutual=subset())).get(HTTP_URL)
    assert outcome.blocked
    assert outcome.reason == (
        f"gateway {NAME}: listener 0.0.0.0_80 has no filter chain that matches"
    )
    assert "(mode ISTIO_MUTUAL, sni api.weather.com)" in outcome.explain()


def test_the_applications_tls_at_a_mutual_server(backend: LocalBackend) -> None:
    """The gateway ends the TLS meant for the upstream, and shows the mesh's certificate."""
    outcome = pod(backend, *pieces(MUTUAL_SNI, mutual=subset())).get(TLS_URL)
    assert outcome.blocked, outcome.explain()
    assert outcome.reason.startswith(
        f"gateway {NAME}: listener 0.0.0.0_443 ends TLS itself, and no handshake was completed"
    )
    assert "(mode ISTIO_MUTUAL, sni api.weather.com)" in outcome.explain()


def test_mutual_tls_to_a_plain_server(backend: LocalBackend) -> None:
    """A handshake is no HTTP request."""
    outcome = pod(backend, *pieces(ORIGINATION, gateway=gateway(80, "HTTP"))).get(HTTP_URL)
    assert outcome.blocked, outcome.explain()
    assert outcome.reason == f"gateway {NAME}: listener 0.0.0.0_80 expects plain HTTP and got TLS"
    assert "tls: {mode: ISTIO_MUTUAL}" in outcome.explain()


def test_another_server_name(backend: LocalBackend) -> None:
    """The gateway chooses the filter chain by the SNI of the DestinationRule."""
    outcome = pod(backend, *pieces(MUTUAL_SNI, mutual=mutual(443, "other.com"))).get(TLS_URL)
    assert outcome.verdict is Verdict.BLOCKED
    assert outcome.reason == (
        f"gateway {NAME}: listener 0.0.0.0_443 has no filter chain that matches"
    )


def test_identities_are_the_mesh_s(backend: LocalBackend) -> None:
    """The sidecar refuses a gateway whose certificate does not name what its rule asks for."""
    wrong = mutual(443).replace(
        "mode: ISTIO_MUTUAL", "mode: ISTIO_MUTUAL, subjectAltNames: ['spiffe://other/ns/a/sa/b']"
    )
    outcome = pod(backend, *pieces(MUTUAL_SNI, mutual=wrong)).get(TLS_URL)
    assert outcome.blocked
    sidecar = outcome.hops[0].evidence
    assert sidecar is not None
    assert "verify_cert_failed:_SAN_matcher" in sidecar.upstream_transport_failure_reason
    right = "spiffe://cluster.local/ns/istio-system/sa/istio-egressgateway-service-account"
    assert (
        pod(backend, *pieces(MUTUAL_SNI, mutual=wrong.replace("spiffe://other/ns/a/sa/b", right)))
        .get(TLS_URL)
        .reachable
    )


def test_without_the_rule_that_originates_tls(backend: LocalBackend) -> None:
    """No server answers plain HTTP on a port of TLS: the simulated one is not believed."""
    outcome = pod(backend, *pieces(ORIGINATION, "originate")).get(HTTP_URL)
    assert outcome.unreachable
    assert outcome.reason == (
        f"gateway {NAME}: outbound|443||api.weather.com lets it through, but plain HTTP came to"
        " port 443 of api.weather.com, which is declared as one of TLS"
    )
    assert "let a DestinationRule for api.weather.com originate TLS on port 443" in (
        outcome.explain()
    )


def _files(root: Path) -> str:
    """Certificates of the sidecar's and of the gateway's, below a pod's root; their CA as well."""
    ca = trustme.CA()
    for name in ("gateway.weather.com", "client.weather.com"):
        ca.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(root / f"{name}.pem")
    ca.cert_pem.write_to_path(root / "ca.pem")
    return "caCertificates: /ca.pem"


def test_certificates_from_files(tmp_path: Path) -> None:
    """A MUTUAL server and its client prove themselves; with another CA the handshake fails."""
    ca = _files(tmp_path)
    server, client = (f"/{it}.weather.com.pem" for it in ("gateway", "client"))
    texts = pieces(
        ORIGINATION,
        gateway=gateway(
            80, "HTTPS", f"MUTUAL, serverCertificate: {server}, privateKey: {server}, {ca}"
        ),
        mutual=mutual(80, "api.weather.com").replace(
            "mode: ISTIO_MUTUAL",
            f"mode: MUTUAL, clientCertificate: {client}, privateKey: {client}, {ca}, "
            "subjectAltNames: [gateway.weather.com]",
        ),
    )
    backend = LocalBackend(pod_root=str(tmp_path))
    try:
        assert pod(backend, *texts).get(HTTP_URL).reachable
        trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
        wrong = f"{client}, caCertificates: /other.pem"
        others = [it.replace(f"{client}, {ca}", wrong) for it in texts]
        outcome = pod(backend, *others).get(HTTP_URL)
        assert outcome.blocked, outcome.explain()
        sidecar = outcome.hops[0].evidence
        assert sidecar is not None
        assert "CERTIFICATE_VERIFY_FAILED" in sidecar.upstream_transport_failure_reason
    finally:
        backend.close()
