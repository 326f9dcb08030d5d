"""Sources to typed resources and problems: the one path that loading and checking share."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from pytest_egress.contract.kinds import Kind, classify
from pytest_egress.contract.lint import lint_across, lint_entry
from pytest_egress.contract.metadata import read_metadata
from pytest_egress.contract.position import Problem
from pytest_egress.contract.reader import Document, read_documents
from pytest_egress.contract.report import Locator, Path, Report
from pytest_egress.contract.resources import Metadata, Resource, ServiceEntry
from pytest_egress.contract.schema import check
from pytest_egress.contract.source import Source
from pytest_egress.contract.suggest import nearest

__all__ = ["Collector"]

_KUSTOMIZATION = frozenset({"kustomization.yaml", "kustomization.yml"})


class Collector:
    """Takes sources one after the other; ``finish`` when all are there."""

    def __init__(self) -> None:
        self.resources: list[Resource] = []
        self.other_kinds: Counter[str] = Counter()
        self.files: list[str] = []
        self._problems: list[Problem] = []
        self._identities: dict[tuple[str, str, str], Locator] = {}
        self._order: dict[str, int] = {}

    def fail(self, problem: Problem) -> None:
        """Take a file that could not be read."""
        self._order.setdefault(problem.position.file, len(self._order))
        self._problems.append(problem)

    def add(self, source: Source) -> None:
        """Read every document of a source."""
        self.files.append(source.file)
        self._order.setdefault(source.file, len(self._order))
        for document in read_documents(source, self._problems):
            if not document.is_empty():
                self._unpack(document, ())
            document.release()

    def finish(self) -> list[Problem]:
        """All problems, by file in the order of reading, then by position."""
        entries = [r for r in self.resources if isinstance(r, ServiceEntry)]
        self._problems.extend(lint_across(entries))

        def place(problem: Problem) -> tuple[int, int, int]:
            position = problem.position
            return self._order[position.file], position.line, position.column

        return sorted(self._problems, key=place)

    def _unpack(self, document: Document, base: Path) -> None:
        value = document.value
        for step in base:
            value = value[step]
        kind = value.get("kind") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind.endswith("List") and "items" in value:
            items = value["items"]
            if isinstance(items, list):
                self._inherit(value, kind, items)
                for i in range(len(items)):
                    self._unpack(document, (*base, "items", i))
                return
            report = Report(document, base)
            report.error("document/items", "items must be a list of objects", ("items",))
            self._problems.extend(report.problems)
            return
        self._object(value, Report(document, base, value))

    @staticmethod
    def _inherit(value: dict[str, Any], kind: str, items: list[Any]) -> None:
        """The items of a ServiceEntryList may leave out what the list's own kind says."""
        if kind != "List":
            for item in items:
                if isinstance(item, dict):
                    item.setdefault("kind", kind.removesuffix("List"))
                    item.setdefault("apiVersion", value.get("apiVersion"))

    def _object(self, value: Any, report: Report) -> None:
        file = report.document.source.file
        bare = isinstance(value, dict) and "kind" not in value
        if bare and os.path.basename(file) in _KUSTOMIZATION:  # noqa: PTH119 - a name, not a path
            self.other_kinds["Kustomization"] += 1
            return
        kind = classify(value, report)
        if isinstance(kind, str):
            self.other_kinds[kind] += 1
        elif kind is not None:
            resource = self._decode(kind, value, report)
            if resource is not None:
                self.resources.append(resource)
                if isinstance(resource, ServiceEntry):
                    lint_entry(resource, report)
        self._problems.extend(report.problems)

    def _decode(self, kind: Kind, value: dict[str, Any], report: Report) -> Resource | None:
        misspelt = "metadata" not in value and any(nearest(key, ["metadata"]) for key in value)
        metadata = Metadata("") if misspelt else read_metadata(value.get("metadata"), report)
        checked = check(value, kind.shape, (), report)
        spec = checked.get("spec", {})
        if isinstance(value.get("spec", {} if not kind.shape.required else None), dict):
            kind.check(spec, value.get("spec", {}), metadata, report)
        self._check_identity(value["kind"], metadata.namespace, metadata.name, report)
        if any(problem.severity == "error" for problem in report.problems):
            return None
        return kind.build(metadata, spec, value.get("status"), report.locate, report)

    def _check_identity(self, kind: str, namespace: str, name: str, report: Report) -> None:
        """Kubernetes would let the later of two objects of one name overwrite the first."""
        first = self._identities.setdefault((kind, namespace, name), report.locate)
        if name and first is not report.locate:
            place = first(("metadata", "name"))
            message = f"{kind} {namespace}/{name} is defined at {place} already: rename one of them"
            report.error("document/duplicate", message, ("metadata", "name"))
