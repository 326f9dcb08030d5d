"""Refused parts that no resource has made."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import compile_contract
from pytest_egress.envoy.blame import blame
from pytest_egress.envoy.parts import LISTENERS


def test_a_listener_of_no_entry() -> None:
    """A gateway's is on a socket of ours: it has no port, and no entry declares it."""
    chain: dict[str, Any] = {"filters": [{"typed_config": {}}]}
    listener = {"name": "0.0.0.0_80", "address": {"pipe": {"path": "0"}}, "filter_chains": [chain]}
    program = compile_contract(loads(""), Workload())
    assert blame((LISTENERS, 0, 0), (listener, chain), "words", program) is None
