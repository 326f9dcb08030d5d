"""Contracts that hypothesis builds, judged by istiod and by us: ``python -m ...generated``."""

from __future__ import annotations

import argparse
import json
import math
import secrets
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import FlakyFailure

from pytest_egress.contract import check, verdict
from pytest_egress.errors import ContractError
from tests.conformance.asking import Oracle, OracleError, asking, find_oracle
from tests.conformance.calls import call_differences
from tests.conformance.cases import Case, compile_case, istiod_fails
from tests.conformance.generate import KINDS, generated_cases
from tests.conformance.structure import compare, configuration_differences, normalized

__all__ = ["Tally", "differences_of", "run_generated"]

# istiod is asked so often whether an answer that is not ours is its only one.
_REPEATS = 20
# What is told of a case, beside its mesh and its resources.
_ABOUT = ("type", "namespace", "labels", "locality", "metadata", "calls")
# So many seconds a difference is made smaller.
_SHRINKING = 60.0
# So many examples come from one seed; hypothesis makes many of them twice.
_A_SEED = 100


class Tally(Counter[str]):
    """How many examples came to which end: equal, refused, unstable, istiod fails."""


def differences_of(case: Case, oracle: Oracle, tally: Tally) -> list[str]:
    """Where our answer to a case is not istiod's; empty where the two agree."""
    answer = oracle.ask({**case, "crd": True})
    problems = check(case["yaml"])
    ours, theirs = verdict(problems), _verdict(answer)
    if ours != theirs:
        said = [str(it) for it in problems if it.severity == "error"] or [str(p) for p in problems]
        return [f"verdict: ours {ours} {said} istiod {theirs} {answer.get('validation')}"]
    if ours == "refused":
        tally["refused"] += 1
        return []
    if "error" in answer:
        # A nil pointer of istiod's, on what it has accepted: we refuse that with a reason.
        tally["istiod fails"] += 1
        return (
            [] if istiod_fails(case) else [f"ours compiles where istiod fails: {answer['error']}"]
        )
    found = _compare(case, answer)
    if found and _unstable(case, answer, found, oracle):
        tally["unstable"] += 1
        return []
    if not found:
        tally["equal"] += 1
    return found


def _verdict(answer: Mapping[str, Any]) -> str:
    if answer.get("error_kind") in {"validation", "parse"}:
        return "refused"
    return "warned" if answer.get("validation") else "accepted"


def _compare(case: Case, answer: Mapping[str, Any]) -> list[str]:
    try:
        program = compile_case(case)
    except ContractError as error:
        return [f"ours refuses: {error}"]
    found, _ = compare(program, answer)
    if found:
        return found
    return call_differences(program, case.get("calls", ()), answer.get("simulate", ()))


def _unstable(case: Case, answer: Mapping[str, Any], found: Sequence[str], oracle: Oracle) -> bool:
    """Whether each difference is where istiod's own answers differ from one to the next."""
    places = {line.partition(": ")[0] for line in found}
    first = normalized(answer)
    for _ in range(_REPEATS):
        again = oracle.ask({**case, "crd": True})
        if not _compare(case, again):
            return True
        own = configuration_differences(first, normalized(again))
        places -= {line.partition(": ")[0] for line in own}
        if not places:
            return True
    return False


def run_generated(
    oracle: Oracle, examples: int, number: int, kinds: Collection[str] = KINDS
) -> tuple[Tally, list[str], range]:
    """Compare so many different contracts, from one seed after the other.

    Returns:
        the tally; of each seed the first difference, made as small as it gets, with the case that
        shows it; the seeds.
    """
    tally = Tally()
    differing: list[str] = []
    seen: dict[str, list[str]] = {}  # asked again, istiod might give another answer

    def judge(case: Case) -> list[str]:
        key = json.dumps(case)
        if key not in seen:
            try:
                seen[key] = differences_of(case, oracle, tally)
            except OracleError:
                raise
            except Exception as error:  # noqa: BLE001  a crash of ours is a difference like others
                where = traceback.extract_tb(error.__traceback__)[-1]
                seen[key] = [f"ours crashes at {where.name}: {error!r}"]
        return seen[key]

    first = number
    while len(seen) < examples:
        told = _first_difference(number, kinds, judge)
        differing += [told] if told else []
        number += 1
    return tally, differing, range(first, number)


def _first_difference(
    number: int, kinds: Collection[str], judge: Callable[[Case], list[str]]
) -> str:
    told = ""
    until = math.inf

    @seed(number)
    @settings(
        max_examples=_A_SEED,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(generated_cases(kinds))
    def judged(case: Case) -> None:
        nonlocal told, until
        if time.monotonic() > until:
            return  # small enough
        if found := judge(case):
            until = min(until, time.monotonic() + _SHRINKING)
            told = "\n".join([*found, "", _shown(case)])
            raise AssertionError(found[0].partition(": ")[0])

    try:
        judged()
    except (AssertionError, FlakyFailure):  # flaky: it has become small enough
        if not told:
            raise
    return told


def _shown(case: Case) -> str:
    about = [f"{it}: {case[it]}" for it in _ABOUT if it in case]
    about += case["mesh"].splitlines()
    return "\n".join([*(f"# {line}" for line in about), case["yaml"]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line.

    Returns:
        0, 1 when there is a difference, 2 when there is no oracle.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oracle", default="", metavar="PATH")
    parser.add_argument("--examples", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), metavar="N")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    options = parser.parse_args(arguments)
    try:
        path = find_oracle(options.oracle)
    except OracleError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    start = time.monotonic()
    with asking(path) as oracle:
        run = run_generated(oracle, options.examples, options.seed, options.kinds)
    tally, differing, seeds = run
    counts = ", ".join(f"{count} {name}" for name, count in sorted(tally.items()))
    seconds = time.monotonic() - start
    sys.stdout.write(f"seeds {seeds[0]} to {seeds[-1]}: {counts} in {seconds:.0f} s\n")
    for told in differing:
        sys.stdout.write(f"DIFFERENT:\n{told}\n")
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
