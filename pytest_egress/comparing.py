"""The same tests on several backends: which test runs where, and where the backends disagree."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_egress.capture.calls import Call
from pytest_egress.outcome import Outcome
from pytest_egress.report.differences import Comparison, Run, Sighting, compare, summary
from pytest_egress.stash import BACKEND

if TYPE_CHECKING:
    from pytest_egress.backends.protocol import Backend

__all__ = ["Comparing", "Sightings"]

_BACKEND = "egress_backend"
_ATTRIBUTE = "egress_compared"  # of a report; it travels from xdist's workers
_SEEN: pytest.StashKey[Sightings] = pytest.StashKey()


class Sightings:
    """What one test saw on one backend, kept until its report is made."""

    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []
        self._many: set[int] = set()
        self._calls: list[Call] = []

    def add_outcome(self, outcome: Outcome) -> None:
        """What a probe has found."""
        self._outcomes.append(outcome)

    def add_many(self, outcomes: Iterable[Outcome]) -> None:
        """These, each added before, are of one probe that was made several times."""
        self._many.update(map(id, outcomes))

    def add_calls(self, calls: Iterable[Call]) -> None:
        """What the test's own code, or a command of it, has called."""
        self._calls.extend(calls)

    def all(self) -> list[Sighting]:
        """All of them; those that have no place of their own once for each target and verdict."""
        found: list[Sighting] = []
        unordered: dict[tuple[str, str], list[Outcome | Call]] = {}
        for outcome in self._outcomes:
            if id(outcome) in self._many:
                unordered.setdefault((outcome.target, outcome.verdict.value), []).append(outcome)
            else:
                found.append(Sighting(outcome.target, outcome.verdict.value, outcome.explain()))
        for call in self._calls:
            target = f"{call.method} {call.target}".strip()
            unordered.setdefault((target, call.verdict.value), []).append(call)
        for (target, verdict), seen in unordered.items():
            found.append(Sighting(target, verdict, _told(seen[0]), len(seen), ordered=False))
        return found


class Comparing:
    """The plugin that is there where several backends are named.

    What a test saw travels in its own report, so that xdist's controller has it although the
    backends of one test were in different workers.

    Args:
        needs_pod: tells whether a test that does not name the fixture will be given it.
    """

    def __init__(
        self,
        config: pytest.Config,
        backends: Sequence[str],
        needs_pod: Callable[[pytest.Config, pytest.Function], bool],
    ) -> None:
        self._config = config
        self._backends = tuple(backends)
        self._needs_pod = needs_pod
        self._runs: dict[tuple[str, str], Run] = {}
        self._comparison: Comparison | None = None
        self._own: dict[str, Backend] = {}

    def backend(self, name: str) -> Backend:
        """A backend for items that cannot be parametrised; it lives until the run ends.

        Raises:
            BackendError: a package that it needs is not installed.
        """
        if name not in self._own:
            from pytest_egress.loading import create_backend

            self._own[name] = create_backend(self._config, name)
            self._own[name].prepare()
        return self._own[name]

    def pytest_unconfigure(self) -> None:
        """Close the backends that no fixture closes."""
        from pytest_egress.errors import BackendError

        while self._own:
            try:
                self._own.popitem()[1].close()
            except BackendError as error:  # noqa: PERF203  no test is left that it is an error of
                print(f"egress: {error}", file=sys.__stderr__)

    def open(self, item: pytest.Item) -> Sightings:
        """Where what a test sees is kept."""
        item.stash[_SEEN] = seen = Sightings()
        return seen

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run the test on each backend, the tests of one backend together."""
        definition = metafunc.definition
        if any(_BACKEND in _names(mark) for mark in definition.iter_markers("parametrize")):
            return  # the test says itself where it runs
        if _BACKEND not in metafunc.fixturenames:
            if not self._needs_pod(self._config, definition):
                return
            metafunc.fixturenames.append(_BACKEND)
        metafunc.parametrize(_BACKEND, self._backends, indirect=True, scope="session")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put what the test saw into its last report."""
        report = yield
        backend = _backend_of(item)
        if not backend and _SEEN in item.stash:
            backend = self._backends[0]  # it got the fixture while it ran
        if backend:
            found: dict[str, Any] = {"backend": backend, "test": _without(item, backend)}
            if call.when == "teardown" and _SEEN in item.stash:
                found["seen"] = [it.to_json() for it in item.stash[_SEEN].all()]
            setattr(report, _ATTRIBUTE, found)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test saw, from this process or from a worker."""
        found: dict[str, Any] | None = getattr(report, _ATTRIBUTE, None)
        if found is None:
            return
        key = found["test"], found["backend"]
        seen = tuple(map(Sighting.from_json, found.get("seen", ())))
        known = self._runs.get(key)
        result, reason = _result(report)
        if known is not None and report.when != "setup" and result == "passed":
            result, reason = known.result, known.reason
        self._runs[key] = Run(*key, result, reason, seen)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Compare; verdicts that differ fail the run."""
        if hasattr(self._config, "workerinput") or not self._runs:
            return
        found = self._comparison = compare(self._runs.values(), self._backends)
        if found.verdicts and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write what differs."""
        if self._comparison is not None:
            terminalreporter.section(f"egress backends compared: {', '.join(self._backends)}")
            for line in summary(self._comparison):
                terminalreporter.line(line)


def _names(mark: pytest.Mark) -> Sequence[str]:
    """The argument names of a parametrize marker."""
    names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else names


def _backend_of(item: pytest.Item) -> str:
    """The backend that a test runs on, empty where it has none of its own."""
    if BACKEND in item.stash:
        return item.stash[BACKEND]
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return str(params.get(_BACKEND, ""))


def _without(item: pytest.Item, backend: str) -> str:
    """The node id of a test less its backend, which stands first among its parameters."""
    name, bracket, tail = item.name.partition("[")
    rest = tail.removeprefix(backend)
    own = name if rest == "]" else f"{name}{bracket}{rest.removeprefix('-')}"
    return item.nodeid.removesuffix(item.name) + own


def _told(seen: Outcome | Call) -> str:
    if isinstance(seen, Outcome):
        return seen.explain()
    proxy = f"\nproxy     {seen.evidence}" if seen.evidence is not None else ""
    where = f"\nmade at   {seen.where}" if seen.where is not None else ""
    return f"verdict   {seen.verdict}: {seen.reason}{where}{proxy}"


def _result(report: pytest.TestReport) -> tuple[str, str]:
    """What became of a phase of a test, and the reason of a skip."""
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed", ""
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.outcome, report.longrepr[2].removeprefix("Skipped: ")
    return report.outcome, ""
