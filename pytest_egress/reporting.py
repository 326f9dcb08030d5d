"""The report files of a run: which are asked for, how they come to the disk, what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from pytest_egress.report.run import Run
from pytest_egress.settings import base_directory, lookup

__all__ = ["REPORTS", "Reports"]


def _json(run: Run) -> str:
    from pytest_egress.report.as_json import json_of

    return json_of(run)


def _html(run: Run) -> str:
    from pytest_egress.report.html.page import html_of

    return html_of(run)


#: What is written for each setting that names a file.
REPORTS: Mapping[str, Callable[[Run], str]] = MappingProxyType({"json": _json, "html": _html})


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
        """Write each file that a setting names; false where one cannot be written."""
        good = True
        for name, render in REPORTS.items():
            value, source = lookup(self._config, name)
            if not value:
                continue
            path = base_directory(self._config, source) / value
            try:
                _write(path, render(self._run))
            except OSError as error:
                good = False
                reason = error.strerror or str(error)
                self._lines.append(f"egress {name} report cannot be written to {path}: {reason}")
            else:
                self._lines.append(f"generated egress {name} report: {path}")
        return good

    def tell(self, reporter: pytest.TerminalReporter) -> None:
        """Say where they are."""
        for line in self._lines:
            reporter.write_sep("-", line)


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
