"""Every recorded answer of istiod next to the product's own, through its public doors."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from pytest_egress.cli import main
from tests.conformance.calls import answers_of
from tests.conformance.cases import Case, compile_case, without_answers
from tests.conformance.differential import answer_differences, istiods_configuration
from tests.conformance.structure import compare

__all__ = [
    "EXPLAINED",
    "FIELDS",
    "Comparison",
    "behaviour",
    "call_differences",
    "differential",
    "foretold",
    "structure",
    "validation",
]

#: What a call is compared by: the proxy's own record against istiod's simulation.
FIELDS = ("verdict", "listener", "filter_chain", "route_config", "route")

#: Differences that are known and right, by the id of the case (and call), with the reason.
EXPLAINED: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many cases of one kind were compared, and where they differ (by id).

    ``allowed`` counts, by its name, what a reviewed allowance passed over.
    """

    what: str
    total: int
    differing: Mapping[str, str]
    allowed: Mapping[str, int] = field(default_factory=dict)

    @property
    def agreeing(self) -> int:
        """How many are equal."""
        return self.total - len(self.differing)

    @property
    def unexplained(self) -> list[str]:
        """The ids that differ for no known reason."""
        return [identity for identity in self.differing if identity not in EXPLAINED]


def behaviour(cases: Sequence[Case]) -> tuple[Comparison, Comparison]:
    """Contracts and calls: each call is made for real, through an Envoy of its contract."""
    _, answers = run("probe", cases)
    contracts: dict[str, str] = {}
    calls: dict[str, str] = {}
    for case, answer in zip(cases, answers, strict=True):
        if answer["id"] != case["id"] or "error" in answer:
            contracts[case["id"]] = json.dumps(answer)
            calls |= {f"{case['id']}/{it['id']}": "the contract is refused" for it in case["calls"]}
            continue
        for call, made in zip(case["calls"], answer["calls"], strict=True):
            told = list(call_differences(call, made))
            if told:
                calls[f"{case['id']}/{call['id']}"] = contracts[case["id"]] = "; ".join(told)
    total = sum(len(case["calls"]) for case in cases)
    return Comparison("contracts", len(cases), contracts), Comparison("calls", total, calls)


def call_differences(call: Case, made: Case) -> Iterable[str]:
    """What the call met through our Envoy against what it meets in istiod's simulation."""
    istiod = call["istiod"]
    if made.get("id") != call["id"]:
        yield f"answer to {made.get('id')!r}"
    # The simulation does not name a route configuration that stands inline in its listener.
    inline = "virtual_host" in istiod and "route_config" not in istiod
    # Of a split chance chooses, maybe what does not exist; the simulation takes the first.
    split = [it["cluster"] for it in istiod.get("clusters", ())]
    chosen = bool(split) and {made.get("verdict"), istiod["verdict"]} <= {"allowed", "no_cluster"}
    for name in FIELDS:
        if (name == "route_config" and inline) or (name == "verdict" and chosen):
            continue
        if made.get(name) != istiod.get(name):
            yield f"{name}: ours {made.get(name)!r} istiod {istiod.get(name)!r}"
    if made.get("cluster") not in (split or [istiod.get("cluster")]):
        yield f"cluster: ours {made.get('cluster')!r} istiod {split or istiod.get('cluster')!r}"


def foretold(cases: Sequence[Case]) -> Comparison:
    """Calls: what ``explain`` decides without an Envoy is what each meets through a real one."""
    _, answers = run("probe", cases)
    calls: dict[str, str] = {}
    for case, answer in zip(cases, answers, strict=True):
        decided = answers_of(compile_case(case), case["calls"])
        made = answer.get("calls", [{} for _ in case["calls"]])
        for call, told, met in zip(case["calls"], decided, made, strict=True):
            differing = list(call_differences({"id": call["id"], "istiod": told}, met))
            if differing:
                text = "; ".join(differing).replace("ours", "made").replace("istiod", "explained")
                calls[f"{case['id']}/{call['id']}"] = text
    return Comparison("explained", sum(len(case["calls"]) for case in cases), calls)


def differential(cases: Sequence[Case]) -> tuple[Comparison, Comparison]:
    """Contracts and calls: each call is made under our configuration, and under istiod's own."""
    _, ours = run("probe", cases)
    with istiods_configuration(cases):
        _, theirs = run("probe", cases)
    contracts: dict[str, str] = {}
    calls: dict[str, str] = {}
    for case, one, other in zip(cases, ours, theirs, strict=True):
        for call, told in answer_differences(case, one, other):
            calls[f"{case['id']}/{call}"] = contracts[case["id"]] = told
    total = sum(len(case["calls"]) for case in cases)
    return Comparison("contracts", len(cases), contracts), Comparison("calls", total, calls)


def validation(cases: Sequence[Case]) -> Comparison:
    """Documents: accepted, warned or refused."""
    _, answers = run("validate", cases)
    differing = {}
    for case, answer in zip(cases, answers, strict=True):
        ours, istiods = answer.get("verdict"), case["istiod"]["verdict"]
        if (answer["id"], ours) != (case["id"], istiods):
            said = [*case["istiod"]["errors"], *case["istiod"]["warnings"]]
            found = [problem["message"] for problem in answer.get("problems", ())]
            differing[case["id"]] = f"ours {ours} {found} istiod {istiods} {said}"
    return Comparison("documents", len(cases), differing)


def structure(cases: Sequence[Case]) -> Comparison:
    """Whole configurations, as JSON."""
    differing: dict[str, str] = {}
    allowed: dict[str, int] = {}
    for case in cases:
        lines, used = compare(compile_case(case), case["istiod"])
        if lines:
            differing[case["id"]] = "; ".join(lines)
        for name, count in used.items():
            allowed[name] = allowed.get(name, 0) + count
    return Comparison("configurations", len(cases), differing, allowed)


def run(command: str, cases: Iterable[Case]) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and answers of ``pytest-egress <command> --batch``, asked without istiod's."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "cases.jsonl")
        path.write_text("\n".join(map(json.dumps, without_answers(cases))), encoding="utf-8")
        arguments = [command, "--batch", str(path)]
        if command == "probe":
            _write_certificates(Path(directory))
            arguments += ["--pod-root", directory]
        with redirect_stdout(io.StringIO()) as output:
            code = main(arguments)
    return code, [json.loads(line) for line in output.getvalue().splitlines()]


def _write_certificates(root: Path) -> None:
    """The files that recorded rules and Gateways name, in a directory that stands for the pod's."""
    authority = trustme.CA()
    issued = authority.issue_cert("client.example.com")
    (root / "etc/certs").mkdir(parents=True)
    authority.cert_pem.write_to_path(root / "etc/certs/ca.pem")
    for certificate, key in (("client.pem", "key.pem"), ("c.pem", "k.pem")):
        issued.cert_chain_pems[0].write_to_path(root / "etc/certs" / certificate)
        issued.private_key_pem.write_to_path(root / "etc/certs" / key)
