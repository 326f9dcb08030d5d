"""``tls``: what the proxy says and verifies when it originates TLS."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import (
    ClientTls,
    ConnectionPool,
    HttpPool,
    PortPolicy,
    Subset,
    TrafficPolicy,
)
from pytest_egress.contract.resources import Endpoint, MeshConfig
from tests.envoy.build import by_name, compiled, entry, rule
from tests.envoy.traffic_policy.shaped import HOST, options_of, shaped


def context(cluster: dict[str, Any]) -> dict[str, Any]:
    """The ``UpstreamTlsContext`` of a cluster."""
    socket = cluster["transport_socket"]
    assert socket["name"] == "envoy.transport_sockets.tls"
    return dict(socket["typed_config"])


def authority(cluster: dict[str, Any]) -> str:
    """The name of the secret that holds the trusted CA."""
    combined = context(cluster)["common_tls_context"]["combined_validation_context"]
    return str(combined["validation_context_sds_secret_config"]["name"])


def validation(cluster: dict[str, Any]) -> dict[str, Any]:
    """What is verified besides the chain."""
    combined = context(cluster)["common_tls_context"]["combined_validation_context"]
    return dict(combined["default_validation_context"])


def certificates(cluster: dict[str, Any]) -> list[str]:
    """The names of the secrets that hold the client's certificate."""
    common = context(cluster)["common_tls_context"]
    return [it["name"] for it in common.get("tls_certificate_sds_secret_configs", ())]


def upstream(cluster: dict[str, Any]) -> dict[str, bool]:
    """What is taken from each HTTP request."""
    return dict(options_of(cluster).get("upstream_http_protocol_options", {}))


@pytest.mark.parametrize("tls", [None, ClientTls("DISABLE")])
def test_plain_text(tls: ClientTls | None) -> None:
    """No rule, no TLS."""
    assert "transport_socket" not in shaped(tls=tls)


def test_simple() -> None:
    """The OS bundle is trusted; server name and names to verify are those of each request."""
    cluster = shaped(tls=ClientTls("SIMPLE"))
    assert authority(cluster) == "file-root:system"
    assert validation(cluster) == {}
    assert "sni" not in context(cluster)
    assert upstream(cluster) == {"auto_sni": True, "auto_san_validation": True}
    assert context(cluster)["common_tls_context"]["tls_params"] == {
        "tls_minimum_protocol_version": "TLSv1_2",
        "tls_maximum_protocol_version": "TLSv1_3",
    }


def test_names() -> None:
    """A server name ends what requests say; names to verify are the rule's, else the entry's."""
    named = shaped(tls=ClientTls("SIMPLE", sni="s.example.com", subject_alt_names=("x", "y")))
    assert context(named)["sni"] == "s.example.com"
    assert validation(named) == {"match_subject_alt_names": [{"exact": "x"}, {"exact": "y"}]}
    assert upstream(named) == {}
    service = entry(HOST, "80/HTTP", subject_alt_names=("z",))
    from_entry = shaped(service=service, tls=ClientTls("SIMPLE", sni="s.example.com"))
    assert validation(from_entry) == {"match_subject_alt_names": [{"exact": "z"}]}
    only_names = shaped(tls=ClientTls("SIMPLE", subject_alt_names=("x",)))
    assert upstream(only_names) == {"auto_sni": True}


def test_authority_and_revocations() -> None:
    """Files of the pod: the CA over the agent, the revocation list by name."""
    cluster = shaped(tls=ClientTls("SIMPLE", ca_certificates="/ca.pem", ca_crl="/crl.pem"))
    assert authority(cluster) == "file-root:/ca.pem"
    assert validation(cluster) == {"crl": {"filename": "/crl.pem"}}


def test_nothing_verified() -> None:
    """``insecureSkipVerify``: no CA, no names."""
    cluster = shaped(tls=ClientTls("SIMPLE", insecure_skip_verify=True))
    common = context(cluster)["common_tls_context"]
    assert common["validation_context"] == {}
    assert "combined_validation_context" not in common
    assert upstream(cluster) == {"auto_sni": True}


