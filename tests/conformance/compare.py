"""Every recorded answer of istiod next to the product's own, through its public doors."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_egress.cli import main
from tests.conformance.cases import compile_case, read_cases
from tests.conformance.structure import differences

__all__ = ["EXPLAINED", "FIELDS", "Comparison", "behaviour", "structure", "validation"]

#: What a call is compared by: the proxy's own record against istiod's simulation.
FIELDS = ("verdict", "listener", "filter_chain", "route_config", "route", "cluster")

#: Differences that are known and right, by the id of the case (and call), with the reason.
EXPLAINED: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many cases of one kind were compared, and where they differ (by id)."""

    what: str
    total: int
    differing: Mapping[str, str]

    @property
    def agreeing(self) -> int:
        """How many are equal."""
        return self.total - len(self.differing)

    @property
    def unexplained(self) -> list[str]:
        """The ids that differ for no known reason."""
        return [identity for identity in self.differing if identity not in EXPLAINED]


def behaviour() -> tuple[Comparison, Comparison]:
    """Contracts and calls: each call is made for real, through an Envoy of its contract."""
    cases = read_cases("behaviour")
    _, answers = run("probe", cases)
    contracts: dict[str, str] = {}
    calls: dict[str, str] = {}
    for case, answer in zip(cases, answers, strict=True):
        if answer["id"] != case["id"] or "error" in answer:
            contracts[case["id"]] = json.dumps(answer)
            calls |= {f"{case['id']}/{it['id']}": "the contract is refused" for it in case["calls"]}
            continue
        for call, made in zip(case["calls"], answer["calls"], strict=True):
            told = [
                f"{name}: ours {made.get(name)!r} istiod {call['istiod'].get(name)!r}"
                for name in ("id", *FIELDS)
                if made.get(name) != (call if name == "id" else call["istiod"]).get(name)
            ]
            if told:
                calls[f"{case['id']}/{call['id']}"] = contracts[case["id"]] = "; ".join(told)
    total = sum(len(case["calls"]) for case in cases)
    return Comparison("contracts", len(cases), contracts), Comparison("calls", total, calls)


def validation() -> Comparison:
    """Documents: accepted, warned or refused."""
    cases = read_cases("validation")
    _, answers = run("validate", cases)
    differing = {}
    for case, answer in zip(cases, answers, strict=True):
        ours, istiods = answer.get("verdict"), case["istiod"]["verdict"]
        if (answer["id"], ours) != (case["id"], istiods):
            said = [*case["istiod"]["errors"], *case["istiod"]["warnings"]]
            differing[case["id"]] = f"ours {ours} istiod {istiods} {said}"
    return Comparison("documents", len(cases), differing)


def structure() -> Comparison:
    """Whole configurations, as JSON."""
    cases = read_cases("structure")
    found = {case["id"]: differences(compile_case(case), case["istiod"]) for case in cases}
    differing = {identity: "; ".join(lines) for identity, lines in found.items() if lines}
    return Comparison("configurations", len(cases), differing)


def run(command: str, cases: Iterable[Mapping[str, Any]]) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and answers of ``pytest-egress <command> --batch``, asked without istiod's."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "cases.jsonl")
        questions = [
            {
                **{key: value for key, value in case.items() if key not in {"istiod", "calls"}},
                "calls": [
                    {key: value for key, value in call.items() if key != "istiod"}
                    for call in case.get("calls", ())
                ],
            }
            for case in cases
        ]
        path.write_text("\n".join(map(json.dumps, questions)), encoding="utf-8")
        with redirect_stdout(io.StringIO()) as output:
            code = main([command, "--batch", str(path)])
    return code, [json.loads(line) for line in output.getvalue().splitlines()]
