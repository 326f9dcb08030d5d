"""What of a DestinationRule only a cluster can enforce."""

from __future__ import annotations

import textwrap

import pytest

from pytest_egress.contract import loads, unsupported

ENTRIES = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [a.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: inside}
spec:
  hosts: [b.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
  location: MESH_INTERNAL
"""


def problems(spec: str) -> list[str]:
    """What is said of a rule with that spec: its line in the rule and the message."""
    head = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d}\nspec:\n"
    text = head + textwrap.indent(textwrap.dedent(spec).strip(), "  ")
    found = unsupported(loads(f"{text}\n---{ENTRIES}"))
    assert {it.severity for it in found} <= {"error"}
    return [f"{it.position.line - 4}: {it.message.partition(': the embedded')[0]}" for it in found]


@pytest.mark.parametrize(
    ("selector", "name", "kind"),
    [
        ("workloadSelector: {matchLabels: {app: web}}", "cred", "Secret"),
        ("exportTo: ['*']", "configmap://default/cred", "ConfigMap"),
    ],
)
@pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL"])
def test_credential(selector: str, name: str, kind: str, mode: str) -> None:
    """A credential that istiod would serve to the sidecar."""
    found = problems(f"""
        host: a.example.com
        {selector}
        trafficPolicy:
          tls: {{mode: {mode}, credentialName: "{name}"}}
        """)
    reason = f'the certificates are in the {kind} "{name}", not in files'
    assert found == [f"4: spec.trafficPolicy.tls.credentialName: {reason}"]


def test_credential_that_is_not_served() -> None:
    """Without selector the sidecar gets nothing, and speaks plain text here as there."""
    spec = "host: a.example.com\ntrafficPolicy: {tls: {mode: SIMPLE, credentialName: cred}}"
    assert problems(spec) == []


@pytest.mark.parametrize(
    ("host", "external"),
    [
        ("a.example.com", "a.example.com"),
        ("'*.example.com'", "a.example.com"),
        ("b.example.com", ""),
        ("'*.example.org'", ""),
    ],
)
def test_istio_mutual(host: str, external: str) -> None:
    """Nobody outside of the mesh trusts its CA; inside it is plain text."""
    found = problems(f"""
        host: {host}
        subsets:
        - name: v1
          trafficPolicy:
            portLevelSettings:
            - port: {{number: 80}}
              tls: {{mode: ISTIO_MUTUAL}}
        """)
    reason = f'"{external}" is MESH_EXTERNAL, and ISTIO_MUTUAL needs the mesh\'s own CA'
    field = "spec.subsets[0].trafficPolicy.portLevelSettings[0].tls.mode"
    assert found == ([f"7: {field}: {reason}"] if external else [])


@pytest.mark.parametrize(("protocol", "refused"), [("POST", True), ("CONNECT", False)])
def test_tunnel(protocol: str, refused: bool) -> None:
    """A tunnel that is made by POST looks like an upload."""
    found = problems(f"""
        host: a.example.com
        trafficPolicy:
          tunnel: {{targetHost: p.example.com, targetPort: 443, protocol: {protocol}}}
        """)
    assert [it.partition(": a simulated")[0] for it in found] == (
        ["3: spec.trafficPolicy.tunnel.protocol"] if refused else []
    )
