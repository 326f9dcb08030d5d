"""TLS of upstream connections from files."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import ClientTls
from pytest_egress.contract.resources import Endpoint
from pytest_egress.envoy.secrets import Secrets, with_files
from tests.envoy.build import compiled, entry, rule

HOST = "a.example.com"
SIMULATED = Secrets(lambda: "/run/ca.pem", "/pod")
LIVE = Secrets(lambda: "/etc/bundle.pem", "/pod", simulated=False)
MUTUAL = ClientTls(
    "MUTUAL",
    client_certificate="/etc/c.pem",
    private_key="/etc/k.pem",
    ca_certificates="/etc/ca.pem",
    ca_crl="/etc/crl.pem",
    subject_alt_names=("x.example.com",),
)


def built(policy: dict[str, Any], secrets: Secrets = SIMULATED, **fields: Any) -> dict[str, Any]:
    """The host's cluster under a rule with that policy, with files in place of secrets."""
    cluster = compiled(entry(HOST, "80/HTTP", **fields), rule(HOST, **policy)).clusters[0]
    before = copy.deepcopy(cluster)
    found = with_files(cluster, secrets)
    assert cluster == before
    return found


def common(cluster: dict[str, Any]) -> dict[str, Any]:
    """The ``CommonTlsContext`` of a cluster."""
    return dict(cluster["transport_socket"]["typed_config"]["common_tls_context"])


@pytest.mark.parametrize(
    ("secrets", "authority"), [(SIMULATED, "/run/ca.pem"), (LIVE, "/etc/bundle.pem")]
)
def test_os_bundle(secrets: Secrets, authority: str) -> None:
    """Where no CA is named the pod's own bundle counts, for which the outside's CA stands."""
    found = common(built({"tls": ClientTls("SIMPLE")}, secrets))
    assert found["validation_context"] == {"trusted_ca": {"filename": authority}}
    assert not [key for key in found if "sds" in key]


@pytest.mark.parametrize(
    ("secrets", "validation"),
    [
        (SIMULATED, {"trusted_ca": {"filename": "/run/ca.pem"}}),
        (
            LIVE,
            {
                "trusted_ca": {"filename": "/pod/etc/ca.pem"},
                "crl": {"filename": "/pod/etc/crl.pem"},
            },
        ),
    ],
)
def test_files_of_the_pod(secrets: Secrets, validation: dict[str, Any]) -> None:
    """They lie below the pod's root; names that are verified stay as they are."""
    found = common(built({"tls": MUTUAL}, secrets))
    assert found["tls_certificates"] == [
        {
            "certificate_chain": {"filename": "/pod/etc/c.pem"},
            "private_key": {"filename": "/pod/etc/k.pem"},
        }
    ]
    names = {"match_subject_alt_names": [{"exact": "x.example.com"}]}
    assert found["validation_context"] == {**names, **validation}


def test_nothing_verified_needs_no_bundle() -> None:
    """The CA is not made unless something is verified with it."""

    def none() -> str:
        raise AssertionError

    tls = ClientTls("SIMPLE", insecure_skip_verify=True)
    found = common(built({"tls": tls}, Secrets(none)))
    assert found["validation_context"] == {}


def test_tls_behind_a_proxy_header() -> None:
    """The header stays, and what is inside is made from files."""
    found = built({"tls": ClientTls("SIMPLE"), "proxy_protocol": "V2"})
    inner = found["transport_socket"]["typed_config"]["transport_socket"]
    context = inner["typed_config"]["common_tls_context"]
    assert context["validation_context"] == {"trusted_ca": {"filename": "/run/ca.pem"}}


@pytest.mark.parametrize(
    "fields",
    [
        {"resolution": "STATIC", "endpoints": (Endpoint("10.0.0.1", service_account="sa"),)},
        {"resolution": "NONE", "endpoints": (Endpoint("10.0.0.1", service_account="sa"),)},
    ],
)
def test_mutual_tls_between_sidecars_is_plain_text(fields: dict[str, Any]) -> None:
    """Istio's own TLS is left out, with or without a rule; a PROXY header stays before it."""
    inside = {"location": "MESH_INTERNAL", **fields}
    for policy in ({}, {"tls": ClientTls("ISTIO_MUTUAL")}):
        found = built(policy, **inside)
        assert not {"transport_socket", "transport_socket_matches"} & found.keys()
    behind = built({"proxy_protocol": "V1"}, **inside)
    assert "transport_socket_matches" not in behind
    inner = behind["transport_socket"]["typed_config"]["transport_socket"]
    assert inner["typed_config"]["@type"].endswith("RawBuffer")


def test_secrets_of_a_cluster_are_not_left_out() -> None:
    """A secret that no file stands for is never turned into plain text."""
    tls = ClientTls("SIMPLE", credential_name="cred")
    with pytest.raises(ValueError, match="only a cluster has the secret kubernetes://cred-cacert"):
        built({"tls": tls, "workload_selector": {}})
