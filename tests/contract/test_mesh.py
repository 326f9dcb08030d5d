"""MeshConfig: Istio's own reading of a mesh file."""

from __future__ import annotations

import pytest

from pytest_egress.contract import MeshConfig, parse_mesh
from pytest_egress.contract.resources import OutboundTrafficPolicy
from pytest_egress.errors import ContractError


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("", "ALLOW_ANY"),
        ("rootNamespace: x", "ALLOW_ANY"),
        ("outboundTrafficPolicy: {}", "REGISTRY_ONLY"),
        ("outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "REGISTRY_ONLY"),
        ("outboundTrafficPolicy:\n  mode: ALLOW_ANY", "ALLOW_ANY"),
        ("outbound_traffic_policy: {mode: REGISTRY_ONLY}", "REGISTRY_ONLY"),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}", "ALLOW_ANY_DYNAMIC_DNS"),
    ],
)
def test_outbound_traffic_policy(text: str, mode: str) -> None:
    """Absent it is Istio's ALLOW_ANY, empty it is the enum's zero."""
    assert parse_mesh(text).outbound_traffic_policy.mode == mode


def test_every_field_that_is_read() -> None:
    """The rest of a usual installation changes no outbound verdict."""
    text = """\
accessLogFile: /dev/stdout
defaultConfig:
  discoveryAddress: istiod.istio-system.svc:15012
  proxyMetadata: {A: b}
defaultProviders: {metrics: [prometheus]}
enablePrometheusMerge: true
rootNamespace: root
trustDomain: cluster.local
defaultServiceExportTo: ["."]
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
"""
    assert parse_mesh(text) == MeshConfig(
        OutboundTrafficPolicy(), "root", (".",), access_log_file="/dev/stdout"
    )


def test_empty_values_are_the_defaults() -> None:
    """An empty list exports to everyone, an empty name is the root namespace."""
    mesh = parse_mesh("defaultServiceExportTo: []\nrootNamespace: ''\n")
    assert mesh.default_service_export_to == ("*",)
    assert mesh.root_namespace == "istio-system"


@pytest.mark.parametrize(
    ("text", "place", "rule", "words"),
    [
        ("outboundTraficPolicy: {}", "1:1", "mesh/unknown-field", '"outboundTrafficPolicy"'),
        ("outboundTrafficPolicy: {mod: x}", "1:25", "mesh/unknown-field", '"mode"'),
        ("outboundTrafficPolicy: {mode: BLOCK}", "1:31", "schema/enum", "REGISTRY_ONLY"),
        ("outboundTrafficPolicy: {tls: {}}", "1:25", "mesh/unsupported-field", "cluster"),
        ("outboundTrafficPolicy: ALLOW_ANY", "1:24", "schema/type", "a mapping"),
        ("a: b\nserviceEntryVisibility: {}", "2:1", "mesh/unsupported-field", "exportTo"),
        ("discoverySelectors: []", "1:1", "mesh/unsupported-field", "cluster"),
        ("defaultServiceExportTo: [Foo_]", "1:26", "mesh/export-to", "namespace"),
        ("rootNamespace: 5", "1:16", "schema/type", "quotes"),
        ("- a", "1:1", "mesh/not-a-mapping", "MeshConfig"),
        ("kind: ConfigMap\ndata: {}", "1:1", "mesh/not-a-mapping", "data.mesh"),
        ("a: [", "1:4", "yaml/syntax", "brackets"),
        ("rootNamespace: a\n---\nrootNamespace: b", "3:1", "mesh/documents", "one document"),
        (
            "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}}",
            "1:33",
            "mesh/unsupported-field",
            "dns_capture",
        ),
    ],
)
def test_what_is_wrong_with_a_mesh_file(text: str, place: str, rule: str, words: str) -> None:
    """Unknown fields and fields that could change a verdict are errors at their place."""
    with pytest.raises(ContractError) as caught:
        parse_mesh(text, "mesh.yaml")
    problem = caught.value.problems[-1]
    assert str(problem.position) == f"mesh.yaml:{place}"
    assert problem.rule == rule
    assert words in problem.message
