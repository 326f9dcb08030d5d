"""The plugin that is there with ``--egress-mutate``: it runs the tests again, under mutants.

First the tests run as ever, and what each has called is kept. Then the contracts are changed, one
thing at a time, and the tests that the change can matter to run again: one of them must fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pytest_egress.capture.calls import Calls
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import MeshConfig, Workload
from pytest_egress.contract.suggest import did_you_mean
from pytest_egress.errors import ContractError
from pytest_egress.evidence import Evidence
from pytest_egress.mutation.difference import Configurations, askers
from pytest_egress.mutation.mutant import Mutant
from pytest_egress.mutation.operators import OPERATORS
from pytest_egress.mutation.score import Fate, Score
from pytest_egress.outcome import Outcome
from pytest_egress.settings import lookup

__all__ = ["Mutation"]

_WIDTH = 60  # of a line of progress
_RESOURCES = (
    "service_entries",
    "workload_entries",
    "sidecars",
    "virtual_services",
    "destination_rules",
    "gateways",
    "kubernetes_services",
    "kubernetes_pods",
)


@dataclass(slots=True, eq=False)
class _Group:
    """Contracts of the same resources: tests may choose the mesh's policy for themselves."""

    first: Contract
    meshes: list[MeshConfig] = field(default_factory=list)

    def holds(self, contract: Contract) -> bool:
        """Whether a contract has these resources."""
        return all(
            getattr(self.first, it) is getattr(contract, it)
            or getattr(self.first, it) == getattr(contract, it)
            for it in _RESOURCES
        )

    @property
    def base(self) -> Contract:
        """The contract to change: in the mesh that most tests run in."""
        mesh = max(self.meshes, key=self.meshes.count)
        return replace(self.first, mesh=mesh)


@dataclass(slots=True, eq=False)
class _Test:
    """A test that has run under a contract, and what it has met."""

    item: pytest.Item
    group: _Group
    evidence: list[Evidence] = field(default_factory=list)


