"""The ServiceEntries that a run needed: written, and proven by running the same tests once more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from pytest_egress.loading import loader
from pytest_egress.report.facts import Fact
from pytest_egress.report.record import entries_for, sidecar_yaml, to_yaml
from pytest_egress.settings import base_directory, lookup

__all__ = ["record"]

_RECORD_OPTIONS = ("--egress-record", "--egress-record-sidecar")


def record(config: pytest.Config, facts: Iterable[Fact]) -> tuple[bool, list[str]]:
    """Write the file that was asked for and prove it.

    Returns:
        Whether it is good, and what is to be said of it.
    """
    told: list[str] = []
    facts = list(facts)
    value, source = lookup(config, "record")
    path = base_directory(config, source) / value
    existing = path.read_text(encoding="utf-8") if path.exists() else ""
    entries = entries_for(facts, _taken(config))
    if not entries:
        return True, ["nothing was called that the contract does not declare"]
    text = to_yaml(entries)
    if lookup(config, "record-sidecar")[0]:
        hosts = [fact.host for fact in facts if fact.cluster]
        text += "---\n" + sidecar_yaml(hosts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{existing.rstrip()}\n---\n{text}" if existing else text, encoding="utf-8")
    noun = "ServiceEntry" if len(entries) == 1 else "ServiceEntries"
    told.append(f"{len(entries)} {noun} written to {value}")
    for entry in entries:
        ports = ", ".join(f"{number}/{protocol}" for number, protocol in entry.ports)
        told.append(f"  {entry.name}: {', '.join(entry.hosts)} on {ports}")
        told.extend(f"    {note}" for note in entry.notes)
    good, proof = _prove(config, path)
    return good, [*told, *proof]


def _taken(config: pytest.Config) -> set[str]:
    """Names of entries that the contract has already."""
    if not lookup(config, "contract")[0]:
        return set()
    contract = loader(config).for_run()
    return {entry.metadata.name for entry in contract.service_entries}


def _prove(config: pytest.Config, path: Path) -> tuple[bool, list[str]]:
    """Run the same tests once more, in a closed mesh with the recorded file."""
    value, source = lookup(config, "contract")
    base = base_directory(config, source)
    contracts = [str(base / item) if "\n" not in item else item for item in value]
    command = [sys.executable, "-m", "pytest", *_arguments(config), "--egress-capture"]
    command += ["--egress-policy=REGISTRY_ONLY", "--egress-on-blocked=fail"]
    command += [f"--egress-contract={item}" for item in dict.fromkeys([*contracts, str(path)])]
    environment = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("PYTEST_EGRESS_RECORD", "PYTEST_CURRENT_TEST", "PYTEST_XDIST"))
    }
    done = subprocess.run(  # noqa: S603 - this very run, once more
        command,
        cwd=config.invocation_params.dir,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    last = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1:] or ["no output"]
    if done.returncode == 0:
        return True, [f"proven by a second run that enforced it: {last[0].strip('= ')}"]
    told = [f"NOT GOOD: the second run, which enforced it, ended with {done.returncode}:"]
    told.extend(f"  | {line}" for line in done.stdout.splitlines()[-30:])
    return False, told


def _arguments(config: pytest.Config) -> list[str]:
    """The arguments of this run less those that record."""
    kept: list[str] = []
    arguments = iter(map(str, config.invocation_params.args))
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if name not in _RECORD_OPTIONS:
            kept.append(argument)
        elif name == "--egress-record" and not equals:
            next(arguments, None)
    return kept