def test_mutual() -> None:
    """The client's certificate and key are files of the pod, named together."""
    tls = ClientTls("MUTUAL", client_certificate="/c.pem", private_key="/k.pem")
    assert certificates(shaped(tls=tls)) == ["file-cert:/c.pem~/k.pem"]


def test_http2_is_offered() -> None:
    """On a port of HTTP/2, or where a rule upgrades to it."""
    tls = ClientTls("SIMPLE")
    upgrade = ConnectionPool(http=HttpPool(h2_upgrade_policy="UPGRADE"))
    for cluster in (shaped(ports="80/GRPC", tls=tls), shaped(tls=tls, connection_pool=upgrade)):
        assert context(cluster)["common_tls_context"]["alpn_protocols"] == ["h2"]
    assert "alpn_protocols" not in context(shaped(tls=tls))["common_tls_context"]


@pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL"])
def test_credential_without_selector_is_plain_text(mode: Any) -> None:
    """Istiod gives a Secret to those sidecars only that the rule selects."""
    tls = ClientTls(mode, credential_name="cred")
    cluster = shaped(tls=tls)
    assert "transport_socket" not in cluster
    assert upstream(cluster) == {}
    selecting = shaped(tls=tls, workload_selector={"app": "web"}, asking={"labels": {"app": "web"}})
    assert authority(selecting) == "kubernetes://cred-cacert"
    assert certificates(selecting) == (["kubernetes://cred"] if mode == "MUTUAL" else [])


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("configmap://ns/name", "configmap://ns/name-cacert"),
        ("cred", "kubernetes://cred-cacert"),
        ("kubernetes://ns/cred", "kubernetes://ns/cred-cacert"),
        ("sds://cred", "kubernetes://cred-cacert"),
        ("builtin://", "ROOTCA"),
        ("builtin://x", "default"),
        ("invalid://x", "invalid://"),
    ],
)
def test_credential_names(name: str, secret: str) -> None:
    """How istiod asks itself for a credential; a ConfigMap is open to all."""
    fields: dict[str, Any] = {} if name.startswith("configmap") else {"workload_selector": {}}
    assert authority(shaped(tls=ClientTls("SIMPLE", credential_name=name), **fields)) == secret


def test_credential_that_is_not_verified() -> None:
    """There is no validation context at all."""
    tls = ClientTls("MUTUAL", credential_name="cred", insecure_skip_verify=True)
    common = context(shaped(tls=tls, workload_selector={}))["common_tls_context"]
    assert common.keys() == {"tls_params", "tls_certificate_sds_secret_configs"}


def test_istio_mutual() -> None:
    """The workload's certificate; the server name says which cluster, the entry which names."""
    endpoint = Endpoint("10.0.0.1", service_account="sa")
    service = entry(
        HOST, "80/HTTP", resolution="STATIC", endpoints=(endpoint,), subject_alt_names=("z",)
    )
    cluster = shaped(service=service, tls=ClientTls("ISTIO_MUTUAL"))
    assert (certificates(cluster), authority(cluster)) == (["default"], "ROOTCA")
    assert context(cluster)["sni"] == f"outbound_.80_._.{HOST}"
    names = ["spiffe://cluster.local/ns/default/sa/sa", "z"]
    assert validation(cluster)["match_subject_alt_names"] == [{"exact": it} for it in names]
    own = shaped(tls=ClientTls("ISTIO_MUTUAL", sni="s", subject_alt_names=("x",)))
    assert context(own)["sni"] == "s"
    assert validation(own)["match_subject_alt_names"] == [{"exact": "x"}]


def test_trust_domain() -> None:
    """The mesh's trust domain is in the names of accounts."""
    endpoint = Endpoint("10.0.0.1", service_account="sa")
    service = entry(HOST, "80/HTTP", resolution="STATIC", endpoints=(endpoint,))
    mesh = MeshConfig(trust_domain="td.example.org")
    found = validation(shaped(service=service, mesh=mesh, tls=ClientTls("ISTIO_MUTUAL")))
    expected = "spiffe://td.example.org/ns/default/sa/sa"
    assert found == {"match_subject_alt_names": [{"exact": expected}]}


