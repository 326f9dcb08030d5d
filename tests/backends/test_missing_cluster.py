"""Routes and filter chains that lead to a cluster which istiod does not make."""

from __future__ import annotations

import pytest

from pytest_egress import Verdict, loads
from pytest_egress.backends.local import LocalBackend
from pytest_egress.egress import Egress

# Without a workload for its selector a DNS entry has no endpoint, and istiod leaves its cluster
# out; listeners and routes stay. An egress proxy may be named that nothing declares.
CONTRACT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: nobody}
spec:
  hosts: [nobody.example.com]
  location: MESH_EXTERNAL
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: tls, protocol: TLS}
  resolution: DNS
  workloadSelector: {labels: {app: nobody}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec:
  egress: [{hosts: ["*/*"]}]
  outboundTrafficPolicy:
    mode: ALLOW_ANY
    egressProxy: {host: proxy.example.com, port: {number: 3128}}
"""


@pytest.mark.parametrize(
    ("url", "what", "cluster"),
    [
        ("http://nobody.example.com", "route default", "outbound|80||nobody.example.com"),
        ("tls://nobody.example.com", "listener 0.0.0.0_443", "outbound|443||nobody.example.com"),
        ("http://other.example.com", "route allow_any", "outbound|3128||proxy.example.com"),
        ("tcp://192.0.2.9:5432", "listener virtualOutbound", "outbound|3128||proxy.example.com"),
    ],
)
def test_cluster_that_does_not_exist_is_named(
    backend: LocalBackend, url: str, what: str, cluster: str
) -> None:
    """Envoy's records do not tell it; here they do, so that the verdict can."""
    outcome = Egress(backend, loads(CONTRACT)).probe(url)
    assert outcome.verdict is Verdict.BLOCKED
    assert outcome.reason == f"{what} leads to {cluster}, a cluster that does not exist"
    assert outcome.evidence is not None
    assert (outcome.evidence.cluster, outcome.evidence.missing_cluster) == ("", cluster)
    assert "NC" in outcome.evidence.response_flags
