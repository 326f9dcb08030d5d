"""The four forms of a mesh file: told apart by content, each value at its own place."""

from __future__ import annotations

import pytest

from pytest_egress.contract import parse_mesh
from pytest_egress.contract.duration import SECOND
from pytest_egress.contract.mesh import read_mesh
from pytest_egress.errors import ContractError

CONFIG_MAP = """\
# kubectl -n istio-system get configmap istio -o yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  meshNetworks: 'networks: {}'
  mesh: |-
    # the mesh
    outboundTrafficPolicy:
      mode: REGISTRY_ONLY
    connectTimeout: 3s
"""
OPERATOR = """\
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: istio}
spec:
  profile: demo
  namespace: mesh-system
  meshConfig:
    outboundTrafficPolicy:
      mode: REGISTRY_ONLY
    connectTimeout: 3s
  values:
    meshConfig:
      connectTimeout: 4s
    global: {proxy: {clusterDomain: cluster.local}}
  components:
    pilot:
      k8s:
        env:
        - name: PILOT_TRACE_SAMPLING
          value: "100"
"""
VALUES = """\
# istiod.yaml
profile: preview
global:
  istioNamespace: mesh-system
pilot:
  env:
    PILOT_ENABLE_IP_AUTOALLOCATE: true
    PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION: false
meshConfig:
  outboundTrafficPolicy:
    mode: REGISTRY_ONLY
  defaultConfig:
    proxyMetadata: {}
"""


def test_a_config_map() -> None:
    """``data.mesh`` is the MeshConfig."""
    mesh = parse_mesh(CONFIG_MAP)
    assert mesh.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    assert mesh.connect_timeout == 3 * SECOND


def test_a_config_map_among_the_documents_of_a_rendered_chart() -> None:
    """The others are left alone."""
    others = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: values}\ndata: {values: '{}'}\n"
    text = f"{others}---\n{CONFIG_MAP}---\nkind: Deployment\napiVersion: apps/v1\n"
    assert parse_mesh(text).connect_timeout == 3 * SECOND


def test_an_operator() -> None:
    """Values lie over meshConfig, both over the profile; the namespace is the root."""
    mesh = parse_mesh(OPERATOR)
    assert mesh.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    assert mesh.connect_timeout == 4 * SECOND
    assert mesh.root_namespace == "mesh-system"
    assert mesh.access_log_file == "/dev/stdout"


def test_helm_values() -> None:
    """The profile's metadata stays where the values do not say otherwise."""
    mesh = parse_mesh(VALUES)
    assert mesh.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    assert mesh.root_namespace == "mesh-system"
    assert mesh.dns_capture
    off = VALUES.replace("proxyMetadata: {}", 'proxyMetadata: {ISTIO_META_DNS_CAPTURE: "false"}')
    assert not parse_mesh(off).dns_capture


def test_values_of_an_umbrella_chart() -> None:
    """Below the name of the subchart."""
    below = "".join(f"  {line}\n" for line in VALUES.splitlines())
    assert parse_mesh(f"istiod:\n{below}other: {{}}\n") == parse_mesh(VALUES)


@pytest.mark.parametrize("text", ["base: {enableCRDTemplates: true}", "global: {}", "pilot: {}"])
def test_values_without_mesh_are_istios_defaults(text: str) -> None:
    """ALLOW_ANY among them."""
    assert parse_mesh(text).outbound_traffic_policy.mode == "ALLOW_ANY"


def test_bypassed_addresses_are_warned_of() -> None:
    """A sidecar does not see them, whatever the contract says."""
    text = VALUES.replace("global:", "global:\n  proxy: {excludeIPRanges: 169.254.169.254/32}")
    _, (warning,) = read_mesh(text, "values.yaml")
    assert (warning.severity, warning.rule) == ("warning", "lint/mesh-bypass")
    assert str(warning.position) == "values.yaml:4:28"
    assert "169.254.169.254/32" in warning.message


