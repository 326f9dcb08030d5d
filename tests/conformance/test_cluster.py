"""The command that asks a backend of recorded contracts, tried on the embedded Envoy."""

from __future__ import annotations

from pytest_egress.backends.local import LocalBackend
from tests.conformance.cluster import chosen, compared, main


def test_each_combination_of_kinds_is_there() -> None:
    """Sixty contracts, the eight combinations in turn; a longer list begins with a shorter one."""
    cases = chosen(60)
    assert len({case["id"] for case in cases}) == 60
    optional = ("Sidecar", "VirtualService", "DestinationRule")
    kinds = [frozenset(it for it in optional if f"kind: {it}" in case["yaml"]) for case in cases]
    assert len(set(kinds)) == 8
    assert all(kinds.count(it) >= 7 for it in set(kinds))
    assert chosen(16) == cases[:16]
    assert sum(len(case["calls"]) for case in cases) > 600


def test_what_differs_is_told(backend: LocalBackend) -> None:
    """A call that meets something else than istiod's answer, with its words; others agree."""
    case = chosen(1)[0]
    assert compared(case, backend, backend).differences == ()
    first, *others = case["calls"]
    wrong = {**first, "istiod": {**first["istiod"], "cluster": "outbound|1||nowhere.example"}}
    result = compared({**case, "calls": [wrong, *others]}, backend, backend)
    (difference,) = result.differences
    assert difference.startswith(f"{first['id']} ")
    assert "istiod 'outbound|1||nowhere.example'" in difference
    assert result.calls == len(case["calls"])


def test_a_contract_that_is_refused_is_no_agreement(backend: LocalBackend) -> None:
    """Nor is a run of nothing."""
    broken = {**chosen(1)[0], "mesh": "outboundTrafficPolicy: {mode: SHUT}"}
    result = compared(broken, backend, backend)
    assert (result.calls, result.differences) == (0, ())
    assert "SHUT" in result.refused
    assert main(["--backend", "local", "--cases", "0"]) == 1
