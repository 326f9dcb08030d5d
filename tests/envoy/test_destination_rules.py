"""Which DestinationRule shapes a host for one workload."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import DestinationRule, TrafficPolicy, Tunnel
from pytest_egress.contract.resources import MeshConfig, Resource, Workload
from pytest_egress.envoy.destination_rules import MergedRule
from pytest_egress.envoy.scope import build_scope
from pytest_egress.envoy.services import convert_services
from tests.envoy.build import contract_of, entry, rule, sidecar

HOST = "a.example.com"
SERVICE = entry(HOST, "80/HTTP", namespace="shop")
_ONE = TrafficPolicy(tunnel=Tunnel("one.example.com", 1))
_TWO = TrafficPolicy(tunnel=Tunnel("two.example.com", 2))


def selected(
    *resources: Resource, mesh: MeshConfig | None = None, host: str = HOST, **workload: Any
) -> MergedRule | None:
    """The rule of the host for that workload."""
    contract, asking = contract_of(*resources, mesh=mesh), Workload(**workload)
    scope = build_scope(contract, asking, convert_services(contract, asking))
    return scope.rules.get(host)


def sources(*resources: Resource, **asked: Any) -> list[str]:
    """The names of the rules that were merged for the host."""
    found = selected(*resources, **asked)
    return [it.metadata.name for it in found.sources] if found is not None else []


OWN = rule("*.example.com", name="own", namespace="web")
SERVICES = rule(HOST, name="services", namespace="shop")
ROOT = rule(HOST, name="root", namespace="istio-system")
OTHER = rule(HOST, name="other", namespace="other")


@pytest.mark.parametrize(
    ("rules", "namespace", "expected"),
    [
        ([ROOT, SERVICES, OWN], "web", "own"),
        ([ROOT, SERVICES], "web", "services"),
        ([ROOT], "web", "root"),
        ([ROOT, SERVICES], "shop", "services"),
        ([ROOT, SERVICES], "istio-system", "services"),
        ([ROOT], "istio-system", "root"),
    ],
    ids=str,
)
def test_lookup_order(rules: list[DestinationRule], namespace: str, expected: str) -> None:
    """The workload's namespace, the service's, the root; a wildcard of an earlier level wins."""
    assert sources(SERVICE, OTHER, *rules, namespace=namespace) == [expected]


def test_rules_of_other_namespaces_do_not_count() -> None:
    """A rule beside the three namespaces is nobody's."""
    assert sources(SERVICE, OTHER, namespace="web") == []


def test_root_namespace_sees_its_private_rules_first() -> None:
    """What the root namespace keeps to itself is meant for its own workloads."""
    private = rule(HOST, name="private", namespace="istio-system", export_to=(".",))
    assert sources(SERVICE, SERVICES, private, namespace="istio-system") == ["private"]
    assert sources(SERVICE, private, namespace="web") == []


@pytest.mark.parametrize(
    ("export_to", "seen_by"),
    [
        ((), {"shop", "web", "other"}),
        (("*",), {"shop", "web", "other"}),
        ((".",), {"shop"}),
        (("shop",), {"shop"}),
        (("web",), {"web"}),
        ((".", "web"), {"shop", "web"}),
    ],
)
def test_export_to(export_to: tuple[str, ...], seen_by: set[str]) -> None:
    """A rule in the service's namespace is seen by those that it is exported to."""
    exported = rule(HOST, namespace="shop", export_to=export_to)
    asking = ("shop", "web", "other")
    assert {it for it in asking if sources(SERVICE, exported, namespace=it)} == seen_by


def test_mesh_default_export() -> None:
    """``defaultDestinationRuleExportTo`` counts for rules without exportTo only."""
    mesh = MeshConfig(default_destination_rule_export_to=(".",))
    shown = rule(HOST, namespace="shop", export_to=("*",))
    assert sources(SERVICE, SERVICES, mesh=mesh, namespace="web") == []
    assert sources(SERVICE, SERVICES, mesh=mesh, namespace="shop") == ["services"]
    assert sources(SERVICE, shown, mesh=mesh, namespace="web") == ["rule"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.b.example.com", "exact"),
        ("x.b.example.com", "longer"),
        ("x.example.com", "shorter"),
        ("example.com", "any"),
        ("*.b.example.com", "longer"),
        ("*.c.example.com", "shorter"),
        ("*.com", "any"),
    ],
)
def test_most_specific_host(host: str, expected: str) -> None:
    """The host itself, else the longest wildcard that covers it."""
    rules = [
        rule("*", name="any"),
        rule("*.example.com", name="shorter"),
        rule("*.b.example.com", name="longer"),
        rule("a.b.example.com", name="exact"),
    ]
    resolution = {"resolution": "NONE"}
    assert sources(entry(host, "80/HTTP", **resolution), *rules, host=host) == [expected]


