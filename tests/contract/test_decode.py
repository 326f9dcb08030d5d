"""The typed resources: values, defaults, positions, and which kinds are read."""

from __future__ import annotations

import math

import pytest

from pytest_egress.contract import MeshConfig, Position, check, loads, verdict
from pytest_egress.contract.resources import (
    EgressListener,
    Endpoint,
    Metadata,
    OutboundTrafficPolicy,
    Port,
    ProxyDestination,
    SidecarPort,
)
from pytest_egress.errors import ContractError
from tests.contract.samples import ENTRY, SIDECAR, WORKLOAD

FULL = """\
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata:
  name: db
  labels: {team: a}
  annotations: {note: x}
  creationTimestamp: "2024-01-31T12:00:00.5+01:00"
  uid: 1234
spec:
  hosts: [DB.example]
  addresses: [10.0.0.0/8, "2001:db8::1"]
  ports:
  - {number: 5432, name: tcp, protocol: tcp, targetPort: 15432}
  - {number: 80.0, name: HTTP}
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints:
  - address: 192.0.2.1
    ports: {tcp: 1}
    labels: {app: db}
    network: net
    locality: eu
    weight: 2
    serviceAccount: sa
  exportTo: [".", other]
  subjectAltNames: [a, b]
status:
  addresses:
  - {host: DB.example, value: 240.240.0.1}
  - {value: 240.240.0.2}
"""


def test_every_field_of_a_service_entry_is_read() -> None:
    """Values are kept as written, case included."""
    entry = loads(FULL).service_entries[0]
    assert entry.metadata == Metadata("db", "default", {"team": "a"}, {"note": "x"}, 1706698800.5)
    assert entry.hosts == ("DB.example",)
    assert entry.addresses == ("10.0.0.0/8", "2001:db8::1")
    assert entry.ports == (Port(5432, "tcp", "tcp", 15432), Port(80, "HTTP"))
    assert entry.location == "MESH_INTERNAL"
    assert entry.resolution == "STATIC"
    assert entry.endpoints == (
        Endpoint("192.0.2.1", {"tcp": 1}, {"app": "db"}, "net", "eu", 2, "sa"),
    )
    assert entry.export_to == (".", "other")
    assert entry.subject_alt_names == ("a", "b")
    assert entry.workload_selector is None
    assert entry.status_addresses == (("DB.example", "240.240.0.1"), ("", "240.240.0.2"))


def test_defaults_are_istios() -> None:
    """Unset resolution is NONE, unset location MESH_EXTERNAL, unset namespace default."""
    text = (
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\n"
        "spec: {hosts: ['*.b.example'], workloadSelector: {labels: {a: b}}}\n"
    )
    entry = loads(text).service_entries[0]
    assert (entry.resolution, entry.location) == ("NONE", "MESH_EXTERNAL")
    assert entry.metadata == Metadata("a", "default")
    assert (entry.ports, entry.endpoints, entry.addresses, entry.export_to) == ((), (), (), ())
    assert entry.workload_selector == {"a": "b"}


def test_a_sidecar_is_read() -> None:
    """Its outbound half; the inbound half is validated and let go."""
    sidecar = loads(SIDECAR).sidecars[0]
    assert sidecar.workload_selector == {"app": "web"}
    assert sidecar.egress == (
        EgressListener(("./*",), SidecarPort(3128, "HTTP", "proxy"), "127.0.0.1", "NONE"),
        EgressListener(("istio-system/*",)),
    )
    assert sidecar.outbound_traffic_policy == OutboundTrafficPolicy(
        "ALLOW_ANY", ProxyDestination("proxy.example", 8080, "blue")
    )
    assert sidecar.metadata.namespace == "shop"


def test_an_empty_policy_of_a_sidecar_is_registry_only() -> None:
    """The enum's zero value."""
    text = SIDECAR.partition("  workloadSelector")[0] + "  outboundTrafficPolicy: {}\n"
    sidecar = loads(text).sidecars[0]
    assert sidecar.outbound_traffic_policy == OutboundTrafficPolicy("REGISTRY_ONLY")
    assert sidecar.workload_selector is None


def test_a_workload_entry_is_read() -> None:
    """Its labels are the spec's; the object's own stay in the metadata."""
    workload = loads(WORKLOAD).workload_entries[0]
    assert workload.endpoint == Endpoint(
        "192.0.2.7", {"https": 8443}, {"app": "db"}, "vms", "eu/a/1", 3, "db"
    )
    assert workload.metadata.labels == {"team": "db"}


def test_resources_tell_positions_after_loading() -> None:
    """Of values, of items, and of the nearest parent of what is absent."""
    contract = loads(f"{WORKLOAD}---\n{ENTRY}", file="x.yaml")
    entry = contract.service_entries[0]
    offset = WORKLOAD.count("\n") + 1
    assert entry.at("spec", "ports", 0, "number") == Position("x.yaml", offset + 10, 13)
    assert entry.at("spec", "hosts", 0) == Position("x.yaml", offset + 8, 5)
    assert entry.at("spec", "exportTo", 3) == Position("x.yaml", offset + 6, 1)
    assert contract.workload_entries[0].at("spec", "address") == Position("x.yaml", 9, 12)


