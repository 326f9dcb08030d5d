"""Rules that refuse: what is told, and the edit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_egress.contract import loads
from pytest_egress.contract.position import Position
from pytest_egress.evidence import Evidence
from pytest_egress.probe import Target
from pytest_egress.report.routed import refused_by_rule

RULE = Position("egress.yaml", 7, 5)
LOST = Evidence(
    "http",
    "10.0.0.9:1",
    "198.18.0.1:80",
    "0.0.0.0_80",
    rule="default/http http[0]",
    response_flags=frozenset({"NC"}),
    missing_cluster="outbound|80||a.example.com",
)


@pytest.mark.parametrize(
    ("missing", "what", "edit"),
    [
        (
            "outbound|80||a.example.com",
            "outbound|80||a.example.com",
            "declare a.example.com: a ServiceEntry with that host and port 80",
        ),
        (
            "",
            "a cluster that the proxy does not have",
            "declare what the rule at egress.yaml:7:5 leads to",
        ),
    ],
)
def test_rule_that_leads_nowhere(missing: str, what: str, edit: str) -> None:
    """A proxy of a cluster does not always tell where to."""
    target = Target.parse("http://a.example.com")
    found = refused_by_rule(loads(""), target, replace(LOST, missing_cluster=missing), RULE)
    assert found is not None
    assert found.declares == f"VirtualService default/http http[0] to {what}"
    assert found.edit == edit
