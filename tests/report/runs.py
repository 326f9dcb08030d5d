"""A run with a bit of everything, hostile texts included, for the tests of its reports."""

from __future__ import annotations

from pytest_egress.contract import loads
from pytest_egress.contract.position import Position
from pytest_egress.evidence import BLACK_HOLE
from pytest_egress.report.facts import Fact
from pytest_egress.report.findings import Finding
from pytest_egress.report.run import Run, Test
from pytest_egress.report.sheets import Sheets, sheets_of
from pytest_egress.report.steps import Step

__all__ = ["HOSTILE", "PLACE", "RUN", "SHEETS", "case_of", "finding", "run_of"]

#: What a host name, a YAML text or a test's id may try.
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&lt;\u2028{{7*7}}"

_IN_YAML = HOSTILE.replace("\u2028", "")  # a line break there
_CONTRACT = f"""\
---
# {_IN_YAML}
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: weather
spec:
  hosts:
  - api.weather.com
  - rates.example.com
  ports:
  - number: 443
    name: https
    protocol: HTTPS
  - number: 80
    name: http
    protocol: HTTP
  resolution: DNS
---
apiVersion: v1
kind: Secret
metadata:
  name: password
stringData:
  password: tr0ub4dor
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Secret
  metadata:
    name: other
  stringData:
    password: c0rrect-horse
- apiVersion: networking.istio.io/v1
  kind: ServiceEntry
  metadata:
    name: listed
  spec:
    hosts: [listed.example.com]
    ports:
    - number: 5432
      name: db
      protocol: TCP
    resolution: DNS
"""

PLACE = Position("egress.yaml", 9, 5)
SHEETS: Sheets = sheets_of(loads(_CONTRACT, file="egress.yaml"))


def finding(
    verdict: str = "REACHABLE",
    host: str = "api.weather.com",
    *,
    test: str = "t.py::test",
    port: int = 443,
    reason: str = "because",
) -> Finding:
    """One finding with this verdict."""
    cluster = {
        "REACHABLE": f"outbound|{port}||{host}",
        "UNREACHABLE": f"outbound|{port}||{host}",
        "UNDECLARED": "PassthroughCluster",
        "BLOCKED": BLACK_HOLE,
    }.get(verdict, "")
    place = {"REACHABLE": 4, "UNREACHABLE": 4, "UNDECLARED": 2, "BLOCKED": 2, "UNRESOLVED": 0}
    names = [host, "0.0.0.0_443", "chain", cluster, "198.18.0.1:443"]
    kinds = ["dns", "listener", "chain", "cluster", "upstream"]
    at = place.get(verdict, 9)
    went = "" if verdict == "BLOCKED" else cluster
    return Finding(
        Fact(host, port, "tls", "198.18.0.1", verdict, verdict == "UNDECLARED", went, test),
        "probe",
        f"https://{host}:{port}/",
        reason,
        "shop/app=checkout",
        (PLACE,) if verdict == "REACHABLE" else (),
        tuple(
            Step(
                kind,
                "" if kind in {"dns", "upstream"} else "sidecar",
                name,
                "",
                "decided" if i == at else "passed" if i < at else "missed",
            )
            for i, (kind, name) in enumerate(zip(kinds, names, strict=True))
        ),
        ({"proxy": "sidecar", "kind": "connection", "cluster": cluster, "response_flags": ["UH"]},),
        200 if verdict == "REACHABLE" else None,
        0.0125,
        "",
        f"target    https://{host}:{port}/\nverdict   {verdict}: {reason}",
    )


def case_of(name: str, outcome: str, *findings: Finding, line: int = 7, message: str = "") -> Test:
    """One test."""
    return Test(name, name.partition("::")[0], line, outcome, 0.25, message, findings)


def run_of(*tests: Test, contracts: tuple[Sheets, ...] = (SHEETS,)) -> Run:
    """A run of these tests."""
    return Run(
        *("1.2.3", "local (Envoy 1.40.0)", "2026-01-02T03:04:05+00:00", 12.5),
        tests,
        contracts,
        (("passed", 3),),
    )


RUN = run_of(
    case_of(
        "tests/test_a.py::test_weather", "passed", finding(), finding("BLOCKED", "evil.example")
    ),
    case_of(
        "tests/test_a.py::test_rates",
        "failed",
        finding("UNREACHABLE", "rates.example.com", port=80, reason="the upstream failed"),
        line=21,
        message="assert <UNREACHABLE ...>.reachable",
    ),
    case_of(
        f"tests/test_b.py::test_hostile[{HOSTILE}]",
        "failed",
        finding("UNDECLARED", HOSTILE, reason=HOSTILE),
        finding("UNRESOLVED", "nowhere.example"),
        message=HOSTILE,
    ),
    case_of("tests/test_b.py::test_lost", "error", finding("INCONCLUSIVE", "lost.example")),
    case_of("tests/test_b.py::test_skipped", "skipped"),
)
