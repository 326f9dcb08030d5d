"""What the sidecar of a test pod originates TLS with, without a cluster."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.backends.cluster.certificates import (
    Simulated,
    credentials,
    files_of,
    mounts,
    moved,
    refusals,
    secret,
)
from pytest_egress.backends.cluster.pod import Injected, pod_of
from pytest_egress.contract import Contract, loads
from pytest_egress.contract.resources import Workload
from tests.observed import destination_rule

OUTSIDE = Simulated(b"the outside's CA\n", lambda: b"nothing is revoked\n")
OURS = {"workloadSelector": {"matchLabels": {"app": "ours"}}}
MUTUAL = {
    "mode": "MUTUAL",
    "clientCertificate": "/etc/certs/cert.pem",
    "privateKey": "/etc/certs/key.pem",
    "caCertificates": "/etc/certs/ca.pem",
    "caCrl": "/etc/certs/crl.pem",
}


def _rule(tls: dict[str, Any], **spec: Any) -> Contract:
    return loads(destination_rule("tls", "tls.example.com", trafficPolicy={"tls": tls}, **spec))


@pytest.fixture
def root(tmp_path: Path) -> str:
    """The directory that stands for the pod's root."""
    (tmp_path / "etc/certs").mkdir(parents=True)
    for name in ("cert", "key", "ca", "crl"):
        (tmp_path / f"etc/certs/{name}.pem").write_text(f"own {name}\n")
    return str(tmp_path)


def test_files_of_a_rule(root: str) -> None:
    """The client's own are brought; the outside's authority stands for the one that is named."""
    contract = _rule(MUTUAL)
    live = files_of(contract, root, None)
    assert live == {
        f"/etc/certs/{name}.pem": f"own {name}\n".encode() for name in ("cert", "key", "ca", "crl")
    }
    assert files_of(contract, root, OUTSIDE) == {
        **live,
        "/etc/certs/ca.pem": b"the outside's CA\n",
        "/etc/certs/crl.pem": b"nothing is revoked\n",
    }
    assert files_of(_rule({"mode": "SIMPLE"}), root, OUTSIDE) == {}


def test_one_file_for_all(root: str) -> None:
    """It is the certificate and its key, and the CA."""
    path = "/etc/certs/cert.pem"
    tls = dict.fromkeys(("clientCertificate", "privateKey", "caCertificates"), path)
    found = files_of(_rule({"mode": "MUTUAL", **tls}), root, OUTSIDE)
    assert found == {path: b"own cert\nthe outside's CA\n"}


def test_files_are_mounted_where_the_rule_has_them() -> None:
    """Each is a volume of its own: the injector takes one place for each."""
    files = {"/etc/certs/cert.pem": b"one", "/key.pem": b"two"}
    assert secret("pod", "space", files)["data"] == {
        "0": base64.b64encode(b"one").decode(),
        "1": base64.b64encode(b"two").decode(),
    }
    volumes, places = mounts("pod", files)
    assert [volumes[name]["secret"]["items"][0]["key"] for name in places] == ["0", "1"]
    assert [it["mountPath"] for it in places.values()] == list(files)
    assert {it["secret"]["secretName"] for it in volumes.values()} == {"pod-files"}


def _annotations(files: dict[str, bytes], simulated: Injected | None) -> tuple[set[str], set[str]]:
    pod = pod_of(
        "pod",
        "space",
        Workload("default"),
        image="image",
        service_account="default",
        labels={},
        simulated=simulated,
        files=files,
    )
    found = pod["metadata"]["annotations"]
    volumes = json.loads(found.get("sidecar.istio.io/userVolume", "{}"))
    places = json.loads(found.get("sidecar.istio.io/userVolumeMount", "{}"))
    assert set(volumes) == set(places)
    return set(volumes), {it["mountPath"] for it in places.values()}


def test_annotations_of_the_pod() -> None:
    """Beside the outside's CA, in the place of the system's; the real outside has no such one."""
    system = "/etc/ssl/certs/ca-certificates.crt"
    simulated = Injected("proxy", ("istiod", 15012), dns_capture=False)
    assert _annotations({}, None) == (set(), set())
    assert _annotations({"/a.pem": b"a"}, None)[1] == {"/a.pem"}
    assert _annotations({"/a.pem": b"a"}, simulated)[1] == {"/a.pem", system}
    assert _annotations({system: b"ca"}, simulated)[1] == {system}


@pytest.mark.parametrize(
    ("credential", "spec", "expected"),
    [
        ("partner", OURS, [("secrets", "default", "partner")]),
        ("kubernetes://other/partner", OURS, [("secrets", "other", "partner")]),
        ("kubernetes://partner", OURS, [("secrets", "default", "partner")]),
        ("configmap://default/ca", {}, [("configmaps", "default", "ca")]),
        ("partner", {}, []),
    ],
)
def test_credentials_that_are_stood_in_for(
    credential: str, spec: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    """Those that istiod serves to a sidecar; it is told where they are in the cluster."""
    contract = _rule({"mode": "SIMPLE", "credentialName": credential}, **spec)
    found = list(credentials(contract, "default", OUTSIDE.authority))
    assert [
        (plural, it["metadata"]["namespace"], it["metadata"]["name"]) for plural, it in found
    ] == expected
    for _, it in found:
        assert (it.get("data") or it["stringData"]) == {"ca.crt": "the outside's CA\n"}
    assert list(refusals(contract, live=False)) == []


def test_credentials_move_with_their_namespace() -> None:
    """At every level; what names none is in the workload's."""
    tls = {"mode": "SIMPLE", "credentialName": "configmap://shop/ca"}
    level = {"port": {"number": 443}, "tls": dict(tls)}
    spec: dict[str, Any] = {
        "trafficPolicy": {"tls": dict(tls), "portLevelSettings": [level]},
        "subsets": [
            {"name": "v1", "trafficPolicy": {"tls": {"credentialName": "kubernetes://shop/a"}}},
            {"name": "v2", "trafficPolicy": {"tls": {"credentialName": "plain"}}},
            {"name": "v3"},
        ],
    }
    moved(spec, {"shop": "egress-1-shop"})
    assert spec["trafficPolicy"]["tls"]["credentialName"] == "configmap://egress-1-shop/ca"
    assert level["tls"] == {"mode": "SIMPLE", "credentialName": "configmap://egress-1-shop/ca"}
    names = [it["trafficPolicy"]["tls"]["credentialName"] for it in spec["subsets"][:2]]
    assert names == ["kubernetes://egress-1-shop/a", "plain"]


@pytest.mark.parametrize(
    ("mode", "live", "reason"),
    [
        ("MUTUAL", False, 'the client certificate is in the Secret "partner"'),
        ("SIMPLE", True, 'the Secret "partner" is not there'),
    ],
)
def test_credentials_that_nothing_stands_for(
    mode: str,
    live: bool,
    reason: str,
) -> None:
    """They are told with their place."""
    contract = _rule({"mode": mode, "credentialName": "partner"}, **OURS)
    (problem,) = refusals(contract, live=live)
    assert problem.message.startswith(reason)
    assert problem.position.line > 1
    assert list(refusals(_rule({"mode": mode, "credentialName": "partner"}), live=live)) == []