def test_short_name_is_a_kubernetes_service() -> None:
    """A host without dot means the Service of that name in the rule's namespace."""
    full = "db.shop.svc.cluster.local"
    assert sources(entry(full, "80/HTTP"), rule("db", namespace="shop"), host=full) == []
    service = entry(full, "80/HTTP", namespace="shop")
    assert sources(service, rule("db", namespace="shop"), host=full) == ["rule"]


def test_rules_for_one_host_are_merged() -> None:
    """The oldest policy counts, subsets add up, the first of a name wins."""
    first = rule(HOST, name="z", creation_timestamp=1, subsets=["v1"])
    second = rule(HOST, name="y", creation_timestamp=2, traffic_policy=_ONE, subsets=["v1", "v2"])
    third = rule(HOST, name="x", creation_timestamp=3, traffic_policy=_TWO, subsets=["v3"])
    found = selected(SERVICE, third, second, first)
    assert found is not None
    assert [it.metadata.name for it in found.sources] == ["z", "y", "x"]
    assert found.traffic_policy == _ONE
    assert [it.name for it in found.subsets] == ["v1", "v2", "v3"]
    assert found.subset("v1") == first.subsets[0]
    assert found.subset("v4") is None


def test_rules_with_different_export_stay_apart() -> None:
    """A rule that reaches further than an older one is added to it, one that does not is not."""
    narrow = rule(HOST, name="narrow", namespace="shop", creation_timestamp=1, export_to=(".",))
    targets = (".", "web")
    wide = rule(HOST, name="wide", namespace="shop", creation_timestamp=2, export_to=targets)
    assert sources(SERVICE, narrow, wide, namespace="shop") == ["narrow", "wide"]
    assert sources(SERVICE, narrow, wide, namespace="web") == ["wide"]
    younger = rule(HOST, name="narrow", namespace="shop", creation_timestamp=3, export_to=(".",))
    # The younger one stands alone; of two for everybody the last of the list counts.
    assert sources(SERVICE, wide, younger, namespace="shop") == ["narrow"]


SELECTS = rule(HOST, name="selects", namespace="web", workload_selector={"app": "web"})


def test_workload_selector_beats_a_general_rule() -> None:
    """A rule for the workload's labels wins in its own namespace; others take the general one."""
    general = rule(HOST, name="general", namespace="web", creation_timestamp=0)
    labels = {"app": "web", "version": "1"}
    assert sources(SERVICE, general, SELECTS, namespace="web", labels=labels) == ["selects"]
    assert sources(SERVICE, general, SELECTS, namespace="web") == ["general"]
    assert sources(SERVICE, SELECTS, namespace="web") == []
    # Its namespace has a rule for the host, so nothing further is asked.
    assert sources(SERVICE, SERVICES, SELECTS, namespace="web") == []


def test_workload_selector_stays_in_its_namespace() -> None:
    """A rule with a selector is not exported, whatever it says."""
    selects = rule(HOST, namespace="shop", workload_selector={"app": "web"}, export_to=("*",))
    assert sources(SERVICE, selects, namespace="web", labels={"app": "web"}) == []


def test_private_rule_is_swallowed_by_one_with_a_selector() -> None:
    """Two rules with the same exportTo are one to istiod, although only one selects workloads."""
    private = rule(HOST, name="private", namespace="web", export_to=(".",), subsets=["v2"])
    found = selected(SERVICE, private, SELECTS, namespace="web", labels={"app": "web"})
    assert found is not None
    assert [it.metadata.name for it in found.sources] == ["selects", "private"]
    assert [it.name for it in found.subsets] == ["v2"]
    assert sources(SERVICE, private, SELECTS, namespace="web") == []


def test_sidecar_decides_what_there_is_a_rule_for() -> None:
    """A host that the Sidecar does not import has no rule."""
    other = entry("b.example.com", "80/HTTP", namespace="shop")
    rules = rule("*.example.com", namespace="shop")
    imports = sidecar("*/b.example.com", namespace="web")
    asked = (SERVICE, other, rules, imports)
    assert sources(*asked, namespace="web") == []
    assert sources(*asked, namespace="web", host="b.example.com") == ["rule"]
