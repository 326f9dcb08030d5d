"""A lookup as a finding: verdict, evidence, words, and its row in every report."""

from __future__ import annotations

import json

import pytest

from pytest_egress.contract.resources import Workload
from pytest_egress.outcome import Resolution
from pytest_egress.probe import DnsAnswer
from pytest_egress.report.as_json import json_of
from pytest_egress.report.findings import Finding
from pytest_egress.report.github import job_summary
from pytest_egress.report.html.page import html_of
from pytest_egress.report.lookups import finding_of_lookup
from pytest_egress.report.properties import properties_of
from pytest_egress.report.results import results_of
from tests.report.runs import PLACE, case_of, run_of
from tests.report.schemas import validate_run

FOUND = DnsAnswer("a.test", "NOERROR", ("192.0.2.1", "192.0.2.2"), ("b.test",), 30, 0.002)
MISSING = DnsAnswer("a.test", "NXDOMAIN")


def found(answer: DnsAnswer = FOUND, failure: str = "") -> Finding:
    """The finding of a lookup."""
    workload = Workload("shop", {"app": "web"}, dns_capture=True)
    resolution = Resolution("a.test", answer, failure, "A", workload, (PLACE,))
    return finding_of_lookup(resolution, "t.py::test")


@pytest.mark.parametrize(
    ("finding", "verdict", "reason", "state"),
    [
        (found(), "RESOLVED", "Istio's agent answered 192.0.2.1, 192.0.2.2", "decided"),
        (found(MISSING), "UNRESOLVED", "Istio's agent answered NXDOMAIN", "decided"),
        (found(DnsAnswer("a.test", "NOERROR")), "UNRESOLVED",
         "Istio's agent answered NOERROR", "decided"),
        (found(DnsAnswer("a.test", "TIMEOUT"), "nobody is there"), "INCONCLUSIVE",
         "nobody is there", "missed"),
    ],
)  # fmt: skip
def test_verdict(finding: Finding, verdict: str, reason: str, state: str) -> None:
    """An address, none, and no proof either way."""
    assert (finding.kind, finding.target) == ("lookup", "dns://a.test")
    assert (finding.verdict, finding.reason) == (verdict, reason)
    assert [(it.kind, it.state) for it in finding.steps] == [("dns", state)]
    assert finding.workload == "shop/app=web"


def test_evidence_is_the_answer_and_who_gave_it() -> None:
    """Without Istio's agent it is the pod's name server; another type of record is told."""
    assert found().records == (
        {
            "proxy": "Istio's agent", "kind": "lookup", "rcode": "NOERROR",
            "addresses": ["192.0.2.1", "192.0.2.2"], "cnames": ["b.test"], "ttl": 30,
        },
    )  # fmt: skip
    plain = finding_of_lookup(Resolution("a.test", MISSING, "", "AAAA", Workload()), "t.py::test")
    assert plain.records == ({"proxy": "the name server", "kind": "lookup", "rcode": "NXDOMAIN"},)
    assert plain.target == "dns://a.test?type=AAAA"
    assert plain.explanation.splitlines() == [
        "target    dns://a.test?type=AAAA",
        "verdict   UNRESOLVED: the name server answered NXDOMAIN",
        "declared  nowhere",
    ]


def test_every_report_has_it() -> None:
    """JSON (valid), HTML, JUnit properties, results and GitHub's summary."""
    finding = found()
    assert Finding.from_json(json.loads(json.dumps(finding.to_json()))) == finding
    case = case_of("t.py::test", "failed", finding, message="E   expected a.test to resolve")
    run = run_of(case)
    told = json.loads(json_of(run))
    validate_run(told)
    assert told["schema"] == 2
    assert told["verdicts"] == {"RESOLVED": 1}
    assert told["tests"][0]["findings"][0]["target"] == "dns://a.test"
    page = html_of(run)
    assert 'class="way resolved"' in page
    assert 'data-verdict="RESOLVED"' in page
    assert dict(properties_of([finding])) == {
        "egress_target": "dns://a.test",
        "egress_verdict": "RESOLVED",
        "egress_reason": "Istio's agent answered 192.0.2.1, 192.0.2.2",
        "egress_cluster": "",
        "egress_declared_by": str(PLACE),
    }
    [result] = [it for it in results_of(run) if it.level == "error"]
    assert "verdict   RESOLVED: Istio's agent answered 192.0.2.1, 192.0.2.2" in result.message
    assert "| RESOLVED | 1 |" in job_summary(run)


def test_a_lookup_exercises_nothing() -> None:
    """Coverage counts calls."""
    assert run_of(case_of("t.py::test", "passed", found())).coverage.exercised == ()
