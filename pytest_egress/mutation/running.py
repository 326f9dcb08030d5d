"""The plugin of ``--egress-mutate``: it keeps what tests call, then runs them under mutants.

First the tests run as ever, and what each has called is kept. Then the contracts are changed, one
thing at a time, and the tests that the change can matter to run again: one of them must fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pytest_egress.capture.calls import Calls
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import MeshConfig, Workload
from pytest_egress.errors import ContractError
from pytest_egress.mutation.difference import Configurations, askers
from pytest_egress.mutation.learned import Group, Learned, Ran
from pytest_egress.mutation.mutant import Mutant
from pytest_egress.mutation.plan import FAILING, NO_POD, Plan, plan_of, wanted
from pytest_egress.mutation.score import Fate, Score
from pytest_egress.mutation.telling import Telling
from pytest_egress.outcome import Outcome
from pytest_egress.settings import lookup

__all__ = ["Alone", "Mutation", "Trials"]


class Mutation:
    """What a process that runs tests does: learn from them, and run them under mutants."""

    def __init__(self) -> None:
        self.learned = Learned()
        self._places: dict[str, int] = {}
        self._mutant: Mutant | None = None
        self._mutated: tuple[Group, MeshConfig] | None = None
        self._refused = False

    @property
    def running(self) -> bool:
        """Whether tests run under a mutant: what they find is nobody else's business."""
        return self._mutant is not None

    def enter(self, item: pytest.Item, contract: Contract) -> Contract:
        """The contract of a test, or the mutant that stands for it now."""
        group = self.learned.group_of(contract)
        if self._mutant is None or self._mutated is None:
            if not self._places:
                self._places = {it.nodeid: at for at, it in enumerate(item.session.items)}
            group.tests[item.nodeid] = Ran(self._places[item.nodeid], contract.mesh)
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
        if not self.running:
            hops = (hop.evidence for hop in outcome.hops)
            self.learned.keep(test, [outcome.evidence, *hops])

    def add_calls(self, calls: Calls, test: str) -> None:
        """What a test's own code met."""
        if not self.running:
            for call in calls:
                self.learned.keep(test, [call.evidence, *(hop.evidence for hop in call.hops)])

    def refuse(self) -> None:
        """The proxy does not take the mutant: it proves nothing."""
        self._refused = True

    def notices(
        self, fails: Callable[[], bool], mutant: Mutant, group: Group, mesh: MeshConfig
    ) -> Fate:
        """What becomes of a mutant when tests run, which tell whether one of them fails.

        ``mesh`` is that of the contract which the mutant has been made of.
        """
        self._mutant, self._mutated = mutant, (group, mesh)
        self._refused = False
        try:
            if fails():
                return Fate.REFUSED if self._refused else Fate.KILLED
        finally:
            self._mutant = self._mutated = None
        return Fate.SURVIVED

    def _saw(self, contract: Contract, workload: Workload) -> None:
        del contract  # a variation of one of the bases as a rule
        if not self.running:
            self.learned.saw(workload)


class Trials:
    """Tries mutants of a plan with the tests of a session, in any order."""

    def __init__(self, mutation: Mutation, session: pytest.Session, plan: Plan) -> None:
        self._mutation = mutation
        self._session = session
        self._plan = plan
        self._items = {item.nodeid: item for item in session.items}
        self._known: dict[int, Configurations] = {}

    def fate(self, index: int) -> Fate:
        """What becomes of the mutant at a place of the plan."""
        group, mutant = self._plan.steps[index]
        known = self._configurations(group)
        try:
            difference = known.difference(mutant.contract)
        except ContractError:
            return Fate.REFUSED
        if not difference.workloads:
            return Fate.EQUIVALENT
        tests = group.concerned(difference)
        fails = partial(any, map(self._fails, tests))
        return self._mutation.notices(fails, mutant, group, known.contract.mesh)

    def end(self) -> None:
        """Take down what the tests share: no hook ends it."""
        self._session._setupstate.teardown_exact(None)  # noqa: SLF001  pytest has no other way

    def _configurations(self, group: Group) -> Configurations:
        if id(group) not in self._known:
            base = group.base
            asking = askers(base, self._plan.learned.workloads)
            self._known[id(group)] = Configurations(base, asking)
        return self._known[id(group)]

    def _fails(self, test: str) -> bool:
        """Run a test once more, without a word of it in the reports."""
        from _pytest.runner import runtestprotocol

        # What its module shares ends with it: nobody knows which test comes next.
        following: Any = self._session
        reports = runtestprotocol(self._items[test], log=False, nextitem=following)
        return any(report.failed for report in reports)


class Alone(Mutation):
    """The plugin of a run in one process."""

    def __init__(self, config: pytest.Config, telling: Telling) -> None:
        super().__init__()
        self._config = config
        self._telling = telling
        self._operators = wanted(config)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Run the mutants when every test has passed."""
        result = yield
        if self._config.option.collectonly:
            return result
        if session.testsfailed:
            self._telling.why_not = FAILING
        elif not self.learned.groups:
            self._telling.why_not = NO_POD
        else:
            self._run(session, plan_of(self.learned, self._operators))
        return result

    def _run(self, session: pytest.Session, plan: Plan) -> None:
        limit = lookup(self._config, "mutate-timeout")[0]
        trials = Trials(self, session, plan)
        fates: dict[int, Fate] = {}
        self._telling.begin(len(plan.steps))
        end = time.monotonic() + limit
        for index in range(len(plan.steps)):
            if time.monotonic() >= end:
                break
            fates[index] = trials.fate(index)
            self._telling.step(fates[index])
        trials.end()
        self._telling.end(Score(limit, plan.mutants, fates))


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