class Mutation:
    """Keeps what the tests call, then runs them under mutants."""

    def __init__(self, config: pytest.Config) -> None:
        # A mistake ends the run before any test does.
        wrong = [it for it in lookup(config, "mutate-operator")[0] if it not in OPERATORS]
        if wrong:
            raise pytest.UsageError(
                f"--egress-mutate-operator={wrong[0]}: {did_you_mean(wrong[0], OPERATORS)}"
            )
        if config.getoption("numprocesses", None):
            raise pytest.UsageError("--egress-mutate runs in one process: leave -n out")
        self._config = config
        self._tests: dict[str, _Test] = {}
        self._groups: list[_Group] = []
        self._workloads: list[Workload] = []
        self._mutant: Mutant | None = None
        self._mutated: tuple[_Group, MeshConfig] | None = None
        self._refused = False
        self._score: Score | None = None
        self._why_not = ""

    # -- what the fixtures tell -------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether tests run under a mutant: what they find is nobody else's business."""
        return self._mutant is not None

    def enter(self, item: pytest.Item, contract: Contract) -> Contract:
        """The contract of a test, or the mutant that stands for it now."""
        group = self._known(contract)
        if self._mutant is None or self._mutated is None:
            group.meshes.append(contract.mesh)
            self._tests[item.nodeid] = _Test(item, group)
            return contract
        mutated, mesh = self._mutated
        if group is not mutated:
            return contract
        if contract.mesh == mesh:
            return self._mutant.contract
        return replace(self._mutant.contract, mesh=contract.mesh)  # the test's own choice

    def watch(self, backend: Any) -> Any:
        """The backend, which tells who asks."""
        return _Watched(backend, self._saw)

    def add_outcome(self, outcome: Outcome, test: str) -> None:
        """What a probe of a test met."""
        self._keep(test, [outcome.evidence, *(hop.evidence for hop in outcome.hops)])

    def add_calls(self, calls: Calls, test: str) -> None:
        """What a test's own code met."""
        for call in calls:
            self._keep(test, [call.evidence, *(hop.evidence for hop in call.hops)])

    def refuse(self) -> None:
        """The proxy does not take the mutant: it proves nothing."""
        self._refused = True

    def _keep(self, test: str, evidence: Iterable[Evidence | None]) -> None:
        if not self.running and test in self._tests:
            self._tests[test].evidence.extend(it for it in evidence if it is not None)

    def _known(self, contract: Contract) -> _Group:
        for group in self._groups:
            if group.holds(contract):
                return group
        self._groups.append(_Group(contract))
        return self._groups[-1]

    def _saw(self, contract: Contract, workload: Workload) -> None:
        del contract  # a variation of one of the bases as a rule
        if not self.running and workload not in self._workloads:
            self._workloads.append(workload)

    # -- the run ----------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Run the mutants when every test has passed."""
        result = yield
        if self._config.option.collectonly:
            return result
        if session.testsfailed:
            self._why_not = "the tests fail without any: mend them first"
        elif not self._tests:
            self._why_not = "no test has asked for a pod"
        else:
            self._score = self._run(session)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let a score that is too low fail the run."""
        under = lookup(self._config, "mutate-fail-under")[0]
        low = self._score is not None and self._score.percent < under
        if low and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell the score, and each mutant that no test has noticed."""
        if not self._why_not and self._score is None:
            return
        terminalreporter.section("egress mutation")
        if self._score is None:
            terminalreporter.line(f"no mutants were made: {self._why_not}")
            return
        for line in self._score.lines():
            terminalreporter.line(line)
        under = lookup(self._config, "mutate-fail-under")[0]
        if self._score.percent < under:
            terminalreporter.line(f"FAIL: {under:g} % are required (egress_mutate_fail_under)")

    def _run(self, session: pytest.Session) -> Score:
        wanted = lookup(self._config, "mutate-operator")[0] or list(OPERATORS)
        limit = lookup(self._config, "mutate-timeout")[0]
        plan = []
        for group in self._groups:
            base = group.base
            known = Configurations(base, askers(base, self._workloads))
            plan += [(group, known, it) for name in wanted for it in OPERATORS[name](base)]
        score = Score(limit)
        with self._progress(len(plan)) as step:
            end = time.monotonic() + limit
            for group, known, mutant in plan:
                if time.monotonic() >= end:
                    score.untried += 1
                    continue
                fate = self._try(session, group, known, mutant)
                score.add(mutant, fate)
                step(fate)
        session._setupstate.teardown_exact(None)  # noqa: SLF001  no hook ends what they share
        return score

    def _try(
        self, session: pytest.Session, group: _Group, known: Configurations, mutant: Mutant
    ) -> Fate:
        try:
            difference = known.difference(mutant.contract)
        except ContractError:
            return Fate.REFUSED
        if not difference.workloads:
            return Fate.EQUIVALENT
        self._mutant, self._mutated = mutant, (group, known.contract.mesh)
        self._refused = False
        try:
            for test in self._tests.values():
                if test.group is not group:
                    continue
                if test.evidence and not difference.concerns(test.evidence):
                    continue
                if self._fails(session, test.item):
                    return Fate.REFUSED if self._refused else Fate.KILLED
        finally:
            self._mutant = self._mutated = None
        return Fate.SURVIVED

    @staticmethod
    def _fails(session: pytest.Session, item: pytest.Item) -> bool:
        """Run a test once more, without a word of it in the reports."""
        from _pytest.runner import runtestprotocol

        # What its module shares ends with it: nobody knows which test comes next.
        reports = runtestprotocol(item, log=False, nextitem=session)  # type: ignore[arg-type]
        return any(report.failed for report in reports)

    @contextmanager
    def _progress(self, total: int) -> Iterator[Callable[[Fate], None]]:
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        done = 0

        def step(fate: Fate) -> None:
            nonlocal done
            done += 1
            if reporter is None or reporter.verbosity < 0:
                return
            reporter.write(fate.value)
            if done % _WIDTH == 0 or done == total:
                reporter.write_line(f" {done}/{total}")

        if reporter is not None and reporter.verbosity >= 0:
            reporter.ensure_newline()
            noun = "mutant" if total == 1 else "mutants"
            reporter.write_line(f"egress mutation: {total} {noun}")
        yield step
        if reporter is not None and reporter.verbosity >= 0:
            reporter.ensure_newline()


class _Watched:
    """A backend that tells who asks for a proxy."""

    def __init__(self, backend: Any, saw: Callable[[Contract, Workload], None]) -> None:
        self._backend = backend
        self._saw = saw

    def enforce(self, contract: Contract, workload: Workload) -> Any:
        """As the backend's own."""
        self._saw(contract, workload)
        return self._backend.enforce(contract, workload)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)
