"""Findings as SARIF 2.1.0, which code scanning of GitHub, GitLab and Azure DevOps reads."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import PurePath
from typing import Any, Literal
from urllib.parse import quote

from pytest_egress.contract.position import Position
from pytest_egress.report.paths import in_repository

__all__ = ["Level", "Result", "Rule", "sarif"]

Level = Literal["error", "warning", "note"]

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_HOME = "https://pypi.org/project/pytest-egress/"
_FINGERPRINT = "egress/v1"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a kind of finding is.

    Attributes:
        id: stable name, such as ``lint/open-port``.
        summary: one sentence; empty when the name says all.
        level: of its findings, unless a result says otherwise.
    """

    id: str
    summary: str = ""
    level: Level = "warning"


@dataclass(frozen=True, slots=True)
class Result:
    """One finding.

    Attributes:
        rule: id of its rule.
        message: what is wrong and how to mend it, in plain text.
        position: where; None for a finding that stands nowhere.
        level: how bad it is.
        suppressed: the reason why it is accepted; None for one that is not.
    """

    rule: str
    message: str
    position: Position | None = None
    level: Level = "warning"
    suppressed: str | None = None


def sarif(results: Iterable[Result], rules: Iterable[Rule] = ()) -> dict[str, Any]:
    """A SARIF log of one run.

    Args:
        results: the findings, in the order in which they are to be shown.
        rules: what is known of their rules; a rule that is not among them has its name only.
            Rules without a result are left out.

    Returns:
        The log as plain objects, for ``json.dumps``. Paths in the repository are relative to
        ``%SRCROOT%``, which the reader of the file sets.
    """
    listed = list(results)
    known = {rule.id: rule for rule in rules}
    used = [known.get(name, Rule(name)) for name in dict.fromkeys(it.rule for it in listed)]
    index = {rule.id: i for i, rule in enumerate(used)}
    same: Counter[str] = Counter()
    told = []
    for result in listed:
        print_of = _fingerprint(result)
        same[print_of] += 1  # equal findings of one file stay apart
        told.append(_result(result, index[result.rule], f"{print_of}:{same[print_of]}"))
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "pytest-egress",
                        "informationUri": _HOME,
                        "semanticVersion": version("pytest-egress"),
                        "rules": [_rule(rule) for rule in used],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": told,
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    told: dict[str, Any] = {"id": rule.id, "defaultConfiguration": {"level": rule.level}}
    if rule.summary:
        told["shortDescription"] = {"text": rule.summary}
    return told


def _result(result: Result, rule: int, fingerprint: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "ruleId": result.rule,
        "ruleIndex": rule,
        "level": result.level,
        "message": {"text": result.message},
        "partialFingerprints": {_FINGERPRINT: fingerprint},
    }
    if result.position is not None:
        told["locations"] = [{"physicalLocation": _location(result.position)}]
    if result.suppressed is not None:
        told["suppressions"] = [{"kind": "inSource", "justification": result.suppressed}]
    return told


def _location(position: Position) -> dict[str, Any]:
    return {
        "artifactLocation": _artifact(position.file),
        "region": {"startLine": position.line, "startColumn": position.column},
    }


def _artifact(file: str) -> dict[str, str]:
    path = PurePath(in_repository(file))
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(path.as_posix()), "uriBaseId": "%SRCROOT%"}


def _fingerprint(result: Result) -> str:
    """The same for the same finding after lines were added above it."""
    file = in_repository(result.position.file) if result.position else ""
    text = json.dumps([result.rule, file, result.message])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
