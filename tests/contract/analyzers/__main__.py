"""``python -m tests.contract.analyzers``: Istio's own analyzers are asked all recorded questions.

What they say must be what is recorded, for every code that lint knows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_egress.contract.rules import RULES
from tests.conformance.asking import Oracle, OracleError, asking, find_oracle
from tests.contract.analyzers.test_istioctl import cases

__all__ = ["differences", "main"]


def differences(oracle: Oracle, recorded: Iterable[dict[str, Any]]) -> list[str]:
    """Codes and objects that are recorded and not said, or said and not recorded."""
    found = []
    for case in recorded:
        question = {"id": case["id"], "analyze": True, "yaml": case["yaml"], "mesh": case["mesh"]}
        answer = oracle.ask(question)
        if "error" in answer:
            raise OracleError(f"{case['id']}: {answer['error']}")
        said = {
            (it["code"], it["resource"]) for it in answer.get("messages", ()) if it["code"] in RULES
        }
        known = {(code, name) for code, name, _ in case["istioctl"]}
        found += [f"{case['id']}: {code} {name} is new" for code, name in sorted(said - known)]
        found += [f"{case['id']}: {code} {name} is gone" for code, name in sorted(known - said)]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each difference.

    Returns:
        0, 1 when there is a difference, 2 when there is no oracle.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oracle", default="", metavar="PATH")
    options = parser.parse_args(arguments)
    try:
        with asking(find_oracle(options.oracle)) as oracle:
            found = differences(oracle, cases())
    except OracleError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("\n".join([*found, f"{len(cases())} cases, {len(found)} differences\n"]))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
