"""Files to lint findings: this project's warnings, Istio's analyzers, what comments silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from pytest_egress.contract.analyzers import Finding, analyze
from pytest_egress.contract.collect import Collector, Subject
from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.resources import MeshConfig
from pytest_egress.contract.rules import RULES, SILENCE, UNUSED_SILENCE
from pytest_egress.contract.silence import Flaw, Silence, silences
from pytest_egress.contract.suggest import nearest
from pytest_egress.contract.survey import Survey, survey_of

__all__ = ["Linted", "Silenced", "lint"]

_ANNOTATION = "galley.istio.io/analyze-suppress"
# By rule those that are told before it and say the same, where both stand on one line.
_SAME: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "lint/open-port": frozenset({"service-entry/tcp-addresses"}),
        "IST0101": frozenset(
            {
                "lint/destination-host",
                "lint/destination-cluster-service",
                "lint/destination-port",
                "lint/destination-subset",
                "lint/virtual-service-gateway",
                "lint/gateway-selector",
            }
        ),
        "IST0109": frozenset({"lint/virtual-service-rival"}),
        "IST0128": frozenset({"lint/destination-rule-credential"}),
        "IST0134": frozenset(
            {"lint/open-port", "lint/tcp-swallows-port", "service-entry/tcp-addresses"}
        ),
        "IST0174": frozenset({"lint/destination-rule-host"}),
    }
)
# Says less than what it is merged with.
_LESS = frozenset({"service-entry/tcp-addresses"})
# Errors of these are not of Istio's own validation.
_BEFORE_ISTIO = ("file/", "yaml/", "document/", "unknown-kind", "unsupported", "mesh/")


@dataclass(frozen=True, slots=True)
class Silenced:
    """A finding that somebody has accepted, and why."""

    finding: Finding
    reason: str


@dataclass(frozen=True, slots=True)
class Linted:
    """What lint says of files.

    Attributes:
        findings: what is to be told, in the order of files and lines.
        silenced: what is accepted.
        survey: what was read, and what validation says of it.
        subjects: the objects that findings stand in.
    """

    findings: tuple[Finding, ...]
    silenced: tuple[Silenced, ...]
    survey: Survey
    subjects: Mapping[Finding, Subject]


def lint(
    paths: Iterable[str], *, stdin: bytes | None = None, mesh: MeshConfig | None = None
) -> Linted:
    """Read files, directories and globs, and say everything of them.

    Args:
        paths: what to read; ``-`` stands for ``stdin`` where that is given.
        stdin: what came on standard input.
        mesh: the mesh that the resources are for.
    """
    collector = Collector(mesh)
    collector.read(paths, stdin=stdin)
    survey = survey_of(collector)
    found = [_finding(problem) for problem in survey.problems]
    found = _merged(found, list(analyze(collector.resources, collector.mesh, collector.refused)))
    annotated = _annotated(collector)
    comments: list[Silence] = []
    for source in collector.sources:
        for it in silences(source):
            if isinstance(it, Silence):
                comments.append(it)
            else:
                found.append(_flawed(it))
    by_file: dict[str, list[tuple[int, Silence]]] = {}
    for i, comment in enumerate(comments):
        by_file.setdefault(comment.position.file, []).append((i, comment))
    kept: list[Finding] = []
    accepted: list[Silenced] = []
    used: set[tuple[int, str]] = set()
    for finding in found:
        reason = annotated.get((collector.subject(finding.position), finding.rule), "")
        reason = _silenced(finding, by_file.get(finding.position.file, ()), used) or reason
        if reason:
            accepted.append(Silenced(finding, reason))
        else:
            kept.append(finding)
    errors = {finding.rule for finding in kept if _is_fixed(finding)}
    kept += _unused(comments, used, errors)
    order = {file: i for i, file in enumerate(survey.files)}

    def place(finding: Finding) -> tuple[int, Position]:
        return order.get(finding.position.file, -1), finding.position

    told = [*kept, *(it.finding for it in accepted)]
    subjects = {it: subject for it in told if (subject := collector.subject(it.position))}
    return Linted(tuple(sorted(kept, key=place)), tuple(accepted), survey, subjects)


def _finding(problem: Problem) -> Finding:
    of_istio = problem.severity == "error" and not problem.rule.startswith(_BEFORE_ISTIO)
    also = ("IST0106",) if of_istio else ()
    return Finding(problem.rule, problem.severity, problem.message, problem.position, also)


def _merged(ours: list[Finding], istios: list[Finding]) -> list[Finding]:
    """What is said twice of one place is said once, under all its names."""
    found: list[Finding] = []
    at_line: dict[tuple[str, int], list[int]] = {}
    for finding in [*ours, *istios]:
        line = at_line.setdefault((finding.position.file, finding.position.line), [])
        twin = next((i for i in line if _same(found[i], finding)), None)
        if twin is None:
            line.append(len(found))
            found.append(finding)
            continue
        one, other = found[twin], finding
        if one.rule in _LESS:
            one, other = other, one  # the one that says more
        also = dict.fromkeys((*one.also, *other.rules))
        found[twin] = replace(one, also=tuple(name for name in also if name != one.rule))
    return found


def _same(one: Finding, other: Finding) -> bool:
    """Whether two findings of one line are one."""
    return any(rule in _SAME.get(name, ()) for name in other.rules for rule in one.rules)


def _annotated(collector: Collector) -> dict[tuple[object, str], str]:
    """Istio's own way to silence a code for an object, ``*`` for all of them."""
    found: dict[tuple[object, str], str] = {}
    for resource in collector.resources:
        codes = resource.metadata.annotations.get(_ANNOTATION, "")
        for code in codes.split(",") if codes else ():
            subject = collector.subject(resource.at("metadata", "name"))
            known = (
                [it for it in RULES if it.startswith("IST")]
                if code.strip() == "*"
                else [code.strip()]
            )
            found |= {(subject, it): f"annotation {_ANNOTATION}" for it in known}
    return found


def _silenced(
    finding: Finding, comments: Iterable[tuple[int, Silence]], used: set[tuple[int, str]]
) -> str:
    """The reason that a comment of its file gives for a finding; empty where none does."""
    reason = ""
    if _is_fixed(finding):
        return reason
    for i, comment in comments:
        if comment.first <= finding.position.line <= comment.last:
            for rule in set(comment.rules) & set(finding.rules):
                used.add((i, rule))
                reason = reason or comment.reason
    return reason


def _is_fixed(finding: Finding) -> bool:
    """Whether nothing silences it: what Istio refuses is refused, whatever a comment says."""
    return finding.level == "error" and finding.rule not in RULES


def _unused(
    comments: list[Silence], used: set[tuple[int, str]], errors: set[str]
) -> Iterator[Finding]:
    for i, comment in enumerate(comments):
        for rule in comment.rules:
            if (i, rule) in used:
                continue
            if rule in errors:
                message = f"{rule} cannot be silenced: it is why the object is refused"
            elif rule not in RULES and (rule.startswith("lint/") or "/" not in rule):
                near = nearest(rule, RULES)
                hint = f': did you mean "{near}"?' if near else ""
                message = f'there is no rule "{rule}"{hint}'
            else:
                message = f"{rule} is not found here: take the comment out"
            yield Finding(UNUSED_SILENCE, "warning", message, comment.position)


def _flawed(flaw: Flaw) -> Finding:
    return Finding(SILENCE, "error", flaw.message, flaw.position)
