"""What a run has found, gathered from all of its tests and workers: coverage, record, reports.

What a test found travels with its own report, as pytest-xdist sends that anyway: a worker that
dies takes no more with it than the test that it was at.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_egress.reporting import REPORTS, Reports
from pytest_egress.settings import annotates, lookup

if TYPE_CHECKING:
    # Nothing of it is imported before a test asks for a pod: JUnit XML may be asked for without.
    from pytest_egress.backends.protocol import Backend
    from pytest_egress.bypass.bypass import Bypass
    from pytest_egress.capture.calls import Call
    from pytest_egress.contract.contract import Contract
    from pytest_egress.outcome import Outcome, Resolution
    from pytest_egress.report.findings import Finding
    from pytest_egress.report.run import Run, Test
    from pytest_egress.report.sheets import Sheets

__all__ = ["Gathering"]

_ATTRIBUTE = "egress_gathered"


@dataclass(slots=True)
class _Growing:
    """A test whose phases are being reported.

    A test that is run again, as pytest-rerunfailures does, begins anew with its set-up.
    """

    location: tuple[str, int]
    outcome: str = "passed"
    seconds: float = 0.0
    message: str = ""
    has_pod: bool = False
    findings: list[Finding] = field(default_factory=list)
    bypasses: list[Bypass] = field(default_factory=list)


class Gathering:
    """The plugin that is there where coverage, a record or a report is asked for.

    Under xdist each worker sends what it has with its tests; the controller joins that.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._is_worker = hasattr(config, "workerinput")
        self._written = any(lookup(config, name)[0] for name in REPORTS)
        self._with_words = self._written or annotates(config)
        self._for_junit = bool(config.getoption("xmlpath", None))
        self._began = time.time()
        self._described: set[str] = set()
        self._backends: dict[str, None] = {}
        self._pending: dict[str, Any] = {}
        self._seen: dict[tuple[int, str], Contract] = {}
        self._contracts: dict[Sheets, None] = {}
        self._tests: dict[str, _Growing] = {}
        self._told: list[str] = []
        self._reports: Reports | None = None

    # -- where the tests run --------------------------------------------------------------------

    def enter(self, contract: Contract, backend: Backend) -> None:
        """A test gets a pod under a contract."""
        from pytest_egress.errors import BackendError
        from pytest_egress.report.sheets import sheets_of

        self._pending["pod"] = True
        # A policy makes another contract of the same entries for every test.
        key = id(contract.service_entries), contract.mesh.outbound_traffic_policy.mode
        if key not in self._seen:
            self._seen[key] = contract
            self._pending.setdefault("contracts", []).append(sheets_of(contract).to_json())
        if backend.name not in self._described:
            self._described.add(backend.name)
            try:
                self._pending["backend"] = backend.describe()
            except BackendError as error:
                self._pending["backend"] = f"{backend.name} ({error.tried})"

    def add_outcome(self, outcome: Outcome, test: str) -> None:
        """What a probe of a test has found."""
        from pytest_egress.report.findings import finding_of_outcome

        self._add(finding_of_outcome(outcome, test, words=self._with_words))

    def add_calls(self, calls: Iterable[Call], test: str) -> None:
        """What a test's own code, or a command of it, has called."""
        from pytest_egress.report.findings import finding_of_call

        for call in calls:
            self._add(finding_of_call(call, test))

    def add_lookup(self, resolution: Resolution, test: str) -> None:
        """What a test has looked up."""
        from pytest_egress.report.lookups import finding_of_lookup

        self._add(finding_of_lookup(resolution, test))

    def _add(self, finding: Finding) -> None:
        self._pending.setdefault("findings", []).append(finding)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Send what was found along with the report of the phase it was found in."""
        pending, self._pending = self._pending, {}
        findings = pending.get("findings", [])
        if self._for_junit and findings:
            from pytest_egress.report.properties import properties_of

            item.user_properties.extend(properties_of(findings))
        report = yield
        if pending:
            if findings:
                pending["findings"] = [finding.to_json() for finding in findings]
            setattr(report, _ATTRIBUTE, json.dumps(pending))
        return report

    # -- where the results come together --------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test has found."""
        if self._is_worker:
            return
        if report.when == "setup" or report.nodeid not in self._tests:
            file, line, _ = report.location
            shown = os.path.relpath(self._config.rootpath / file, Path.cwd())
            if shown.startswith(os.pardir):
                shown = str(self._config.rootpath / file)
            self._tests[report.nodeid] = _Growing((shown, (line or 0) + 1))
        test = self._tests[report.nodeid]
        _add_phase(test, report)
        if hasattr(report, "egress_bypasses"):
            from pytest_egress.bypass.marker import read

            test.bypasses = read(report)
        gathered = getattr(report, _ATTRIBUTE, "")
        if not gathered:
            return
        delattr(report, _ATTRIBUTE)  # nobody else's: pytest keeps every report to the end
        from pytest_egress.report.findings import Finding
        from pytest_egress.report.sheets import Sheets

        values = json.loads(gathered)
        test.has_pod = True
        test.findings.extend(map(Finding.from_json, values.get("findings", ())))
        self._contracts.update(dict.fromkeys(map(Sheets.from_json, values.get("contracts", ()))))
        if "backend" in values:
            self._backends[values["backend"]] = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge and write, where the results are."""
        if self._is_worker or not self._has_something():
            return
        run = self._run()
        failed = False
        if lookup(self._config, "record")[0]:
            from pytest_egress.recording import record

            good, told = record(self._config, dict.fromkeys(it.fact for it in run.findings))
            failed = not good
            self._told.extend(told)
        elif lookup(self._config, "cov")[0] or lookup(self._config, "cov-fail-under")[0]:
            failed = self._tell_coverage(run)
        if not self._config.getoption("collectonly", default=False):
            self._reports = Reports(self._config, run)
            failed = not self._reports.write() or failed
        if failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write what there is to say."""
        if self._told:
            recorded = lookup(self._config, "record")[0]
            terminalreporter.section("egress record" if recorded else "egress coverage")
            for line in self._told:
                terminalreporter.line(line)
        if self._reports is not None:
            self._reports.tell(terminalreporter)

    def _has_something(self) -> bool:
        """Whether there is something to write or say: some test had a pod, or it is asked for."""
        return (
            self._written
            or any(lookup(self._config, name)[0] for name in ("cov", "cov-fail-under", "record"))
            or any(test.has_pod for test in self._tests.values())
        )

    def _run(self) -> Run:
        from datetime import datetime, timezone
        from importlib.metadata import version

        from pytest_egress.loading import loader
        from pytest_egress.report.run import Run
        from pytest_egress.report.sheets import sheets_of

        contracts = dict(self._contracts)
        if lookup(self._config, "contract")[0]:
            contracts = {sheets_of(loader(self._config).for_run()): None, **contracts}
        others = Counter(test.outcome for test in self._tests.values() if not test.has_pod)
        return Run(
            version("pytest-egress"),
            ", ".join(self._backends),
            datetime.fromtimestamp(self._began, timezone.utc).isoformat(timespec="seconds"),
            round(time.time() - self._began, 3),
            tuple(sorted(self._finished(), key=lambda test: (test.file, test.line, test.id))),
            tuple(contracts),
            tuple(sorted(others.items())),
        )

    def _finished(self) -> Iterable[Test]:
        from pytest_egress.report.redact import redacted
        from pytest_egress.report.run import Test

        for name, test in self._tests.items():
            if test.has_pod:
                seconds = round(test.seconds, 6)
                found = tuple(test.findings), tuple(test.bypasses)
                message = redacted(test.message)
                yield Test(name, *test.location, test.outcome, seconds, message, *found)

    def _tell_coverage(self, run: Run) -> bool:
        """Gather the lines; true where the share is too small."""
        coverage = run.coverage
        wanted = lookup(self._config, "cov-fail-under")[0]
        self._told.extend(coverage.lines())
        if coverage.percent >= wanted:
            return False
        self._told.append(f"FAIL: {wanted:g} % are required (egress_cov_fail_under)")
        return True


def _add_phase(test: _Growing, report: pytest.TestReport) -> None:
    """What one phase says of how a test ended."""
    test.seconds += report.duration
    expected = hasattr(report, "wasxfail")
    if report.failed:
        test.outcome = "error" if report.when in {"setup", "teardown"} else "failed"
        test.message = "\n\n".join(filter(None, (test.message, report.longreprtext)))
    elif report.skipped:
        test.outcome = "xfailed" if expected else "skipped"
    elif expected and report.when == "call":
        test.outcome = "xpassed"
