"""Sources to typed resources and problems: the one path that loading and checking share."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pytest_egress.contract.files import StrPath, expand, read_text
from pytest_egress.contract.kinds import KNOWN, Kind, classify
from pytest_egress.contract.lint import lint_across, lint_entry
from pytest_egress.contract.lint_refused import lint_refused
from pytest_egress.contract.lint_unsteady import lint_unsteady
from pytest_egress.contract.metadata import read_metadata
from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.reader import Document, decode, read_documents
from pytest_egress.contract.report import Locator, Path, Report
from pytest_egress.contract.resources import MeshConfig, Metadata, Resource, ServiceEntry
from pytest_egress.contract.schema import check
from pytest_egress.contract.source import Source
from pytest_egress.contract.suggest import nearest

__all__ = ["STDIN", "Collector", "Subject"]

STDIN = "<stdin>"
_KUSTOMIZATION = frozenset({"kustomization.yaml", "kustomization.yml"})
_EXPECTATIONS = (".egress.yaml", ".egress.yml")  # they may lie beside the contract
# What an egress gateway is made of, beside Istio's own resources.
_KUBERNETES = {
    "Service": ("v1",),
    "Pod": ("v1",),
    "Deployment": ("apps/v1",),
    "DaemonSet": ("apps/v1",),
    "StatefulSet": ("apps/v1",),
}
_TEMPLATE = "yaml/template"
_RENDERED_FROM = re.compile(r"^# Source: (\S.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Subject:
    """One object as its text names it, and the characters ``begin`` to ``end`` that it takes up.

    ``template`` is the file that ``helm template`` says it has rendered it from.
    """

    begin: int
    end: int
    kind: str
    namespace: str
    name: str
    template: str

    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {name}" + (f" of {self.template}" if self.template else "")


class Collector:
    """Takes sources one after the other; ``finish`` when all are there.

    Attributes:
        resources: the typed resources without errors.
        kinds: how many objects of each kind were checked, those with errors included.
        other_kinds: how many of each other kind were left alone.
        files: what was read, in order.
        mesh: the mesh that the resources are for.
    """

    def __init__(self, mesh: MeshConfig | None = None) -> None:
        self.mesh = mesh or MeshConfig()
        self.resources: list[Resource] = []
        self.kinds: Counter[str] = Counter()
        self.other_kinds: Counter[str] = Counter()
        self.files: list[str] = []
        self._sources: dict[str, tuple[Source, list[Subject]]] = {}
        self._problems: list[Problem] = []
        self._identities: dict[tuple[str, str, str], Locator] = {}
        self._order: dict[str, int] = {}
        self._met: dict[str, Kind] = {}
        self._refused: set[str] = set()

    def read(self, paths: StrPath | Iterable[StrPath], *, stdin: bytes | None = None) -> None:
        """Read files, directories and globs; ``-`` is ``stdin`` where that is given."""
        unmatched: list[Problem] = []
        for file in expand(paths, unmatched):
            if file == "-" and stdin is not None:
                name, text = STDIN, _decode_stream(stdin)
            else:
                name, text = file, read_text(file)
            if isinstance(text, Problem):
                self.fail(text)
            else:
                self.add(Source(name, text))
        for problem in unmatched:
            self.fail(problem)

    def fail(self, problem: Problem) -> None:
        """Take a file that could not be read."""
        self._order.setdefault(problem.position.file, len(self._order))
        self._problems.append(problem)
        self._refused.update(KNOWN)

    def add(self, source: Source) -> None:
        """Read every document of a source."""
        self.files.append(source.file)
        self._sources[source.file] = (source, [])
        self._order.setdefault(source.file, len(self._order))
        before = len(self._problems)
        unreadable: list[Problem] = []
        for document in read_documents(source, unreadable):
            if not document.is_empty():
                self._unpack(document, ())
            document.release()
        if unreadable:
            self._refused.update(KNOWN)
        found = [*unreadable, *self._problems[before:]]
        self._problems[before:] = _one_template(sorted(found, key=lambda problem: problem.position))

    def finish(self) -> list[Problem]:
        """All problems, by file in the order of reading, then by position."""
        entries = [r for r in self.resources if isinstance(r, ServiceEntry)]
        self._problems.extend(lint_across(entries))
        for kind in self._met.values():
            if kind.lint is not None:
                self._problems.extend(kind.lint(self.resources, self.refused))
        self._problems.extend(lint_refused(self.resources, self.mesh))
        self._problems.extend(lint_unsteady(self.resources))

        def place(problem: Problem) -> tuple[int, int, int]:
            position = problem.position
            return self._order[position.file], position.line, position.column

        return sorted(self._problems, key=place)

    @property
    def sources(self) -> list[Source]:
        """The texts that were read, in order."""
        return [source for source, _ in self._sources.values()]

    @property
    def refused(self) -> frozenset[str]:
        """The kinds of which an object could not be read."""
        return frozenset(self._refused)

    def subject(self, position: Position) -> Subject | None:
        """The object that a position is in; None outside of all."""
        if position.file not in self._sources:
            return None
        source, subjects = self._sources[position.file]
        index = source.index(position)
        nth = bisect_right(subjects, index, key=lambda subject: subject.begin) - 1
        return subjects[nth] if nth >= 0 and index < subjects[nth].end else None

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
        self._object(value, base, Report(document, base, value))

    @staticmethod
    def _inherit(value: dict[str, Any], kind: str, items: list[Any]) -> None:
        """The items of a ServiceEntryList may leave out what the list's own kind says."""
        if kind != "List":
            for item in items:
                if isinstance(item, dict):
                    item.setdefault("kind", kind.removesuffix("List"))
                    item.setdefault("apiVersion", value.get("apiVersion"))

    def _object(self, value: Any, base: Path, report: Report) -> None:
        file = report.document.source.file
        bare = isinstance(value, dict) and "kind" not in value
        if bare and os.path.basename(file) in _KUSTOMIZATION:  # noqa: PTH119 - a name, not a path
            self.other_kinds["Kustomization"] += 1
            return
        if bare and file.endswith(_EXPECTATIONS):
            self.other_kinds["expectations"] += 1
            return
        kind = classify(value, report)
        if isinstance(kind, str):
            self.other_kinds[kind] += 1
            if value["apiVersion"] in _KUBERNETES.get(kind, ()):
                from pytest_egress.contract.kubernetes.read import read_kubernetes

                known = read_kubernetes(value, report)
                if known is not None:
                    self.resources.append(known)
            return
        if isinstance(value, dict) and isinstance(value.get("kind"), str):
            self.kinds[value["kind"]] += 1
            self._sources[file][1].append(_subject(value, base, report.document))
        if kind is None:
            self._refused.update(KNOWN)
        else:
            self._met[value["kind"]] = kind
            resource = self._decode(kind, value, report)
            if resource is None:
                self._refused.add(value["kind"])
            else:
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
        built = kind.build(metadata, spec, value.get("status"), report.locate, report)
        return replace(built, manifest=value)

    def _check_identity(self, kind: str, namespace: str, name: str, report: Report) -> None:
        """Kubernetes would let the later of two objects of one name overwrite the first."""
        first = self._identities.setdefault((kind, namespace, name), report.locate)
        if name and first is not report.locate:
            place = first(("metadata", "name"))
            message = f"{kind} {namespace}/{name} is defined at {place} already: rename one of them"
            report.error("document/duplicate", message, ("metadata", "name"))


def _subject(value: dict[str, Any], base: Path, document: Document) -> Subject:
    metadata = value.get("metadata")
    names = metadata if isinstance(metadata, dict) else {}
    begin, end = document.span(base)
    template = _RENDERED_FROM.search(document.preamble())
    return Subject(
        begin,
        end,
        value["kind"],
        str(names.get("namespace") or ""),
        str(names.get("name") or ""),
        template[1] if template else "",
    )


def _one_template(problems: list[Problem]) -> list[Problem]:
    """That a file is a template is said once."""
    template = next((problem for problem in problems if problem.rule == _TEMPLATE), None)
    return [p for p in problems if p is template or p.rule != _TEMPLATE]


def _decode_stream(data: bytes) -> str | Problem:
    if data.strip():
        return decode(data, STDIN)
    message = "nothing came on standard input: did the command in front of the pipe fail?"
    return Problem("error", message, Position(STDIN), "file/empty")
