"""The way of a call: its steps, and which of them decided."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.evidence import BLACK_HOLE, PASSTHROUGH, Evidence, Hop
from pytest_egress.report.steps import Step, steps_of
from pytest_egress.verdict import Verdict

LOOKUP = Step("dns", "", "api.weather.com", "198.18.0.1")
UPSTREAM = Step("upstream", "", "198.18.0.1:443")
CLUSTER = "outbound|443||api.weather.com"


def record(kind: str = "http", *, flags: str = "", **values: Any) -> Evidence:
    """A proxy's record."""
    return Evidence(
        kind,
        "s",
        "198.18.0.1:443",
        "0.0.0.0_443",
        response_flags=frozenset(flags.split()),
        **values,
    )


def steps(verdict: Verdict, evidence: Evidence | None, *hops: Hop) -> list[Step]:
    """The steps, with a lookup and an upstream."""
    return list(steps_of(verdict, LOOKUP, evidence, hops, UPSTREAM))


def decided(found: list[Step]) -> list[str]:
    """The kinds of the steps that decided."""
    return [step.kind for step in found if step.state == "decided"]


@pytest.mark.parametrize(
    ("verdict", "evidence", "kind"),
    [
        (Verdict.REACHABLE, record(cluster=CLUSTER, route="default"), "upstream"),
        (Verdict.REACHABLE, record("connection", cluster=CLUSTER), "upstream"),
        (Verdict.BLOCKED, record(route="block_all", route_config="80"), "route"),
        (Verdict.BLOCKED, record(route_config="80", flags="NR"), "route"),
        (Verdict.BLOCKED, record("connection", flags="NR"), "chain"),
        (Verdict.BLOCKED, record("connection", cluster=BLACK_HOLE, flags="UH"), "chain"),
        (Verdict.BLOCKED, record(missing_cluster=CLUSTER, flags="NC"), "cluster"),
        (Verdict.UNREACHABLE, record(cluster=CLUSTER, flags="UF"), "upstream"),
        (Verdict.UNREACHABLE, record(cluster=CLUSTER, flags="UH"), "cluster"),
        (Verdict.UNREACHABLE, record(cluster=CLUSTER, flags="UT"), "upstream"),
        (Verdict.UNREACHABLE, record(cluster=CLUSTER, flags="UT", rule="a/b http[0]"), "route"),
        (Verdict.UNDECLARED, record("connection", cluster=PASSTHROUGH), "chain"),
        (Verdict.UNDECLARED, record(cluster=PASSTHROUGH, route="allow_any"), "route"),
        (Verdict.UNRESOLVED, None, "dns"),
    ],
)
def test_one_step_decides(verdict: Verdict, evidence: Evidence | None, kind: str) -> None:
    """What is behind it was not reached."""
    found = steps(verdict, evidence)
    assert decided(found) == [kind]
    place = next(i for i, step in enumerate(found) if step.state == "decided")
    assert {step.state for step in found[place + 1 :]} <= {"missed"}
    assert [step.kind for step in found][2] == ("route" if kind == "route" else found[2].kind)


def test_without_proof_nothing_decides() -> None:
    """What is known of the way is shown all the same."""
    found = steps(Verdict.INCONCLUSIVE, record(route_config="80"))
    assert decided(found) == []
    assert [step.state for step in found[:2]] == ["passed", "passed"]
    found = steps(Verdict.INCONCLUSIVE, None)
    assert [step.state for step in found] == ["passed", "missed", "missed", "missed", "passed"]


def test_each_proxy_has_its_steps() -> None:
    """A gateway's listener, route and cluster come behind the sidecar's."""
    sidecar = Hop("sidecar", record(cluster="outbound|443||gw", route="to-gateway"))
    gateway = Hop("gw.istio-system", record(flags="NR", route_config="https"))
    found = steps(Verdict.BLOCKED, gateway.evidence, sidecar, gateway)
    assert [step.kind for step in found] == [
        *("dns", "listener", "route", "cluster", "listener", "route", "cluster", "upstream")
    ]
    assert [step.proxy for step in found][4:7] == ["gw.istio-system"] * 3
    assert [step.state for step in found][3:6] == ["passed", "passed", "decided"]


def test_a_gateway_that_does_not_listen_decides() -> None:
    """It has no record, but a reason."""
    sidecar = Hop("sidecar", record(cluster="outbound|443||gw", route="to-gateway"))
    found = steps(
        Verdict.BLOCKED, sidecar.evidence, sidecar, Hop("gw", None, "nothing listens on port 443")
    )
    assert [(it.kind, it.proxy, it.detail) for it in found if it.state == "decided"] == [
        ("listener", "gw", "nothing listens on port 443")
    ]


def test_a_stranger_is_let_through_by_the_first_proxy_that_says_so() -> None:
    """The sidecar knew it, the gateway did not."""
    sidecar = Hop("sidecar", record(cluster="outbound|443||gw", route="to-gateway"))
    gateway = Hop("gw", record("connection", cluster=PASSTHROUGH))
    found = steps(Verdict.UNDECLARED, gateway.evidence, sidecar, gateway)
    assert [(it.kind, it.proxy) for it in found if it.state == "decided"] == [("chain", "gw")]


def test_steps_travel() -> None:
    """As plain values and back."""
    for step in steps(Verdict.REACHABLE, record(cluster=CLUSTER)):
        assert Step.from_json(step.to_json()) == step