def test_subset_and_port() -> None:
    """A subset has its own server name for Istio's TLS; port settings replace the rule's."""
    subset = Subset("v1", {}, TrafficPolicy(tls=ClientTls("ISTIO_MUTUAL")))
    port = PortPolicy(80, tls=ClientTls("DISABLE"))
    policy = TrafficPolicy(tls=ClientTls("SIMPLE"), port_level=(port,))
    program = compiled(
        entry(HOST, "80/HTTP 81/HTTP"), rule(HOST, traffic_policy=policy, subsets=[subset])
    )
    assert "transport_socket" not in by_name(program.clusters, f"outbound|80||{HOST}")
    assert authority(by_name(program.clusters, f"outbound|81||{HOST}")) == "file-root:system"
    for number in (80, 81):
        cluster = by_name(program.clusters, f"outbound|{number}|v1|{HOST}")
        assert context(cluster)["sni"] == f"outbound_.{number}_.v1_.{HOST}"


@pytest.mark.parametrize(
    ("tls", "options", "insecure"),
    [
        (ClientTls("SIMPLE"), {"auto_sni": True, "auto_san_validation": True}, False),
        (ClientTls("ISTIO_MUTUAL"), {"auto_sni": True, "auto_san_validation": True}, False),
        (ClientTls("SIMPLE", sni="s"), {"auto_san_validation": True}, True),
        (ClientTls("SIMPLE", insecure_skip_verify=True), {"auto_sni": True}, True),
        (ClientTls("SIMPLE", sni="s", insecure_skip_verify=True), {}, True),
    ],
)
def test_dynamic_host(tls: ClientTls, options: dict[str, bool], insecure: bool) -> None:
    """A dynamic forward proxy always verifies the name it resolved, unless told not to verify."""
    service = entry("*.example.com", "80/HTTP", resolution="DYNAMIC_DNS", subject_alt_names=("z",))
    cluster = shaped(service=service, tls=tls)
    assert upstream(cluster) == options
    config = cluster["cluster_type"]["typed_config"]
    assert config.get("allow_insecure_cluster_options", False) is insecure
    assert context(cluster).get("sni", "") == tls.sni


ISTIO = {"security.istio.io/tlsMode": "istio"}


@pytest.mark.parametrize(
    ("labels", "tls", "mode"),
    [
        (ISTIO, None, "istio"),
        ({}, None, None),
        ({}, ClientTls("ISTIO_MUTUAL"), None),
        (ISTIO, ClientTls("ISTIO_MUTUAL"), "istio"),
        ({"security.istio.io/tlsMode": "own"}, ClientTls("ISTIO_MUTUAL"), "own"),
        ({"security.istio.io/tlsMode": "own"}, None, None),
        (ISTIO, ClientTls("SIMPLE"), None),
    ],
)
def test_tls_mode_of_endpoints(
    labels: dict[str, str], tls: ClientTls | None, mode: str | None
) -> None:
    """The mark by which Istio's TLS is chosen per endpoint; a rule's mode decides over it."""
    endpoint = Endpoint("10.0.0.1", labels=labels)
    service = entry(HOST, "80/HTTP", resolution="STATIC", endpoints=(endpoint,))
    program = compiled(service, rule(HOST, traffic_policy=TrafficPolicy(tls=tls)))
    (built,) = program.endpoints[0]["endpoints"][0]["lb_endpoints"]
    match = built.get("metadata", {}).get("filter_metadata", {}).get("envoy.transport_socket_match")
    assert match == (None if mode is None else {"tlsMode": mode})


def test_automatic_tls() -> None:
    """It is off where the mesh says so, or the rule says anything of TLS."""
    endpoint = Endpoint("10.0.0.1", service_account="sa")
    service = entry(
        HOST, "80/HTTP", resolution="STATIC", location="MESH_INTERNAL", endpoints=(endpoint,)
    )
    assert "transport_socket_matches" in compiled(service).clusters[0]
    off = compiled(service, mesh=MeshConfig(enable_auto_mtls=False))
    assert "transport_socket_matches" not in off.clusters[0]
    for tls in (ClientTls("DISABLE"), ClientTls("ISTIO_MUTUAL")):
        assert "transport_socket_matches" not in shaped(service=service, tls=tls)
