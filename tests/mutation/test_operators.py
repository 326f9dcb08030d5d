"""The kinds of change: what each makes of a contract, where it says so, what would notice it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_egress.contract import Contract, Workload, load, loads
from pytest_egress.envoy import compile_contract
from pytest_egress.mutation.difference import Configurations, Difference, askers
from pytest_egress.mutation.mutant import Mutant
from pytest_egress.mutation.operators import OPERATORS, mutants
from tests.conformance.cases import contract_of, enforced

GUARDED = Path(__file__).parents[2] / "examples/guarded/egress"
POOL = "trafficPolicy.connectionPool"
TEXT = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: shop}
spec:
  hosts: [a.example.com, b.example.com]
  ports:
  - {number: 443, name: tls, protocol: TLS}
  resolution: NONE
  exportTo: ["."]
  subjectAltNames: [a.example.com]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: shop}
spec:
  hosts: [db.example.com]
  addresses: [198.51.100.9]
  ports:
  - {number: 5432, name: tcp, protocol: TCP}
  resolution: STATIC
  endpoints: [{address: 203.0.113.7}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  egress: [{hosts: ["./a.example.com", "./db.example.com"]}]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: db, namespace: shop}
spec:
  host: db.example.com
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 7, connectTimeout: 1s}}
    portLevelSettings:
    - port: {number: 5432}
      tls: {mode: SIMPLE, subjectAltNames: [db.example.com]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: shop}
spec:
  hosts: [db.example.com]
  tcp: [{route: [{destination: {host: db.example.com}}]}]
"""


@pytest.fixture(scope="module")
def contract() -> Contract:
    """A contract that every operator finds something in."""
    return loads(TEXT, file="c.yaml")


def told(contract: Contract, operator: str) -> list[str]:
    """What an operator does, in short."""
    return [str(it).replace(f": {operator}:", "") for it in OPERATORS[operator](contract)]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("drop-host", [
            "c.yaml:5:11 a.example.com is not declared",
            "c.yaml:5:26 b.example.com is not declared",
            "c.yaml:16:11 db.example.com is not declared",
        ]),
        ("widen-host", [
            "c.yaml:5:11 *.example.com is declared beside a.example.com",
            "c.yaml:5:26 *.example.com is declared beside b.example.com",
        ]),
        ("allow-any", [
            "mesh outboundTrafficPolicy is ALLOW_ANY",
            "c.yaml:29:26 the Sidecar's outboundTrafficPolicy is ALLOW_ANY",
        ]),
        ("other-port", ["c.yaml:7:14 port 443 is 444", "c.yaml:19:14 port 5432 is 5433"]),
        ("tls-to-tcp", ["c.yaml:7:40 port 443 is TCP, not TLS"]),
        ("no-resolution", ["c.yaml:20:15 resolution is NONE, not STATIC"]),
        ("widen-export", ["c.yaml:9:13 exportTo is *, not ."]),
        ("remove-san", [
            "c.yaml:10:20 subjectAltNames of a.example.com are gone",
            "c.yaml:40:44 subjectAltNames of db.example.com on port 5432 are gone",
        ]),
        ("remove-sidecar-host", [
            "c.yaml:28:21 the Sidecar does not import ./a.example.com",
            "c.yaml:28:40 the Sidecar does not import ./db.example.com",
        ]),
        ("remove-route", ["c.yaml:47:9 tcp[0] of VirtualService db is gone"]),
        ("remove-field", [
            f"c.yaml:37:21 {POOL} of DestinationRule db is gone",
            f"c.yaml:37:44 {POOL}.tcp.maxConnections of DestinationRule db is gone",
            f"c.yaml:37:63 {POOL}.tcp.connectTimeout of DestinationRule db is gone",
            "c.yaml:39:7 trafficPolicy.portLevelSettings of DestinationRule db is gone",
            "c.yaml:40:12 trafficPolicy.portLevelSettings.tls of DestinationRule db is gone",
        ]),
    ],
)  # fmt: skip
def test_what_is_changed(contract: Contract, operator: str, expected: list[str]) -> None:
    """Each change once, at its place in the file."""
    assert told(contract, operator) == expected