@pytest.mark.parametrize(
    ("text", "place", "rule", "words"),
    [
        (
            CONFIG_MAP.replace("REGISTRY_ONLY", "BLOCK"),
            "10:13",
            "schema/enum",
            "REGISTRY_ONLY",
        ),
        (
            CONFIG_MAP.replace("connectTimeout", "connectTimeOut"),
            "11:5",
            "mesh/unknown-field",
            '"connectTimeout"',
        ),
        (CONFIG_MAP.replace("mode: R", "mode: ["), "11:", "yaml/syntax", ""),
        (CONFIG_MAP.replace("  mesh: |-", "  mesh: >-"), "7:9", "yaml/", ""),
        (
            "kind: ConfigMap\ndata:\n  mesh: 'connectTimeout: 2h'\n",
            "3:9",
            "mesh/duration",
            "an hour",
        ),
        ("kind: ConfigMap\ndata: {mesh: {a: b}}", "2:14", "mesh/config-map", "text"),
        ("kind: ConfigMap\ndata: {mesh: '- a'}", "2:14", "mesh/config-map", "mapping"),
        ("kind: ConfigMap\ndata: {}", "1:1", "mesh/form", "data.mesh"),
        ("kind: Deployment\nspec: {}", "1:1", "mesh/form", "Deployment"),
        (f"{CONFIG_MAP}---\n{OPERATOR}", "13:1", "mesh/documents", "one document"),
        ("kind: A\n---\nkind: B", "1:1", "mesh/form", "IstioOperator"),
        (
            OPERATOR.replace("connectTimeout: 3s", "connectTimeot: 3s"),
            "10:5",
            "mesh/unknown-field",
            '"connectTimeout"',
        ),
        (
            OPERATOR.replace("connectTimeout: 4s", "connectTimeout: 0s"),
            "13:23",
            "schema/duration",
            "1ms",
        ),
        (
            OPERATOR.replace("PILOT_TRACE_SAMPLING", "PILOT_HTTP10").replace('"100"', '"true"'),
            "19:11",
            "mesh/unsupported-field",
            "PILOT_HTTP10=true",
        ),
        (
            OPERATOR.replace("profile: demo", "profile: mine"),
            "5:12",
            "mesh/unsupported-field",
            "mine",
        ),
        ("kind: IstioOperator\nspec: {meshConfig: []}", "2:20", "schema/type", "a mapping"),
        ("kind: IstioOperator\nspec: []", "2:7", "mesh/form", "a mapping"),
        (
            VALUES.replace("AUTOALLOCATE: true", "AUTOALLOCATE: false"),
            "7:5",
            "mesh/unsupported-field",
            "PILOT_ENABLE_IP_AUTOALLOCATE=false",
        ),
        (VALUES.replace("profile: preview", "compatibilityVersion: 1.28"), "2:1",
         "mesh/unsupported-field", "older"),
        (
            VALUES.replace("  istioN", "  outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n  istioN"),
            "4:3",
            "mesh/legacy",
            "meshConfig.outboundTrafficPolicy",
        ),
        (
            VALUES.replace("global:", "global:\n  proxy: {includeIPRanges: 10.0.0.0/8}"),
            "4:28",
            "mesh/unsupported-field",
            "bypass the sidecar",
        ),
        (VALUES.replace("REGISTRY_ONLY", "CLOSED"), "11:11", "schema/enum", "REGISTRY_ONLY"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_own_place(
    text: str, place: str, rule: str, words: str
) -> None:
    """Also inside of a ConfigMap's text, and in the layer that says it."""
    with pytest.raises(ContractError) as caught:
        parse_mesh(text, "mesh.yaml")
    problem = caught.value.problems[-1]
    assert str(problem.position).startswith(f"mesh.yaml:{place}")
    assert problem.rule.startswith(rule)
    assert words in problem.message
