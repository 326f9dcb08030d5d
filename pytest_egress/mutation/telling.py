"""The plugin that tells of mutants: the progress of trying them, and the score."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.mutation.score import Fate, Score
from pytest_egress.settings import lookup

__all__ = ["Telling"]

_WIDTH = 60  # of a line of progress


class Telling:
    """Tells in the process that has the terminal.

    Args:
        distributed: mutants are tried while xdist's loop goes on: it has not ended its line of
            tests yet, and will end ours.

    Attributes:
        score: what became of the mutants, once that is known.
        why_not: why there are none.
    """

    def __init__(self, config: pytest.Config, *, distributed: bool) -> None:
        self.score: Score | None = None
        self.why_not = ""
        self._config = config
        self._distributed = distributed
        self._total = self._done = 0

    def begin(self, total: int) -> None:
        """So many mutants will be tried."""
        self._total = total
        if reporter := self._reporter():
            reporter.ensure_newline()
            if self._distributed and reporter.verbosity == 0:
                reporter.line("")
            noun = "mutant" if total == 1 else "mutants"
            reporter.write_line(f"egress mutation: {total} {noun}")

    def step(self, fate: Fate) -> None:
        """One of them has been tried."""
        self._done += 1
        if reporter := self._reporter():
            reporter.write(fate.value)
            if self._done == self._total:
                reporter.write(f" {self._done}/{self._total}")
            elif self._done % _WIDTH == 0:
                reporter.write_line(f" {self._done}/{self._total}")

    def end(self, score: Score) -> None:
        """No more of them will be."""
        self.score = score
        if (reporter := self._reporter()) and self._done and not self._distributed:
            reporter.line("")

    def _reporter(self) -> Any:
        """The terminal's, where it is to say that much."""
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        return reporter if reporter is not None and reporter.verbosity >= 0 else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let a score that is too low fail the run."""
        under = lookup(self._config, "mutate-fail-under")[0]
        low = self.score is not None and self.score.percent < under
        if low and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell the score, and each mutant that no test has noticed."""
        if not self.why_not and self.score is None:
            return
        terminalreporter.section("egress mutation")
        if self.score is None:
            terminalreporter.line(f"no mutants were made: {self.why_not}")
            return
        for line in self.score.lines():
            terminalreporter.line(line)
        under = lookup(self._config, "mutate-fail-under")[0]
        if self.score.percent < under:
            terminalreporter.line(f"FAIL: {under:g} % are required (egress_mutate_fail_under)")