def test_equal_resources_are_equal_wherever_they_stand() -> None:
    """The position is no part of the value."""
    assert loads(ENTRY).service_entries == loads("# moved\n" + ENTRY).service_entries


def test_a_list_is_unpacked() -> None:
    """``kubectl get -o yaml`` prints a List; positions are those of the file."""
    items = "".join("- " + text.replace("\n", "\n  ").rstrip() + "\n" for text in (ENTRY, WORKLOAD))
    contract = loads(f"apiVersion: v1\nkind: List\nmetadata: {{}}\nitems:\n{items}")
    entry = contract.service_entries[0]
    assert entry.at("spec", "hosts", 0) == Position("<string>", 12, 7)
    assert len(contract.workload_entries) == 1


def test_a_typed_list_names_its_items() -> None:
    """The items of a ServiceEntryList need not repeat the kind."""
    text = (
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntryList\nitems:\n"
        "- metadata: {name: a}\n  spec: {hosts: [a.example], resolution: DNS}\n"
    )
    assert loads(text).service_entries[0].hosts == ("a.example",)


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_all_served_versions_are_read(version: str) -> None:
    """The three versions have one schema."""
    text = ENTRY.replace("networking.istio.io/v1", f"networking.istio.io/{version}")
    assert len(loads(text).service_entries) == 1


def test_other_kinds_are_counted_and_left_alone() -> None:
    """Among them the Gateway of the Gateway API, which is not Istio's."""
    text = "---\n".join(
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n"
        for version, kind in (
            ("apps/v1", "Deployment"),
            ("v1", "Service"),
            ("v1", "Service"),
            ("gateway.networking.k8s.io/v1", "Gateway"),
            ("security.istio.io/v1", "PeerAuthentication"),
            ("networking.istio.io/v1", "WorkloadGroup"),
        )
    )
    contract = loads(text)
    assert contract.other_kinds == {
        "Deployment": 1,
        "Service": 2,
        "Gateway of gateway.networking.k8s.io": 1,
        "PeerAuthentication": 1,
        "WorkloadGroup": 1,
    }


@pytest.mark.parametrize("kind", ["EnvoyFilter", "ProxyConfig"])
def test_kinds_that_change_egress_are_errors(kind: str) -> None:
    """Reading past them would make wrong verdicts."""
    text = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: x}}\n"
    problem = check(text)[0]
    assert problem.rule == "unsupported-kind"
    assert kind in problem.message
    assert problem.position == Position("<string>", 2, 7)


def test_the_mesh_is_kept() -> None:
    """By default it is closed."""
    assert loads("").mesh == MeshConfig()
    assert loads("").mesh.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    mesh = MeshConfig(root_namespace="x")
    assert loads("", mesh=mesh).mesh is mesh


def test_the_verdict_counts_errors_then_istiods_warnings() -> None:
    """Lint does not count."""
    assert verdict(check(ENTRY)) == "accepted"
    unset = ENTRY.replace("  location: MESH_EXTERNAL\n", "")
    assert [p.rule for p in check(unset)] == ["lint/location-unset"]
    assert verdict(check(unset)) == "accepted"
    partial = ENTRY.replace("api.weather.example", '"*foo.example"').replace("DNS", "NONE")
    assert verdict(check(partial)) == "warned"
    assert verdict(check(ENTRY.replace("443", "0"))) == "refused"


def test_warnings_are_kept_in_the_contract() -> None:
    """A contract with warnings loads, and tells them."""
    contract = loads(ENTRY.replace("  location: MESH_EXTERNAL\n", ""))
    assert [w.rule for w in contract.warnings] == ["lint/location-unset"]


@pytest.mark.parametrize("stamp", ["null", "2024-02-30T00:00:00Z", "yesterday"])
def test_creation_times(stamp: str) -> None:
    """With null there is none; a day that no calendar has is an error."""
    text = ENTRY.replace("  namespace: shop", f"  creationTimestamp: {stamp}")
    if stamp == "null":
        assert loads(text).service_entries[0].metadata.creation_timestamp == math.inf
    else:
        with pytest.raises(ContractError, match="RFC 3339"):
            loads(text)


@pytest.mark.parametrize("value", ["x", "{a: b}", "[5]", "[{host: 3, value: 4}]"])
def test_malformed_status_addresses_are_ignored_with_a_word(value: str) -> None:
    """So does istiod; the CRD does not check them."""
    contract = loads(f"{ENTRY}status:\n  addresses: {value}\n")
    assert contract.service_entries[0].status_addresses == ()
    assert [w.rule for w in contract.warnings] == ["lint/status-addresses"]
