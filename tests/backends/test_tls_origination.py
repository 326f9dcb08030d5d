"""TLS that the proxy originates, seen from both of its ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import ContractError
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict
from tests.observed import destination_rule, documents, entry

HOST = "tls.example.com"
PORTS = [
    {"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 443},
    {"number": 5432, "name": "tcp", "protocol": "TCP"},
]


def under(backend: LocalBackend, tls: dict[str, Any], **policy: Any) -> Egress:
    """A pod under a rule with these TLS settings."""
    text = documents(
        entry("tls", HOST, {}).replace("ports: []", f"ports: {PORTS}"),
        destination_rule("tls", HOST, trafficPolicy={"tls": tls, **policy}),
    )
    return Egress(backend, loads(text, file="egress.yaml"))


SIMPLE = {"mode": "SIMPLE"}
NAMED = {"mode": "SIMPLE", "sni": HOST, "subjectAltNames": [HOST]}
BY_SNI = {"mode": "SIMPLE", "sni": HOST}
BLIND = {"mode": "SIMPLE", "insecureSkipVerify": True}


def test_plain_in_tls_out(backend: LocalBackend, upstreams: Upstreams) -> None:
    """The application speaks HTTP, the upstream hears TLS with the request's name."""
    outcome = under(backend, SIMPLE).probe(f"http://{HOST}/v1")
    assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
    (request,) = upstreams[HOST].requests
    assert (request.tls, request.sni, request.path, request.port) == (True, HOST, "/v1", 443)


def test_without_a_rule_nothing_is_encrypted(backend: LocalBackend, upstreams: Upstreams) -> None:
    """The same entry alone, or with TLS disabled."""
    for tls in ({"mode": "DISABLE"}, None):
        pod = under(backend, tls) if tls else Egress(backend, loads(entry("a", HOST, {80: "HTTP"})))
        assert pod.probe(f"http://{HOST}").verdict is Verdict.REACHABLE
        assert not upstreams[HOST].requests[-1].tls


def test_server_name_of_the_rule(backend: LocalBackend, upstreams: Upstreams) -> None:
    """A fixed ``sni`` is sent whatever host the request names."""
    tls = {"mode": "SIMPLE", "sni": "other.example.com"}
    assert under(backend, tls).probe(f"http://{HOST}").verdict is Verdict.REACHABLE
    assert upstreams[HOST].requests[0].sni == "other.example.com"


def test_tcp_has_no_server_name(backend: LocalBackend) -> None:
    """What is not HTTP names nobody unless the rule does."""
    for tls, sni in ((SIMPLE, ""), (BY_SNI, HOST)):
        backend.outside.reset()
        outcome = under(backend, tls).probe(f"tcp://{HOST}:5432")
        assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
        connection = backend.outside.connections[-1]
        assert (connection.tls, connection.sni) == (True, sni)


@pytest.mark.parametrize(
    ("certificate", "tls", "failure"),
    [
        ("valid", SIMPLE, ""),
        ("valid", NAMED, ""),
        ("valid", BY_SNI, ""),
        ("valid", {**BY_SNI, "subjectAltNames": ["other.example.com"]}, "SAN"),
        ("wrong-name", SIMPLE, "SAN"),
        ("wrong-name", NAMED, "SAN"),
        # A server name and no names to verify: any certificate of the CA will do.
        ("wrong-name", BY_SNI, ""),
        ("unknown-ca", SIMPLE, "unable_to_get_local_issuer_certificate"),
        ("unknown-ca", BY_SNI, "unable_to_get_local_issuer_certificate"),
        ("expired", SIMPLE, "certificate_has_expired"),
        ("wrong-name", BLIND, ""),
        ("unknown-ca", BLIND, ""),
        ("expired", BLIND, ""),
    ],
)
def test_what_is_verified(
    backend: LocalBackend,
    upstreams: Upstreams,
    certificate: str,
    tls: dict[str, Any],
    failure: str,
) -> None:
    """Chain and names as the rule says; the outside's CA is the one that is trusted."""
    upstreams[HOST].certificate(certificate)
    outcome = under(backend, tls).probe(f"http://{HOST}")
    expected = Verdict.UNREACHABLE if failure else Verdict.REACHABLE
    assert outcome.verdict is expected, outcome.explain()
    assert failure in outcome.reason
    assert outcome.status == (503 if failure else 200)


