"""A contract in namespaces of its own: what is applied to a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.backends.cluster.layout import (
    CONTROL_HOST,
    CONTROL_PORT,
    Layout,
    control_objects,
    manifests,
    refusals,
)
from pytest_egress.contract import Contract, loads
from pytest_egress.contract.resources import ServiceEntry, Workload

LAYOUT = Layout("egress-1234")

ENTRY = """
apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata:
  name: api
  namespace: {namespace}
  uid: 3f0c
  resourceVersion: "77"
  creationTimestamp: "2026-01-01T00:00:00Z"
  labels: {{team: a}}
spec:
  hosts: [api.example.com]
  ports: [{{number: 443, name: https, protocol: HTTPS}}]
  resolution: DNS
  {more}
"""


def _applied(text: str, workload: Workload | None = None) -> dict[str, dict[str, Any]]:
    placed = manifests(loads(text), workload or Workload(), LAYOUT)
    return {f"{it.plural}/{it.namespace}/{it.name}": it.body for it in placed}


def test_namespace_of_the_workload_comes_first() -> None:
    """Each namespace of the contract has one of the run's own."""
    contract = loads(ENTRY.format(namespace="shop", more=""))
    assert LAYOUT.namespaces(contract, Workload()) == {
        "default": "egress-1234-default",
        "shop": "egress-1234-shop",
    }


def test_long_names_are_cut_and_stay_distinct() -> None:
    """A namespace's name has 63 characters at most."""
    names = {LAYOUT.name("n" * 62 + end) for end in "ab"}
    assert len(names) == 2
    assert all(len(name) <= 63 for name in names)


def test_entry_is_applied_as_it_was_written() -> None:
    """Less what the cluster says of an object."""
    entry = _applied(ENTRY.format(namespace="default", more=""))[
        "serviceentries/egress-1234-default/api"
    ]
    assert entry["apiVersion"] == "networking.istio.io/v1beta1"
    assert entry["metadata"] == {
        "name": "api",
        "namespace": "egress-1234-default",
        "labels": {"team": "a"},
    }
    assert entry["spec"]["hosts"] == ["api.example.com"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", ["egress-1234-default", "egress-1234-shop"]),
        ('exportTo: ["*"]', ["egress-1234-default", "egress-1234-shop"]),
        ('exportTo: ["."]', ["."]),
        ('exportTo: ["~"]', ["~"]),
        ('exportTo: [other, "."]', ["egress-1234-other", "."]),
    ],
)
def test_nothing_is_exported_to_the_mesh(more: str, expected: list[str]) -> None:
    """Everywhere means in the run's own namespaces."""
    applied = _applied(ENTRY.format(namespace="shop", more=more))
    assert applied["serviceentries/egress-1234-shop/api"]["spec"]["exportTo"] == expected


def test_default_sidecar_hides_the_mesh_and_sets_the_policy() -> None:
    """The control has a listener of its own, whatever else is visible."""
    applied = _applied(ENTRY.format(namespace="shop", more=""))
    spec = applied["sidecars/egress-1234-default/pytest-egress-default"]["spec"]
    assert spec["outboundTrafficPolicy"] == {"mode": "REGISTRY_ONLY"}
    control, rest = spec["egress"]
    assert control["port"]["number"] == CONTROL_PORT
    assert control["hosts"] == [f"./{CONTROL_HOST}"]
    assert rest == {"hosts": ["egress-1234-default/*", "egress-1234-shop/*"]}


SIDECAR = """
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: own, namespace: {namespace}}}
spec:
  egress:
  - hosts: ["*/*.example.com", "./*", "shop/*", "~/*"]
"""


def test_sidecar_of_the_contract_keeps_its_meaning() -> None:
    """Its namespaces are the run's; no default one is added."""
    text = ENTRY.format(namespace="shop", more="") + SIDECAR.format(namespace="default")
    applied = _applied(text)
    sidecars = [body for key, body in applied.items() if key.startswith("sidecars/")]
    assert [it["metadata"]["name"] for it in sidecars] == ["own"]
    assert sidecars[0]["spec"]["egress"][1]["hosts"] == [
        "egress-1234-default/*.example.com",
        "egress-1234-shop/*.example.com",
        "./*",
        "egress-1234-shop/*",
        "~/*",
    ]
    assert sidecars[0]["spec"]["outboundTrafficPolicy"] == {"mode": "REGISTRY_ONLY"}


def test_sidecar_of_the_root_namespace_is_the_default() -> None:
    """It cannot be applied there: it would hold for the whole mesh."""
    text = ENTRY.format(namespace="shop", more="") + SIDECAR.format(namespace="istio-system")
    applied = _applied(text)
    assert [key for key in applied if key.startswith("sidecars/")] == [
        "sidecars/egress-1234-default/pytest-egress-default"
    ]
    spec = applied["sidecars/egress-1234-default/pytest-egress-default"]["spec"]
    assert "egress-1234-shop/*.example.com" in spec["egress"][1]["hosts"]


def test_applying_leaves_the_contract_alone() -> None:
    """What was read is not changed."""
    text = ENTRY.format(namespace="shop", more="") + SIDECAR.format(namespace="default")
    contract = loads(text)
    assert manifests(contract, Workload(), LAYOUT) == manifests(contract, Workload(), LAYOUT)
    assert contract.sidecars[0].manifest["spec"]["egress"][0]["hosts"][0] == "*/*.example.com"


def test_mesh_wide_rule_is_refused_at_its_place() -> None:
    """A DestinationRule of the root namespace would change the mesh."""
    contract = loads(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        "metadata:\n  name: all\n  namespace: istio-system\nspec:\n  host: '*.example.com'\n"
    )
    (problem,) = refusals(contract, "default")
    assert str(problem).startswith("<string>:5:14: error: DestinationRule of the root namespace")


def test_resource_made_in_python_is_refused() -> None:
    """A cluster is given YAML, not what was understood of it."""
    read = loads(ENTRY.format(namespace="default", more="")).service_entries[0]
    made = ServiceEntry(read.metadata, read.hosts, ports=read.ports, locate=read.locate)
    (problem,) = refusals(Contract(service_entries=(made,)), "default")
    assert "was not read from YAML" in problem.message


def test_control_tells_every_kind_of_object_apart() -> None:
    """A step of applying has a name of its own in each."""
    first, second = (
        {it.plural: it.body["spec"] for it in control_objects("n", step)} for step in (1, 2)
    )
    assert set(first) == {"serviceentries", "destinationrules", "virtualservices"}
    assert all(first[kind] != second[kind] for kind in first)
    assert all(spec["exportTo"] == ["."] for spec in first.values())
