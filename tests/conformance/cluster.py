"""``python -m tests.conformance.cluster``: recorded contracts on a real cluster.

Each contract is applied by a backend, and each of its recorded calls is made from that backend's
pod, through the sidecar that the cluster itself has configured. What the sidecar decided must be
what istiod's simulation was recorded to decide, and the verdict the one of the backend ``local``.
Settings of the backend come from their environment variables.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pytest_egress.backends.protocol import Backend
from pytest_egress.backends.registry import create
from pytest_egress.cli.batch import answer_call
from pytest_egress.contract.resources import Workload
from pytest_egress.errors import BackendError, CapabilityError, ContractError
from pytest_egress.settings import outside_of_pytest
from tests.conformance.cases import Case, contract_of, enforced
from tests.conformance.compare import FIELDS, call_differences

__all__ = ["EXPLAINED", "Result", "chosen", "compared", "main"]

#: Contracts of which the verdict differs from the one of ``local`` for a known reason.
EXPLAINED: Mapping[str, str] = {}

_TIMEOUT = 5.0  # seconds for one call
_KINDS = ("ServiceEntry", "Sidecar", "VirtualService", "DestinationRule")


@dataclass(frozen=True, slots=True)
class Result:
    """One contract on a backend.

    Attributes:
        calls: how many were made.
        differences: of calls, each with its id, what istiod said and what it met.
        explained: why they are right, empty where that is not known.
        refused: why the backend does not enforce the contract, empty where it does.
        seconds: from the contract to the last call's evidence.
    """

    case: str
    calls: int
    differences: tuple[str, ...]
    refused: str
    seconds: float
    explained: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each contract, then the counts.

    Returns:
        0; 1 when a call differs, a contract is refused, or the backend fails.
    """
    options = _parser().parse_args(arguments)
    cases = [case for case in chosen(options.cases) if not options.id or case["id"] in options.id]
    given = {"context": options.context} if options.context else {}

    def get(name: str) -> Any:
        return given[name] if name in given else outside_of_pytest(name)

    with ExitStack() as stack:
        local, backend = create("local", outside_of_pytest), create(options.backend, get)
        stack.callback(local.close)
        stack.callback(backend.close)
        backend.prepare()
        results = []
        for case in cases:
            result = compared(case, backend, local)
            results.append(result)
            _write(_line(result))
    differing = [it for it in results if it.differences and not it.explained]
    refused = [it for it in results if it.refused]
    calls = sum(it.calls for it in results)
    _write(
        f"{options.backend}: {len(results)} contracts, {calls} calls, "
        f"{sum(it.seconds for it in results):.0f} s; differ: {len(differing)} contracts, "
        f"{sum(len(it.differences) for it in differing)} calls; "
        f"explained: {sum(bool(it.explained) for it in results)}; refused: {len(refused)}"
    )
    return 1 if differing or refused or not results else 0


def chosen(count: int) -> list[Case]:
    """So many recorded contracts, each combination of kinds in turn."""
    by_kinds: dict[tuple[str, ...], list[Case]] = defaultdict(list)
    for case in enforced("behaviour"):
        kinds = tuple(kind for kind in _KINDS if f"kind: {kind}\n" in case["yaml"])
        by_kinds[kinds].append(case)
    columns = [by_kinds[kinds] for kinds in sorted(by_kinds)]
    longest = max(map(len, columns))
    rounds = [case for row in range(longest) for cases in columns for case in cases[row : row + 1]]
    return rounds[:count]


def compared(case: Case, backend: Backend, local: Backend) -> Result:
    """Make a contract's calls on a backend, and the same on ``local``."""
    began = time.monotonic()
    workload = Workload(case.get("namespace") or "default", case.get("labels") or {})
    try:
        contract = contract_of(case)
        mesh = backend.enforce(contract, workload)
        made = [answer_call(mesh, call, _TIMEOUT) for call in case["calls"]]
    except (BackendError, CapabilityError, ContractError) as error:
        return Result(case["id"], 0, (), str(error), time.monotonic() - began)
    seconds = time.monotonic() - began
    pod = local.enforce(contract, workload)
    differences = []
    for call, met in zip(case["calls"], made, strict=True):
        expected = answer_call(pod, call, _TIMEOUT)
        told = list(_differences(call, met, expected))
        if told:
            differences.append(f"{call['id']} {_spelt(call)}: {'; '.join(told)}")
    explained = EXPLAINED.get(case["id"], "") if differences else ""
    return Result(case["id"], len(made), tuple(differences), "", seconds, explained)


def _differences(call: Case, met: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[str]:
    """What differs of a call; what the proxy's own record does not hold is not compared."""
    unknown = [name for name in FIELDS if name != "verdict" and name not in met]
    if met["verdict"] == "no_cluster" and "cluster" not in met:
        unknown.append("cluster")  # Envoy does not say which cluster there is not
    istiod = {key: value for key, value in call["istiod"].items() if key not in unknown}
    yield from call_differences({**call, "istiod": istiod}, met)
    if met.get("outcome") != expected.get("outcome"):
        yield f"outcome: {met.get('outcome')} locally {expected.get('outcome')}"


def _spelt(call: Case) -> str:
    asked = call.get("host") or call.get("sni") or ""
    return f"{call['protocol']} {call.get('address', '')}:{call['port']} {asked}".strip()


def _line(result: Result) -> str:
    if result.refused:
        return f"{result.case:<12} REFUSED {result.refused}"
    word = "differs" if result.differences else "agrees"
    lines = [f"{result.case:<12} {word:<8}{result.calls:>3} calls {result.seconds:6.2f} s"]
    lines += [f"explained: {result.explained}"] if result.explained else []
    return "\n    ".join([*lines, *result.differences])


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.cluster")
    parser.add_argument("--cases", type=int, default=60, metavar="N", help="how many contracts")
    parser.add_argument("--backend", default="cluster", metavar="NAME", help="default: cluster")
    parser.add_argument("--context", default="", metavar="NAME", help="the kube context")
    parser.add_argument("--id", action="append", metavar="ID", help="only this contract")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
