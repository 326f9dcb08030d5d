"""Asking Envoy itself what it refuses of a contract that istiod accepts, and telling it."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import time
from typing import Any

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position, Problem
from pytest_egress.envoy.blame import blame
from pytest_egress.envoy.parts import Path, find_refused, part_at
from pytest_egress.envoy.pod import in_pod
from pytest_egress.envoy.program import Program

__all__ = ["refused_by_envoy"]

_MOST = 10  # refused parts that are told one by one
_PATIENCE = 30.0  # seconds
_WORDS = re.compile(r"error initializing configuration '[^']*':\s*(.*)", re.DOTALL)
# What Envoy says of a field is said at the end of, or before, all that it was given.
_GIVEN = re.compile(r"\Agoo\.gle/debug.*\n: (?=Proto )|(?<=\)): \{\".*\Z", re.DOTALL)
_OUTER = re.compile(r"[\w.\[\]\"]+: embedded message failed validation \| caused by ")
_LONGEST = 400  # characters of Envoy's own words


def refused_by_envoy(
    envoy: pathlib.Path,
    directory: pathlib.Path,
    bootstrap: dict[str, Any],
    program: Program,
    contract: Contract,
) -> list[Problem]:
    """Every resource from which istiod makes something that Envoy refuses.

    Parts of the configuration are given to ``envoy --mode validate`` until each refused one is
    found; that takes a fraction of a second each time.

    Args:
        envoy: the program.
        directory: where its configuration may be written.
        bootstrap: what the proxy is, or would be, started with.
        program: what the contract was compiled to.
        contract: the contract.
    """
    whole = in_pod(bootstrap, program, contract.mesh)
    until = time.monotonic() + _PATIENCE
    file = directory / "validate.json"

    def ask(reduced: dict[str, Any]) -> str:
        file.write_text(json.dumps(reduced))
        return _objection(envoy, file, until - time.monotonic())

    found: dict[tuple[Position, str], Problem] = {}  # each is told once
    told: set[tuple[Path, str]] = set()
    try:
        for path, words in find_refused(whole, ask, _MOST):
            said = (path[:2], words)
            problem = blame(path, part_at(whole, path), words, program, again=said in told)
            told.add(said)
            if problem is not None:
                found.setdefault((problem.position, words), problem)
    except subprocess.TimeoutExpired:
        pass  # a very large contract: what was found is told
    finally:
        file.unlink(missing_ok=True)
    return list(found.values())


def _objection(envoy: pathlib.Path, file: pathlib.Path, timeout: float) -> str:
    """What Envoy says against a configuration; empty when it takes it."""
    command = [str(envoy), "--mode", "validate", "--log-level", "critical", "-c", str(file)]
    done = subprocess.run(  # noqa: S603  the program the user chose
        command, capture_output=True, text=True, errors="replace", check=False, timeout=timeout
    )
    if done.returncode == 0:
        return ""
    found = _WORDS.search(done.stderr)
    said = found[1] if found else done.stderr
    words = " ".join(_OUTER.sub("", _GIVEN.sub("", said)).split())
    return words[:_LONGEST] or f"exit code {done.returncode}"
