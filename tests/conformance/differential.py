"""The same calls through a real Envoy under our configuration, and under istiod's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from pytest_egress import contract as contract_package
from pytest_egress import envoy
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import Program, compile_contract
from tests.conformance.cases import Case
from tests.conformance.structure import normalize

__all__ = ["answer_differences", "istiods_configuration"]


@contextmanager
def istiods_configuration(cases: Sequence[Case]) -> Iterator[None]:
    """In this block a contract is run with the configuration that istiod pushed for it.

    Istio's own extensions, which stock Envoy does not know, are taken out of it.
    """
    pushed = {f"<{case['id']}>": case["istiod"] for case in cases}

    def compiled(contract: Contract, workload: Workload) -> Program:
        (name,) = contract.files
        istiod = pushed[name]

        def part(kind: str) -> tuple[dict[str, Any], ...]:
            return tuple(normalize(it) for it in istiod.get(kind, ()))

        return replace(
            compile_contract(contract, workload),
            listeners=part("listeners"),
            routes=part("routes"),
            clusters=part("clusters"),
            endpoints=part("endpoints"),
        )

    def nothing(contract: Contract) -> list[Problem]:
        return []  # what we do not support is istiod's doing here

    with (
        mock.patch.object(envoy, "compile_contract", compiled),
        mock.patch.object(contract_package, "unsupported", nothing),
    ):
        yield


def answer_differences(
    case: Case, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """The calls that the two Envoys answered differently, each with what differs."""
    if "error" in ours or "error" in theirs:
        if ("error" in ours) != ("error" in theirs):
            told = f"ours {ours.get('error')} istiod {theirs.get('error')}"
            yield from ((call["id"], told) for call in case["calls"])
        return
    for call, one, other in zip(case["calls"], ours["calls"], theirs["calls"], strict=True):
        names = {it for it in one.keys() | other.keys() if one.get(it) != other.get(it)}
        if call.get("istiod", {}).get("clusters"):
            # Chance decides, each time anew, and one of the clusters may not exist.
            names -= {"cluster", "verdict", "outcome"}
        if names:
            values = (
                f"{it}: ours {one.get(it)!r} istiod {other.get(it)!r}" for it in sorted(names)
            )
            yield call["id"], "; ".join(values)