def test_every_operator_has_its_case(contract: Contract) -> None:
    """None is left untried above."""
    [marker] = test_what_is_changed.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marker.args[1]} == OPERATORS.keys()
    assert {it.operator for it in mutants(contract)} == OPERATORS.keys()


def _mutant(contract: Contract, text: str) -> Mutant:
    return next(it for it in mutants(contract) if text in str(it))


@pytest.mark.parametrize(
    ("change", "assertion"),
    [
        ("a.example.com is not declared", 'egress.probe("tls://a.example.com").reachable'),
        ("db.example.com is not declared", 'egress.probe("tcp://db.example.com:5432").reachable'),
        ("beside a.example.com", 'egress.probe("tls://not-declared.example.com").blocked'),
        ("mesh: allow-any", 'egress.get("https://not-declared.invalid").blocked'),
        ("the Sidecar's outbound", "egress.as_workload(\"shop\", {'app': 'web'}).get("),
        ("port 5432 is 5433", 'egress.probe("tcp://db.example.com:5432").reachable'),
        ("is TCP", 'egress.probe("tls://a.example.com", sni="not-a.example.com").blocked'),
        ("resolution is NONE", "upstream.address in {'203.0.113.7'}"),
        ("exportTo is *", 'egress.as_workload("elsewhere").probe("tls://a.example.com").blocked'),
        ("SANs", ""),
        ("of a.example.com are gone", 'certificate(names=["other.invalid"]); assert egress.probe('),
        ("import ./db", "as_workload(\"shop\", {'app': 'web'}).probe(\"tcp://db.example.com:5432\")"),
        ("tcp[0]", 'assert "db.example.com" in egress.probe("tcp://db.example.com:5432").cluster'),
        ("maxConnections", 'assert any("UO" in it.flags for it in egress.probe('),
        ("connectTimeout", 'egress_upstreams["db.example.com"].hang(); assert "UF" in'),
    ],
)  # fmt: skip
def test_what_would_notice(contract: Contract, change: str, assertion: str) -> None:
    """A survivor comes with the assertion that is missing."""
    if assertion:
        assert assertion in _mutant(contract, change).assertion


def test_the_contract_itself_is_left_alone(contract: Contract) -> None:
    """Operators are pure: a mutant is a contract of its own."""
    before = repr(contract)
    for mutant in mutants(contract):
        assert mutant.contract != contract, str(mutant)
    assert repr(contract) == before


def _difference(contract: Contract, text: str) -> Difference:
    known = Configurations(contract, askers(contract, [Workload("shop")]))
    return known.difference(_mutant(contract, text).contract)


def test_equal_configurations_are_equivalent() -> None:
    """What no proxy is told differently cannot be noticed; a stranger's proxy counts too."""
    hidden = loads(TEXT.replace('["."]', '["~"]'))
    known = Configurations(hidden, askers(hidden, [Workload("shop")]))
    for name in ("a.example.com is not declared", "is TCP", "port 443 is"):
        assert known.difference(_mutant(hidden, name).contract).workloads == ()
    contract = loads(TEXT)
    widened = _difference(contract, "exportTo is *")
    assert "shop" not in {it.namespace for it in widened.workloads}
    assert widened.workloads
    sidecar = _difference(contract, "does not import ./a")
    assert [dict(it.labels) for it in sidecar.workloads] == [{"app": "web"}]


def test_names_of_what_differs(contract: Contract) -> None:
    """Listeners, routes and clusters by their names: what records of calls have."""
    assert _difference(contract, "port 5432 is").names == {
        "198.51.100.9_5432",
        "198.51.100.9_5433",
        "outbound|5432||db.example.com",
        "outbound|5433||db.example.com",
    }
    assert _difference(contract, "resolution is NONE").names == {"outbound|5432||db.example.com"}


def test_mutants_of_many_contracts_can_be_compiled() -> None:
    """An operator makes nothing that our own compilation cannot read, or it is refused in words."""
    total = 0
    for case in enforced("behaviour")[::8]:
        contract = contract_of(case)
        for mutant in mutants(contract):
            total += 1
            compile_contract(mutant.contract, Workload("default"))
    assert total > 400


def test_the_example_has_something_for_most() -> None:
    """The example that tests run against knows every kind of change but one of its own making."""
    found = {it.operator for it in mutants(load(GUARDED))}
    assert found == OPERATORS.keys()
