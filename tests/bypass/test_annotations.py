"""A pod's annotations: what they ask for, where they stand, what is wrong with them."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from pytest_egress.bypass.annotations import (
    AnnotationError,
    Annotations,
    annotations_of,
    redirection,
)
from pytest_egress.bypass.redirection import Redirection
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload

TRAFFIC = "traffic.sidecar.istio.io/"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: checkout
  namespace: shop
  annotations:
    traffic.sidecar.istio.io/excludeOutboundPorts: "1"
spec:
  template:
    metadata:
      labels: {app: checkout, tier: web}
      annotations:
        traffic.sidecar.istio.io/excludeOutboundPorts: "5432, 6379"
        traffic.sidecar.istio.io/excludeInboundPorts: "15020"
        traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.0.0.0/8,2001:db8::/32
    spec: {containers: []}
---
apiVersion: v1
kind: Pod
metadata:
  name: alone
  namespace: shop
  labels: {app: alone}
  annotations:
    traffic.sidecar.istio.io/includeOutboundIPRanges: 10.0.0.0/8
spec: {containers: []}
"""


def asked(**annotations: str) -> Redirection:
    """What these annotations ask for."""
    values = {TRAFFIC + name: value for name, value in annotations.items()}
    return redirection(Annotations("", values, lambda _: None))


def test_those_of_a_template_are_the_pods() -> None:
    """With the place of each; the Deployment's own are nobody's."""
    contract = loads(DEPLOYMENT, file="app.yaml")
    [found] = annotations_of(contract, Workload("shop", {"app": "checkout"}))
    assert found.pod == "shop/checkout"
    told = redirection(found)
    assert told.exclude_ports == (5432, 6379)
    assert told.exclude_ranges == (IPv4Network("10.0.0.0/8"),)
    assert str(told.positions["excludeOutboundPorts"]) == "app.yaml:13:56"
    [pod] = annotations_of(contract, Workload("shop", {"app": "alone"}))
    alone = redirection(pod)
    assert alone.include_ranges == (IPv4Network("10.0.0.0/8"),)
    assert str(alone.positions["includeOutboundIPRanges"]) == "app.yaml:25:55"


@pytest.mark.parametrize(
    "workload",
    [Workload("shop"), Workload("other", {"app": "alone"}), Workload("shop", {"app": "x"})],
)
def test_a_workload_may_be_no_pod_of_the_contract(workload: Workload) -> None:
    """Another namespace, other labels, or none that say which."""
    assert not list(annotations_of(loads(DEPLOYMENT), workload))


def test_lists() -> None:
    """As Istio reads them: blanks around ports, ``*`` and an empty list of ranges."""
    assert asked() == Redirection()
    assert asked(includeOutboundIPRanges="*").include_ranges is None
    assert asked(includeOutboundIPRanges="").include_ranges == ()
    assert asked(excludeOutboundPorts="") == Redirection()
    assert asked(includeOutboundPorts=" 80 ,443").include_ports == (80, 443)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("excludeOutboundPorts", "https", "'https' is no port: expected numbers"),
        ("excludeOutboundPorts", "80,", "'' is no port"),
        ("includeOutboundPorts", "70000", "'70000' is no port"),
        ("excludeOutboundIPRanges", "10.0.0.0", "'10.0.0.0' is no range: expected CIDR blocks"),
        ("excludeOutboundIPRanges", "*", "'*' is no range"),
        ("excludeOutboundPort", "80", "did you mean traffic.sidecar.istio.io/excludeOutboundPorts"),
        ("excludeInterfaces", "eth1", "which interface a packet leaves by is not known here"),
    ],
)
def test_what_cannot_be_read_is_an_error(name: str, value: str, message: str) -> None:
    """It names the annotation, and what was expected."""
    with pytest.raises(AnnotationError, match=r"^traffic") as caught:
        asked(**{name: value})
    assert message in str(caught.value)
    assert TRAFFIC + name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("sidecar.istio.io/inject", "false"), ("sidecar.istio.io/interceptionMode", "NONE")],
)
def test_a_pod_may_have_nothing_redirected(name: str, value: str) -> None:
    """Without a sidecar, or in a mode that redirects nothing."""
    assert name in redirection(Annotations("", {name: value}, lambda _: None)).none
