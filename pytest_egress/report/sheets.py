"""The contract of a report: what it declares, what it is warned of, and its text.

Only documents that are part of the contract are kept: a file may hold Secrets beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.report import Locator
from pytest_egress.contract.resources import Resource
from pytest_egress.report.facts import Declaration, declarations_of

__all__ = ["Sheet", "Sheets", "sheets_of"]

# A List may hold one beside what is the contract's.
_SECRET = re.compile(r"^\W*kind\W+Secret\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A part of a contract's text.

    Attributes:
        file: its path, as messages have it.
        line: the number of its first line, from 1.
        text: one document, without the marker before it.
    """

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Sheets:
    """One contract, as a report shows it.

    Attributes:
        policy: the mesh's outbound traffic policy.
        files: the files it was read from.
        declared: every host on every port.
        warnings: what validation and lint say of it.
        sheets: its documents, in order.
    """

    policy: str
    files: tuple[str, ...] = ()
    declared: tuple[Declaration, ...] = ()
    warnings: tuple[Problem, ...] = ()
    sheets: tuple[Sheet, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The contract as plain values."""
        return {
            "policy": self.policy,
            "files": list(self.files),
            "declared": [it.to_json() for it in self.declared],
            "warnings": [asdict(it) for it in self.warnings],
            "sheets": [asdict(it) for it in self.sheets],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Sheets:
        """The contract of plain values."""
        return cls(
            values["policy"],
            tuple(values["files"]),
            tuple(map(Declaration.from_json, values["declared"])),
            tuple(
                Problem(**{**it, "position": Position(**it["position"])})
                for it in values["warnings"]
            ),
            tuple(Sheet(**it) for it in values["sheets"]),
        )


def sheets_of(contract: Contract) -> Sheets:
    """What a report shows of a contract."""
    return Sheets(
        contract.mesh.outbound_traffic_policy.mode,
        contract.files,
        tuple(declarations_of(contract)),
        contract.warnings,
        tuple(_documents(contract)),
    )


def _documents(contract: Contract) -> Iterator[Sheet]:
    found: dict[tuple[str, int], str] = {}
    for resource in _resources(contract):
        if not isinstance(resource.locate, Locator):
            continue  # made by code: it has no text
        position, text = resource.locate.excerpt()
        found.setdefault((position.file, position.line), text)
    for (file, line), text in sorted(found.items()):
        if _SECRET.search(text):
            text = "# not shown: this document holds a Secret"  # noqa: PLW2901 - in its place
        yield Sheet(file, line, text)


def _resources(contract: Contract) -> Iterator[Resource]:
    yield from contract.service_entries
    yield from contract.workload_entries
    yield from contract.sidecars
    yield from contract.virtual_services
    yield from contract.destination_rules
    yield from contract.gateways
    yield from contract.kubernetes_services
    yield from contract.kubernetes_pods
