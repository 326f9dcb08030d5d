"""The reports of a run: which are asked for, how they come to the disk, what is said of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from pytest_egress.settings import annotates, base_directory, lookup

if TYPE_CHECKING:
    from pytest_egress.report.run import Run

__all__ = ["REPORTS", "Reports"]

_SUMMARY = "GITHUB_STEP_SUMMARY"
_SAME = "pytest_github_actions_annotate_failures"  # a plugin that annotates every failed test


def _json(run: Run, config: pytest.Config) -> str:
    del config
    from pytest_egress.report.as_json import json_of

    return json_of(run)


def _html(run: Run, config: pytest.Config) -> str:
    del config
    from pytest_egress.report.html.page import html_of

    return html_of(run)


def _sarif(run: Run, config: pytest.Config) -> str:
    del config
    from pytest_egress.report.results import RULES, results_of
    from pytest_egress.report.sarif import sarif

    return json.dumps(sarif(results_of(run), RULES), indent=1) + "\n"


def _code_quality(run: Run, config: pytest.Config) -> str:
    del config
    from pytest_egress.report.code_quality import code_quality
    from pytest_egress.report.results import results_of

    return json.dumps(code_quality(results_of(run)), indent=1) + "\n"


def _links(run: Run, config: pytest.Config) -> str:
    from pytest_egress.report.gitlab import links
    from pytest_egress.report.paths import in_repository
    from pytest_egress.report.results import results_of

    value, source = lookup(config, "html")
    html = in_repository(str(base_directory(config, source) / value)) if value else ""
    return json.dumps(links(results_of(run), os.environ, html), indent=1) + "\n"


#: What is written for each setting that names a file.
REPORTS: Mapping[str, Callable[[Run, pytest.Config], str]] = MappingProxyType(
    {
        "json": _json,
        "html": _html,
        "sarif": _sarif,
        "code-quality": _code_quality,
        "gitlab-annotations": _links,
    }
)


class Reports:
    """Writes what is asked for of a run.

    Args:
        config: says what.
        run: what it found.
    """

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._config = config
        self._run = run
        self._lines: list[str] = []

    def write(self) -> bool:
        """Write each file that a setting names, and GitHub's summary; false where one fails."""
        good = True
        for name, render in REPORTS.items():
            value, source = lookup(self._config, name)
            if not value:
                continue
            path = base_directory(self._config, source) / value
            try:
                _write(path, render(self._run, self._config))
            except OSError as error:
                good = False
                self._lines.append(f"egress {name} report {_unwritten(path, error)}")
            else:
                self._lines.append(f"generated egress {name} report: {path}")
        summary = os.environ.get(_SUMMARY, "")
        if summary and annotates(self._config) and self._run.tests:
            from pytest_egress.report.github import job_summary

            try:
                with Path(summary).open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(job_summary(self._run))
            except OSError as error:
                good = False
                self._lines.append(f"egress job summary {_unwritten(Path(summary), error)}")
        return good

    def tell(self, reporter: pytest.TerminalReporter) -> None:
        """Say where they are; print annotations where GitHub reads them."""
        for line in self._lines:
            reporter.write_sep("-", line)
        if annotates(self._config):
            for line in self._annotations():
                reporter.write_line(line)

    def _annotations(self) -> Iterator[str]:
        from pytest_egress.report.annotation import commands
        from pytest_egress.report.results import results_of

        results = results_of(self._run)
        if self._config.pluginmanager.has_plugin(_SAME):
            results = (it for it in results if it.level != "error")
        return commands(results)


def _unwritten(path: Path, error: OSError) -> str:
    return f"cannot be written to {path}: {error.strerror or error}"


def _write(path: Path, text: str) -> None:
    """Write a whole file or none: who reads it while it is written reads the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")  # one that a killed run left is written over
    try:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
