"""Findings as GitLab's Code Quality report, which a merge request shows beside its lines."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pytest_egress.report.paths import in_repository
from pytest_egress.report.sarif import Result

__all__ = ["code_quality"]

_SEVERITIES = {"error": "major", "warning": "minor", "note": "info"}
_NOWHERE = "."  # GitLab wants a path of every finding


def code_quality(results: Iterable[Result]) -> list[dict[str, Any]]:
    """The report as plain objects, for ``json.dumps``.

    A finding that is suppressed is left out: the format has no word for it. Fingerprints stay the
    same when lines are added above, and differ for equal findings of one file.
    """
    same: Counter[str] = Counter()
    told = []
    for result in results:
        if result.suppressed is not None:
            continue
        path = in_repository(result.position.file) if result.position else _NOWHERE
        identity = json.dumps([result.rule, path, result.message])
        same[identity] += 1
        told.append(
            {
                "description": result.message,
                "check_name": result.rule,
                "fingerprint": hashlib.sha256(f"{identity}{same[identity]}".encode()).hexdigest(),
                "severity": _SEVERITIES[result.level],
                "location": {
                    "path": path,
                    "lines": {"begin": result.position.line if result.position else 1},
                },
            }
        )
    return told
