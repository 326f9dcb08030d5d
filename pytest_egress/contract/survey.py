"""Everything that is to be said of files and streams, and of which object each finding is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_egress.contract.collect import Collector, Subject
from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.resources import MeshConfig

__all__ = ["Survey", "survey", "survey_of"]


@dataclass(frozen=True, slots=True)
class Survey:
    """What was read and what there is to say of it.

    Attributes:
        problems: errors, istiod's warnings and lint, in the order of files and lines.
        files: what was read, in order; standard input is ``<stdin>``.
        kinds: how many objects of each of Istio's networking kinds there are, the refused ones
            included.
        other_kinds: how many documents of each other kind were left alone.
        subjects: the objects that problems stand in.
    """

    problems: tuple[Problem, ...]
    files: tuple[str, ...]
    kinds: Mapping[str, int]
    other_kinds: Mapping[str, int]
    subjects: Mapping[Problem, Subject]


def survey(
    paths: Iterable[str], *, stdin: bytes | None = None, mesh: MeshConfig | None = None
) -> Survey:
    """Read files, directories and globs as `load` does, and say everything of them.

    Args:
        paths: what to read; ``-`` stands for ``stdin`` where that is given.
        stdin: what came on standard input.
        mesh: the mesh that the resources are for.
    """
    collector = Collector(mesh)
    collector.read(paths, stdin=stdin)
    return survey_of(collector)


def survey_of(collector: Collector) -> Survey:
    """Everything that is to be said of what a collector has read; it is finished by this."""
    problems = collector.finish()
    if collector.files and not collector.kinds and not problems:
        problems.append(_nothing(collector))
    return Survey(
        tuple(problems),
        tuple(collector.files),
        collector.kinds,
        collector.other_kinds,
        {it: subject for it in problems if (subject := collector.subject(it.position))},
    )


def _nothing(collector: Collector) -> Problem:
    others = ", ".join(f"{count} {kind}" for kind, count in collector.other_kinds.items())
    message = f"no networking.istio.io resource is in what was given{others and ': '}{others}"
    return Problem("warning", message, Position(collector.files[0]), "lint/nothing-to-check")
