"""The name table that istiod sends, as the oracle answers it for these contracts."""

from __future__ import annotations

import pytest

from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import compile_contract
from pytest_egress.envoy.name_table import Name
from tests.observed import documents, entry, sidecar

TLS = {443: "TLS"}
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: redis, namespace: shop}
spec:
  clusterIP: 10.96.0.7
  ports: [{name: tcp-redis, port: 6379}]
"""
WORKLOAD = """\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm}
spec: {address: 192.0.2.7, labels: {app: x}}
"""


def allocated(text: str, host: str, address: str) -> str:
    """The entry with an address that an allocator has written."""
    return f"{text}status: {{addresses: [{{host: {host}, value: {address}}}]}}\n"


def table(*texts: str, namespace: str = "default") -> dict[str, Name]:
    """Hosts and what is known of them."""
    workload = Workload(namespace, dns_capture=True)
    return dict(compile_contract(loads(documents(*texts)), workload).names)


def addresses(*texts: str) -> dict[str, tuple[str, ...]]:
    """Hosts and their addresses."""
    return {host: name.addresses for host, name in table(*texts).items()}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([entry("a", "a.example", TLS)], {}),
        ([entry("a", "a.example", TLS, addresses=["10.0.0.1", "10.0.0.2"])],
         {"a.example": ("10.0.0.1", "10.0.0.2")}),
        ([entry("a", "a.example", TLS, "STATIC", addresses=["10.0.0.0/8", "10.0.0.1/32"],
                endpoints=[{"address": "192.0.2.1"}])],
         {"a.example": ("10.0.0.1",)}),
        ([entry("a", "a.example", TLS, addresses=["2001:db8::1"])],
         {"a.example": ("2001:db8::1",)}),
        ([entry("a", "*.a.example", TLS, "NONE", addresses=["10.0.0.1"])],
         {"*.a.example": ("10.0.0.1",)}),
        ([allocated(entry("a", "a.example", TLS), "a.example", "240.240.0.9")],
         {"a.example": ("240.240.0.9",)}),
        ([allocated(entry("a", "a.example", TLS, "NONE"), "a.example", "240.240.0.9")], {}),
        ([entry("a", "a.example", TLS, addresses=["10.0.0.1"]),
          entry("b", "a.example", TLS, addresses=["10.0.0.2"])],
         {"a.example": ("10.0.0.1", "10.0.0.2")}),
        ([entry("a", "a.example", TLS, addresses=["10.0.0.1"], exportTo=["."], namespace="shop")],
         {}),
        ([entry("a", "a.example", TLS, addresses=["10.0.0.1"], namespace="shop"),
          entry("b", "b.example", TLS, addresses=["10.0.0.2"]),
          sidecar(egress=[{"hosts": ["./*"]}])],
         {"b.example": ("10.0.0.2",)}),
        # A NONE entry without addresses has endpoints, but nothing says that they are ready.
        ([entry("a", "a.b", TLS, "NONE", workloadSelector={"labels": {"app": "x"}}), WORKLOAD], {}),
        ([SERVICE], {"redis.shop.svc.cluster.local": ("10.96.0.7",)}),
        ([SERVICE, entry("a", "redis.shop.svc.cluster.local", TLS, addresses=["10.0.0.1"],
                         namespace="shop")],
         {"redis.shop.svc.cluster.local": ("10.96.0.7",)}),
    ],
    ids=["no address", "all addresses", "no CIDR", "IPv6", "wildcard", "allocated",
         "not with NONE", "two entries", "private", "Sidecar", "endpoints", "Service",
         "a Service counts alone"],
)  # fmt: skip
def test_names(texts: list[str], expected: dict[str, tuple[str, ...]]) -> None:
    """Which hosts have addresses."""
    assert addresses(*texts) == expected


def test_a_service_is_known_by_its_name() -> None:
    """The agent makes its short names of it."""
    (name,) = table(SERVICE).values()
    assert name.kubernetes == ("redis", "shop")


def test_without_dns_capture_there_is_none() -> None:
    """Nobody would ask."""
    contract = loads(entry("a", "a.example", TLS, addresses=["10.0.0.1"]))
    assert compile_contract(contract, Workload()).names == {}
