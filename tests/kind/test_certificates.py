"""TLS that the sidecar originates with what istiod serves, and files that the run brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.errors import ContractError
from pytest_egress.verdict import Verdict
from tests.observed import destination_rule, documents, entry

HOST = "tls.example.com"
PORTS = [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 443}]
OURS = {"workloadSelector": {"matchLabels": {"app": "ours"}}}


def _under(backend: ClusterBackend, tls: dict[str, Any], **spec: Any) -> Egress:
    text = documents(
        entry("tls", HOST, {}).replace("ports: []", f"ports: {PORTS}"),
        destination_rule("tls", HOST, trafficPolicy={"tls": tls}, **spec),
    )
    workload = Workload("default", {"app": "ours"})
    return Egress(backend, loads(text, file="egress.yaml"), workload, timeout=10.0)


@pytest.mark.parametrize(
    ("credential", "spec"),
    [
        ("partner", OURS),
        ("kubernetes://default/partner", OURS),
        ("configmap://default/partner-ca", {}),
    ],
)
def test_authority_that_istiod_serves(
    backend: ClusterBackend, credential: str, spec: dict[str, Any]
) -> None:
    """From a Secret or a ConfigMap: the outside's CA stands for it."""
    egress = _under(backend, {"mode": "SIMPLE", "credentialName": credential}, **spec)
    outcome = egress.get(f"http://{HOST}/v1")
    assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
    assert backend.outside.requests[-1].tls
    with backend.upstreams() as upstreams:
        upstreams[HOST].certificate("unknown-ca")
        tls = {"mode": "SIMPLE", "credentialName": credential, "sni": HOST}
        outcome = _under(backend, tls, **spec).get(f"http://{HOST}/v2")
        assert outcome.verdict is Verdict.UNREACHABLE, outcome.explain()


def test_what_cannot_be_brought(backend: ClusterBackend, tmp_path: Path) -> None:
    """It is told before anything is applied, with its place."""
    tls = {"mode": "MUTUAL", "credentialName": "partner"}
    with pytest.raises(ContractError, match=r"egress\.yaml.*client certificate is in the Secret"):
        _under(backend, tls, **OURS).get(f"http://{HOST}/")
    missing = {"mode": "SIMPLE", "caCertificates": str(tmp_path / "none.pem")}
    with pytest.raises(ContractError, match="there is no such file"):
        _under(backend, missing).get(f"http://{HOST}/")
