"""Contract and workload in, Envoy configuration out: pure functions, istiod's names."""

from __future__ import annotations

from pytest_egress.envoy.program import Program, compile_contract

__all__ = ["Program", "compile_contract"]
