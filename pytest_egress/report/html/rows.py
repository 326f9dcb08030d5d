"""The targets of a run, each with its way, its evidence and the tests that asked for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_egress.contract.position import Position
from pytest_egress.report.findings import Finding
from pytest_egress.report.html.markup import Markup, join, tag
from pytest_egress.report.html.path import picture
from pytest_egress.report.run import Run, Test

__all__ = ["GLYPHS", "Row", "detail", "rows_of", "summary"]

#: A sign for each verdict: colour alone tells nothing to some, and nothing on paper.
GLYPHS: Mapping[str, str] = {
    "REACHABLE": "→",
    "RESOLVED": "@",
    "UNDECLARED": "↷",
    "BLOCKED": "■",
    "UNREACHABLE": "✕",
    "UNRESOLVED": "?",
    "INCONCLUSIVE": "!",
}
_MOST_TESTS = 50
# What is shown of a record, in the order in which it is read.
_FIELDS = (
    *("refusal", "kind", "listener", "filter_chain", "route_config", "route", "rule", "answer"),
    *("cluster", "missing_cluster", "upstream_host", "response_code", "response_flags"),
    *("response_code_details", "connection_termination_details"),
    *("upstream_transport_failure_reason", "downstream_transport_failure_reason"),
    *("requested_server_name", "authority", "method", "path", "destination", "source"),
    *("attempts", "bytes_sent", "bytes_received", "duration", "upstream_duration", "request_id"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """Findings that are alike: same target, workload, verdict and way.

    Attributes:
        finding: the first of them.
        tests: those that asked, with how often.
    """

    finding: Finding
    tests: tuple[tuple[Test, int], ...]

    @property
    def failed(self) -> bool:
        """Whether one of its tests failed."""
        return any(test.failed for test, _ in self.tests)

    @property
    def text(self) -> str:
        """What the filter looks through."""
        found = self.finding
        parts = [found.verdict, found.target, found.workload, found.reason, *found.declared_by]
        parts += [test.id for test, _ in self.tests[:_MOST_TESTS]]
        parts += [step.name for step in found.steps]
        return " ".join(map(str, parts)).lower()


def rows_of(run: Run) -> list[Row]:
    """The rows: those of failed tests first, then by target."""
    found: dict[Any, tuple[Finding, Counter[str]]] = {}
    tests = {test.id: test for test in run.tests}
    for test in run.tests:
        for finding in test.findings:
            key = finding.target, finding.workload, finding.verdict, finding.reason, finding.steps
            found.setdefault(key, (finding, Counter()))[1][test.id] += 1
    rows = [
        Row(finding, tuple((tests[name], count) for name, count in names.items()))
        for finding, names in found.values()
    ]
    return sorted(rows, key=lambda row: (not row.failed, row.finding.target, row.finding.verdict))


def summary(row: Row) -> Markup:
    """The line of a row."""
    found = row.finding
    return tag(
        "summary",
        badge(found.verdict),
        tag(
            "span",
            tag("span", found.target, class_="target"),
            tag("span", f"from {found.workload}", class_="from") if found.workload else "",
            class_="what",
        ),
        tag("span", found.reason, class_="reason"),
        tag("span", _count(row), class_="tests failed" if row.failed else "tests"),
    )


def badge(verdict: str) -> Markup:
    """A verdict with its sign and colour."""
    sign = tag("span", GLYPHS.get(verdict, ""), aria_hidden="true")
    return tag("span", sign, f" {verdict}", class_=f"badge {verdict.lower()}")


def detail(row: Row, places: Mapping[Position, str]) -> Markup:
    """What is below the line of a row; ``places`` are the anchors in the page's contract."""
    found = row.finding
    return join(
        [
            tag(
                "div",
                picture(found.steps, found.verdict),
                class_="scroll",
                tabindex=0,
                role="group",
                aria_label="the way of the call",
            ),
            tag("p", found.reason, class_="why"),
            tag("dl", *_facts(found, places), class_="facts"),
            tag("div", *_tests(row), class_="of"),
            tag("div", *map(_record, found.records), class_="records"),
            _words(found),
        ]
    )


def _count(row: Row) -> str:
    failed = sum(test.failed for test, _ in row.tests)
    number = len(row.tests)
    noun = "test" if number == 1 else "tests"
    return f"✕ {failed} of {number} {noun} failed" if failed else f"{number} {noun}"


def _facts(found: Finding, places: Mapping[Position, str]) -> Iterator[Markup]:
    yield from _pair("declared", _places(found.declared_by, places) or "nowhere")
    if found.workload:
        yield from _pair("workload", found.workload)
    if found.status is not None:
        yield from _pair("status", str(found.status))
    if found.seconds is not None:
        yield from _pair("took", f"{found.seconds * 1000:.1f} ms")
    if found.where:
        yield from _pair("made at", found.where)


def _places(declared: Iterable[Position], places: Mapping[Position, str]) -> Markup:
    parts: list[Markup | str] = []
    for place in declared:
        anchor = places.get(place)
        link = tag("a", str(place), href=f"#{anchor}") if anchor else str(place)
        parts += [", ", link] if parts else [link]
    return join(parts)


def _pair(name: str, value: Markup | str) -> Iterator[Markup]:
    yield tag("dt", name)
    yield tag("dd", value)


def _tests(row: Row) -> Iterator[Markup]:
    yield tag("h3", "Tests")
    items = []
    for test, count in row.tests[:_MOST_TESTS]:
        times = f", {count} times" if count > 1 else ""
        name = tag("code", test.id)
        state = tag("span", test.outcome, class_=f"outcome {test.outcome}")
        items.append(tag("li", state, " ", name, times))
    if len(row.tests) > _MOST_TESTS:
        items.append(tag("li", f"and {len(row.tests) - _MOST_TESTS} more"))
    yield tag("ul", *items)


def _record(record: Mapping[str, Any]) -> Markup:
    known = [name for name in _FIELDS if name in record]
    known += [name for name in record if name not in _FIELDS and name != "proxy"]
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", _value(record[name]))) for name in known
    ]
    caption = tag("caption", f"Record of {record['proxy']}")
    return tag("table", caption, tag("tbody", *rows), class_="record")


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _words(found: Finding) -> Markup | str:
    if not found.explanation:
        return ""
    return tag("pre", found.explanation, class_="words", tabindex=0, aria_label="explanation")
