"""GitLab's Code Quality report: every field that it wants, fingerprints that tell apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_egress.contract.position import Position
from pytest_egress.report.code_quality import code_quality
from pytest_egress.report.sarif import Result


def test_a_report() -> None:
    """Level, place and name of each finding; what is suppressed is left out."""
    told = code_quality(
        [
            Result("lint/open-port", "opens it", Position("egress/mail.yaml", 8, 5)),
            Result("file/missing", "there is no such file", level="error"),
            Result("lint/a", "b", Position("a.yaml"), "note"),
            Result("lint/a", "b", Position("a.yaml"), suppressed="until March"),
        ]
    )
    assert [{**it, "fingerprint": len(it["fingerprint"])} for it in told] == [
        {
            "description": "opens it",
            "check_name": "lint/open-port",
            "fingerprint": 64,
            "severity": "minor",
            "location": {"path": "egress/mail.yaml", "lines": {"begin": 8}},
        },
        {
            "description": "there is no such file",
            "check_name": "file/missing",
            "fingerprint": 64,
            "severity": "major",
            "location": {"path": ".", "lines": {"begin": 1}},
        },
        {
            "description": "b",
            "check_name": "lint/a",
            "fingerprint": 64,
            "severity": "info",
            "location": {"path": "a.yaml", "lines": {"begin": 1}},
        },
    ]


def test_fingerprints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in every checkout and after lines were added above; two equal findings differ."""

    def prints(root: Path, *lines: int) -> list[str]:
        monkeypatch.setenv("CI_PROJECT_DIR", str(root))
        found = [Result("a", "b", Position(str(root / "a.yaml"), line)) for line in lines]
        return [it["fingerprint"] for it in code_quality(found)]

    here, there = prints(tmp_path / "one", 1, 2), prints(tmp_path / "two", 5, 9)
    assert here == there
    assert len(set(here)) == 2
