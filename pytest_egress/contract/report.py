"""What is found wrong with one document, gathered with positions."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.reader import Document, explain

__all__ = ["Locator", "Path", "Report"]

Path = tuple[str | int, ...]


class Locator:
    """Tells where in its document a part of one object stands; paths begin at the object."""

    __slots__ = ("_base", "_document")

    def __init__(self, document: Document, base: Path) -> None:
        self._document = document
        self._base = base

    def __call__(self, path: Path, *, key: bool = False) -> Position:
        """The position of the value at ``path``, or of its key; of the nearest parent if absent."""
        return self._document.position(self._base + path, key=key)

    def excerpt(self) -> tuple[Position, str]:
        """The text of the whole document, and the place where it begins."""
        return self._document.excerpt()


class Report:
    """Collects the problems of one object.

    Attributes:
        document: the YAML document that the object stands in.
        locate: positions of the object's parts; outlives the report.
        problems: what was found so far.
        value: the object as written.
    """

    __slots__ = ("_seen", "document", "locate", "problems", "value")

    def __init__(self, document: Document, base: Path = (), value: Any = None) -> None:
        self.document = document
        self.value = document.value if value is None else value
        self.locate = Locator(document, base)
        self.problems: list[Problem] = []
        self._seen: set[Problem] = set()

    def error(self, rule: str, message: str, path: Path, *, key: bool = False) -> None:
        """A finding that makes Kubernetes, istiod or this program refuse the object.

        ``key`` puts it at the field's name and not at its value.
        """
        position = self.locate(path, key=key)
        problem = Problem("error", message, position, rule)
        self._add(explain(self.document.source, problem))

    def warning(self, rule: str, message: str, path: Path, *, key: bool = False) -> None:
        """A finding that does not stop anything."""
        self._add(Problem("warning", message, self.locate(path, key=key), rule))

    def _add(self, problem: Problem) -> None:
        if problem not in self._seen:
            self._seen.add(problem)
            self.problems.append(problem)
