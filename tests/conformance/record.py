"""Ask istiod all recorded questions anew: ``python -m tests.conformance.record``.

The questions stand in the files beside this one, but for those of ``generated.jsonl``, which come
from seeds. The same questions and seeds give the same files: what istiod answers now so and now
so is asked several times, and left out where it is generated.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.conformance.asking import Oracle, OracleError, asking, fields, find_oracle
from tests.conformance.cases import Case, needs_a_cluster, read_cases
from tests.conformance.compare import run
from tests.conformance.differential import istiods_configuration
from tests.conformance.generate import generated_cases
from tests.conformance.structure import normalized

__all__ = ["RECORDERS", "main", "questions_of"]

#: What ``generated.jsonl`` is made of: so many contracts from each seed.
SEEDS: Mapping[int, int] = {101: 30, 102: 30}

# So often istiod is asked each question.
_TIMES = 8
_CALL = (
    "verdict",
    "listener",
    "filter_chain",
    "route_config",
    "virtual_host",
    "route",
    "cluster",
    "direct_response",
)


def questions_of(number: int, count: int) -> list[dict[str, Any]]:
    """The contracts that hypothesis builds from a seed."""
    found: list[dict[str, Any]] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(generated_cases(settled=True))
    def collect(case: dict[str, Any]) -> None:
        found.append({"id": f"h{number}-{len(found)}", **case})

    collect()
    return found


def answers(oracle: Oracle, question: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What istiod answers when asked several times: each answer once."""
    given_answers = []
    for _ in range(_TIMES):
        answer = oracle.ask(question)
        for name in ("id", "istio", "engine", "ms"):
            answer.pop(name, None)
        if answer not in given_answers:
            given_answers.append(answer)
    return given_answers


def _validation(oracle: Oracle) -> Iterator[dict[str, Any]]:
    for case in read_cases("validation"):
        question = {"yaml": case["yaml"], "validate": True, "crd": True}
        said = []
        for answer in answers(oracle, question):
            documents = answer.get("validation", ())
            errors = [it for document in documents for it in document.get("errors", ())]
            warnings = [it for document in documents for it in document.get("warnings", ())]
            verdict = "refused" if errors else "warned" if warnings else "accepted"
            said.append({"verdict": verdict, "errors": errors, "warnings": warnings})
        # Only the order of what is said changes from one time to the next.
        kept = case["istiod"] if case["istiod"] in said else min(said, key=json.dumps)
        yield {**case, "istiod": kept}


def _behaviour(oracle: Oracle) -> Iterator[dict[str, Any]]:
    for case in read_cases("behaviour"):
        said = [answer["simulate"] for answer in answers(oracle, {**case, "want": ["simulate"]})]
        if len(said) > 1:
            raise OracleError(f"{case['id']}: istiod is not of one mind")
        calls = zip(case["calls"], said[0], strict=True)
        yield {**case, "calls": [{**call, "istiod": _met(met)} for call, met in calls]}


def _met(met: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: met[name] for name in _CALL if met.get(name)}
    if met.get("weighted_clusters"):
        told["clusters"] = met["weighted_clusters"]
    if met.get("error"):
        told["error"] = met["error"]
    return told


def _structure(oracle: Oracle) -> Iterator[dict[str, Any]]:
    for case in read_cases("structure"):
        question = {key: value for key, value in case.items() if key != "istiod"}
        said = answers(oracle, question)
        # Written by hand to show a rule: where istiod is of two minds, one of them is kept.
        kept = case["istiod"] if case.get("istiod") in said else said[0]
        if "error" in kept:
            raise OracleError(f"{case['id']}: {kept['error']}")
        yield {**question, "istiod": kept}


def _generated(oracle: Oracle) -> Iterator[dict[str, Any]]:
    found = []
    for number, count in SEEDS.items():
        for question in questions_of(number, count):
            said = answers(oracle, {**question, "crd": True})
            if len(said) > 1 or "error" in said[0]:
                continue
            calls = zip(question["calls"], said[0].get("simulate", ()), strict=True)
            # What the simulation calls an error (bytes that a codec cannot read, a split of TCP)
            # is none of the verdicts.
            calls_met = [
                {**call, "istiod": _met(met)} for call, met in calls if met["verdict"] != "error"
            ]
            found.append({**question, "calls": calls_met, "istiod": normalized(said[0])})
    sidecars = [
        case for case in found if case.get("type") != "router" and not needs_a_cluster(case)
    ]
    with istiods_configuration(sidecars):
        _, made = run("probe", sidecars)
    # What istiod pushes and Envoy refuses has no calls to compare.
    refused = {answer["id"] for answer in made if "error" in answer}
    return (case for case in found if case["id"] not in refused)


#: The files, and how each is recorded.
RECORDERS: Mapping[str, Callable[[Oracle], Iterable[Case]]] = {
    "validation": _validation,
    "behaviour": _behaviour,
    "structure": _structure,
    "generated": _generated,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Record from the command line.

    Returns:
        0, or 2 when there is no oracle, or it answers to what it should not.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oracle", default="", metavar="PATH")
    parser.add_argument("--directory", type=Path, default=Path(__file__).parent)
    parser.add_argument("names", nargs="*", default=list(RECORDERS), metavar="NAME")
    options = parser.parse_args(arguments)
    try:
        path = find_oracle(options.oracle)
        (options.directory / "fields.json").write_text(fields(path), encoding="utf-8")
        with asking(path) as oracle:
            for name in options.names:
                cases = list(RECORDERS[name](oracle))
                text = "".join(json.dumps(case, separators=(",", ":")) + "\n" for case in cases)
                (options.directory / f"{name}.jsonl").write_text(text, encoding="utf-8")
                sys.stdout.write(f"{name}: {len(cases)} cases\n")
    except OracleError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
