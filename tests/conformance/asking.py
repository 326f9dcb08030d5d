"""Asking istiod: the oracle as a process that answers one case after the other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Oracle", "OracleError", "asking", "fields", "find_oracle", "outbound"]

_SOURCE = Path(__file__).with_name("oracle")


class OracleError(Exception):
    """There is no oracle to ask, with the reason."""


def find_oracle(given: str = "") -> Path:
    """The oracle named by ``given`` or by EGRESS_ORACLE; built from source where neither is.

    Raises:
        OracleError: it is not there, or cannot be built.
    """
    given = given or os.environ.get("EGRESS_ORACLE", "")
    if given:
        path = Path(given)
        if not os.access(path, os.X_OK) or path.is_dir():
            raise OracleError(f"{given}: not a program")
        return path.resolve()
    if shutil.which("go") is None:
        raise OracleError("the oracle is a Go program, and there is no `go` to build it with")
    path = Path(os.environ.get("TOX_ENV_DIR", _SOURCE.parents[2] / "build"), "egress-oracle")
    path.parent.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(
        ["sh", "build.sh", str(path)], cwd=_SOURCE, capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise OracleError(f"the oracle cannot be built:\n{built.stderr.strip()}")
    return path


class Oracle:
    """A running oracle; see `asking`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, case: Mapping[str, Any]) -> dict[str, Any]:
        """What istiod answers to a case; its ``calls`` are simulated.

        Raises:
            OracleError: the oracle has ended.
        """
        question = {key: value for key, value in case.items() if key != "istiod"}
        if "calls" in question:
            question["simulate"] = [
                {key: value for key, value in call.items() if key != "istiod"}
                for call in question.pop("calls")
            ]
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise OracleError(f"the oracle has ended, at the case {json.dumps(question)}")
        return outbound(json.loads(line))


def outbound(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without the inbound half of a sidecar."""
    inbound = ("virtualInbound", "inbound|", "InboundPassthroughCluster")
    for kind in ("listeners", "routes", "clusters"):
        if kind in answer:
            answer[kind] = [it for it in answer[kind] if not it["name"].startswith(inbound)]
    return answer


def fields(path: Path) -> str:
    """Every field of the API, as JSON: what the oracle's Istio knows."""
    asked = subprocess.run([str(path), "-fields"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise OracleError(f"the oracle tells no fields: {asked.stderr.strip()}")
    return asked.stdout


@contextmanager
def asking(path: Path) -> Iterator[Oracle]:
    """Run the oracle for the duration of a block."""
    with subprocess.Popen(
        [str(path), "-batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Oracle(process)
