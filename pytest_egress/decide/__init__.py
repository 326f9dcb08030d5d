"""What a call would meet: Envoy's own choices, made over a compiled contract without an Envoy."""

from __future__ import annotations

from pytest_egress.decide.call import Call
from pytest_egress.decide.decision import Decision, Step, Weighted
from pytest_egress.decide.procedure import Decider, decide

__all__ = ["Call", "Decider", "Decision", "Step", "Weighted", "decide"]
