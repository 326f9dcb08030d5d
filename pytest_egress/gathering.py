"""What a run has called, gathered from all of its tests and workers: coverage and record."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.capture.calls import Call
from pytest_egress.contract.contract import Contract
from pytest_egress.loading import loader
from pytest_egress.outcome import Outcome
from pytest_egress.report.coverage import cover
from pytest_egress.report.facts import (
    Declaration,
    Fact,
    declarations_of,
    fact_of_call,
    fact_of_outcome,
)
from pytest_egress.report.record import entries_for, sidecar_yaml, to_yaml
from pytest_egress.settings import base_directory, lookup

__all__ = ["Gathering"]

_OUTPUT = "egress_gathered"
_RECORD_OPTIONS = ("--egress-record", "--egress-record-sidecar")


class Gathering:
    """The plugin that is there where coverage or a record is asked for.

    Under xdist each worker gathers for itself; the controller joins what they have.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._facts: dict[Fact, None] = {}
        self._declared: dict[Declaration, None] = {}
        self._contracts: set[int] = set()
        self._told: list[str] = []

    def declare(self, contract: Contract) -> None:
        """A contract that some test runs under."""
        if id(contract) not in self._contracts:
            self._contracts.add(id(contract))
            self._declared.update(dict.fromkeys(declarations_of(contract)))

    def add_outcome(self, outcome: Outcome, test: str) -> None:
        """What a probe of a test has found."""
        self._facts[fact_of_outcome(outcome, test)] = None

    def add_calls(self, calls: Iterable[Call], test: str) -> None:
        """What a test's own code, or a command of it, has called."""
        for call in calls:
            self._facts[fact_of_call(call, test)] = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take what a worker has gathered."""
        del error
        gathered = getattr(node, "workeroutput", {}).get(_OUTPUT, {})
        self._facts.update(dict.fromkeys(map(Fact.from_json, gathered.get("facts", ()))))
        self._declared.update(
            dict.fromkeys(map(Declaration.from_json, gathered.get("declared", ())))
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand over to the controller, or judge and write."""
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_OUTPUT] = {
                "facts": [fact.to_json() for fact in self._facts],
                "declared": [it.to_json() for it in self._declared],
            }
            return
        if lookup(self._config, "contract")[0]:
            self.declare(loader(self._config).for_run())
        failed = False
        if lookup(self._config, "record")[0]:
            failed = not self._record()
        elif self._tell_coverage():
            failed = True
        if failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write what there is to say."""
        if self._told:
            recorded = lookup(self._config, "record")[0]
            terminalreporter.section("egress record" if recorded else "egress coverage")
            for line in self._told:
                terminalreporter.line(line)

    def _tell_coverage(self) -> bool:
        """Gather the lines; true where the share is too small."""
        coverage = cover(self._declared, self._facts)
        wanted = lookup(self._config, "cov-fail-under")[0]
        self._told.extend(coverage.lines())
        if coverage.percent >= wanted:
            return False
        self._told.append(f"FAIL: {wanted:g} % are required (egress_cov_fail_under)")
        return True

    def _record(self) -> bool:
        """Write the file and prove it; false where it is not good."""
        value, source = lookup(self._config, "record")
        path = base_directory(self._config, source) / value
        existing = path.read_text(encoding="utf-8") if path.exists() else ""
        entries = entries_for(self._facts, self._taken())
        if not entries:
            self._told.append("nothing was called that the contract does not declare")
            return True
        text = to_yaml(entries)
        if lookup(self._config, "record-sidecar")[0]:
            hosts = [fact.host for fact in self._facts if fact.cluster]
            text += "---\n" + sidecar_yaml(hosts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{existing.rstrip()}\n---\n{text}" if existing else text, encoding="utf-8")
        noun = "ServiceEntry" if len(entries) == 1 else "ServiceEntries"
        self._told.append(f"{len(entries)} {noun} written to {value}")
        for entry in entries:
            ports = ", ".join(f"{number}/{protocol}" for number, protocol in entry.ports)
            self._told.append(f"  {entry.name}: {', '.join(entry.hosts)} on {ports}")
            self._told.extend(f"    {note}" for note in entry.notes)
        return self._prove(path)

    def _taken(self) -> set[str]:
        """Names of entries that the contract has already."""
        if not lookup(self._config, "contract")[0]:
            return set()
        contract = loader(self._config).for_run()
        return {entry.metadata.name for entry in contract.service_entries}

    def _prove(self, path: Path) -> bool:
        """Run the same tests once more, in a closed mesh with the recorded file."""
        value, source = lookup(self._config, "contract")
        base = base_directory(self._config, source)
        contracts = [str(base / item) if "\n" not in item else item for item in value]
        command = [sys.executable, "-m", "pytest", *self._arguments(), "--egress-capture"]
        command += ["--egress-policy=REGISTRY_ONLY", "--egress-on-blocked=fail"]
        command += [f"--egress-contract={item}" for item in dict.fromkeys([*contracts, str(path)])]
        environment = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("PYTEST_EGRESS_RECORD", "PYTEST_CURRENT_TEST", "PYTEST_XDIST"))
        }
        done = subprocess.run(  # noqa: S603 - this very run, once more
            command,
            cwd=self._config.invocation_params.dir,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        last = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1:] or ["no output"]
        if done.returncode == 0:
            self._told.append(f"proven by a second run that enforced it: {last[0].strip('= ')}")
            return True
        self._told.append(
            f"NOT GOOD: the second run, which enforced it, ended with {done.returncode}:"
        )
        self._told.extend(f"  | {line}" for line in done.stdout.splitlines()[-30:])
        return False

    def _arguments(self) -> list[str]:
        """The arguments of this run less those that record."""
        kept: list[str] = []
        arguments = iter(map(str, self._config.invocation_params.args))
        for argument in arguments:
            name, equals, _ = argument.partition("=")
            if name not in _RECORD_OPTIONS:
                kept.append(argument)
            elif name == "--egress-record" and not equals:
                next(arguments, None)
        return kept
