"""Whole configurations, and single calls played over them, against istiod's recorded answers."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Any

import pytest

from tests.conformance.calls import answers_of, call_differences
from tests.conformance.cases import compile_case, recorded
from tests.conformance.structure import ALLOWED, compare, differences, normalize

_WHOLE = [*recorded("structure"), *recorded("generated")]
_CALLS = [*recorded("behaviour"), *recorded("generated")]


@pytest.mark.parametrize("case", _WHOLE, ids=lambda case: case["id"])
def test_configuration_equals_istiods(case: dict[str, Any]) -> None:
    """Listeners, routes, clusters and endpoints are those that istiod pushes, as whole JSON."""
    program = compile_case(case)
    assert differences(program, case["istiod"]) == []
    met = case["istiod"].get("simulate", ())
    assert call_differences(program, case["calls"] if met else (), met) == []


@pytest.mark.parametrize("case", _CALLS, ids=lambda case: case["id"])
def test_calls_meet_what_they_meet_under_istiod(case: dict[str, Any]) -> None:
    """Each call gets istiod's verdict, listener, chain, virtual host, route and cluster."""
    program = compile_case(case)
    recorded = [dict(it["istiod"]) for it in case["calls"]]
    for answer in recorded:
        answer.pop("error", None)  # the verdict says it
    assert answers_of(program, case["calls"]) == recorded


def test_comparison_sees_every_kind_of_difference() -> None:
    """A change anywhere in istiod's answer is reported, so the equality above means something."""
    case = recorded("structure")[0]
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


def test_every_allowance_is_needed_and_has_a_reason() -> None:
    """An allowance that no case makes use of would hide the first difference it meets."""
    used: Counter[str] = Counter()
    for case in recorded("structure"):
        used += compare(compile_case(case), case["istiod"])[1]
    assert set(used) == {allowance.name for allowance in ALLOWED}
    assert all(allowance.reason for allowance in ALLOWED)


def test_an_allowance_passes_over_nothing_else() -> None:
    """What stands beside an allowed piece stays; what it empties goes, what was empty stays."""
    given = {
        "metadata": {"filter_metadata": {"istio": {"a": 1}, "envoy.lb": {"b": 2}}},
        "filters": [{"name": "istio.stats"}, {"name": "envoy.filters.network.tcp_proxy"}],
        "tracing": {"c": 3},
        "typed": {"metadata": {"filter_metadata": {"istio": {}}}},
        "opts": {},
    }
    assert normalize(given) == {
        "metadata": {"filter_metadata": {"envoy.lb": {"b": 2}}},
        "filters": [{"name": "envoy.filters.network.tcp_proxy"}],
        "opts": {},
    }
