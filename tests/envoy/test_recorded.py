"""Each recorded answer of istiod: whole configurations, and single calls."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.conformance.cases import compile_case, read_cases
from tests.conformance.simulation import Call, simulate
from tests.conformance.structure import differences


@pytest.mark.parametrize("case", read_cases("structure"), ids=lambda case: case["id"])
def test_configuration_equals_istiods(case: dict[str, Any]) -> None:
    """Listeners, routes, clusters and endpoints are those that istiod pushes, as whole JSON."""
    assert differences(compile_case(case), case["istiod"]) == []


@pytest.mark.parametrize("case", read_cases("behaviour"), ids=lambda case: case["id"])
def test_calls_meet_what_they_meet_under_istiod(case: dict[str, Any]) -> None:
    """Each call gets istiod's verdict, listener, chain, virtual host, route and cluster."""
    program = compile_case(case)
    answers = {it["id"]: simulate(program, Call.from_json(it)).to_json() for it in case["calls"]}
    assert answers == {it["id"]: it["istiod"] for it in case["calls"]}


def test_comparison_sees_every_kind_of_difference() -> None:
    """A change anywhere in istiod's answer is reported, so the equality above means something."""
    case = read_cases("structure")[0]
    program = compile_case(case)
    for kind, path in (
        ("listeners", ("filter_chains", 0, "transport_socket_connect_timeout")),
        ("routes", ("virtual_hosts", 0, "domains", 0)),
        ("clusters", ("dns_lookup_family",)),
    ):
        changed = deepcopy(case["istiod"])
        target = changed[kind][0]
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = "changed"
        assert differences(program, changed)
    fewer = {**case["istiod"], "clusters": case["istiod"]["clusters"][1:]}
    assert differences(program, fewer)


def test_no_recorded_case_is_missing() -> None:
    """An empty file would pass as no case at all."""
    assert len(read_cases("structure")) == 42
    assert len(read_cases("behaviour")) == 99