def test_client_certificate(tmp_path: Path, upstreams: Upstreams, backend: LocalBackend) -> None:
    """MUTUAL presents the pod's certificate, which lies below the directory for its root."""
    authority = trustme.CA()
    leaf = authority.issue_cert("client.example.com")
    directory = tmp_path / "etc" / "certs"
    directory.mkdir(parents=True)
    leaf.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    leaf.private_key_pem.write_to_path(directory / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = {
        "mode": "MUTUAL",
        "clientCertificate": "/etc/certs/cert.pem",
        "privateKey": "/etc/certs/key.pem",
        # Whatever CA is named: the outside's stands for it.
        "caCertificates": "/ca.pem",
    }
    own = LocalBackend(pod_root=str(tmp_path))
    try:
        with own.upstreams() as scripted:
            scripted[HOST].client_certificate(ca_file=tmp_path / "ca.pem")
            assert under(own, tls).probe(f"http://{HOST}").verdict is Verdict.REACHABLE
            (request,) = scripted[HOST].requests
            assert request.client_certificate is not None
            assert "client.example.com" in request.client_certificate.sans
        with own.upstreams() as scripted:
            scripted[HOST].client_certificate(ca_file=tmp_path / "ca.pem")
            assert under(own, SIMPLE).probe(f"http://{HOST}").verdict is Verdict.UNREACHABLE
    finally:
        own.close()


def test_http2_over_tls(backend: LocalBackend, upstreams: Upstreams) -> None:
    """An upgrade is offered by ALPN, and the upstream takes it."""
    upgrade = {"connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}}}
    for policy, version in (({}, "HTTP/1.1"), (upgrade, "HTTP/2")):
        pod = under(backend, SIMPLE, **policy)
        assert pod.probe(f"http://{HOST}").verdict is Verdict.REACHABLE
        assert upstreams[HOST].requests[-1].http_version == version


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("tls", [SIMPLE, {"mode": "DISABLE"}], ids=["tls", "plain"])
def test_proxy_protocol(backend: LocalBackend, version: str, tls: dict[str, Any]) -> None:
    """A PROXY header comes before all else, TLS included."""
    backend.outside.reset()
    pod = under(backend, tls, proxyProtocol={"version": version})
    for url in (f"http://{HOST}", f"tcp://{HOST}:5432"):
        outcome = pod.probe(url)
        assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
        connection = backend.outside.connections[-1]
        assert connection.proxied_for
        assert connection.tls is (tls is SIMPLE)


@pytest.mark.parametrize("tls", [BY_SNI, {"mode": "DISABLE"}], ids=["tls", "plain"])
def test_tunnel(backend: LocalBackend, tls: dict[str, Any]) -> None:
    """TCP is carried by CONNECT through the host, which is then a proxy; HTTP is not."""
    backend.outside.reset()
    target = {"targetHost": "behind.example.com", "targetPort": 5432}
    pod = under(backend, tls, tunnel=target)
    for url in (f"tcp://{HOST}:5432", f"tls://{HOST}:5432"):
        outcome = pod.probe(url)
        assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
        assert backend.outside.connections[-1].asked == "behind.example.com"
    assert pod.probe(f"http://{HOST}").verdict is Verdict.REACHABLE
    assert backend.outside.connections[-1].asked == HOST


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (
            {
                "workloadSelector": {"matchLabels": {"app": "web"}},
                "trafficPolicy": {"tls": {"mode": "SIMPLE", "credentialName": "cred"}},
            },
            r"credentialName: the certificates are in the Secret",
        ),
        (
            {"trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}},
            r'tls\.mode: "tls\.example\.com" is MESH_EXTERNAL',
        ),
        (
            {
                "trafficPolicy": {
                    "tunnel": {"targetHost": "x.com", "targetPort": 1, "protocol": "POST"}
                }
            },
            r"tunnel\.protocol",
        ),
    ],
)
def test_what_only_a_cluster_can_do(
    backend: LocalBackend, spec: dict[str, Any], field: str
) -> None:
    """An error that names the field, before anything is called."""
    text = documents(entry("tls", HOST, {80: "HTTP"}), destination_rule("tls", HOST, **spec))
    pod = Egress(backend, loads(text, file="egress.yaml"))
    with pytest.raises(ContractError, match=field):
        pod.probe(f"http://{HOST}")


@pytest.mark.parametrize(("sans", "verdict"), [([], "REACHABLE"), (["b.wild.com"], "UNREACHABLE")])
def test_server_name_of_a_rule_for_looked_up_names(
    backend: LocalBackend, upstreams: Upstreams, sans: list[str], verdict: str
) -> None:
    """Each name that Envoy looks up is a server of its own, whatever server name a rule sends."""
    tls = {"mode": "SIMPLE", "sni": "other.example.com", "subjectAltNames": sans}
    text = documents(
        entry("wild", "*.wild.com", {80: "HTTP"}, "DYNAMIC_DNS"),
        destination_rule("wild", "*.wild.com", trafficPolicy={"tls": tls}),
    )
    outcome = Egress(backend, loads(text, file="egress.yaml")).probe("http://a.wild.com")
    assert outcome.verdict.name == verdict, outcome.explain()
    assert {it.sni for it in backend.outside.connections} - {""} == {"other.example.com"}
    if verdict == "REACHABLE":
        assert [it.host for it in upstreams["a.wild.com"].requests] == ["a.wild.com"]
