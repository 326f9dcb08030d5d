"""Hypothesis strategies that build contracts and calls, to be judged by istiod and by us."""

from tests.conformance.generate.contracts import KINDS, generated_cases

__all__ = ["KINDS", "generated_cases"]
