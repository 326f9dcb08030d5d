"""The contract of a run in its report: its text with line marks, and what was not exercised."""

from __future__ import annotations

import re
from collections import defaultdict

from pytest_egress.contract.position import Position, Problem
from pytest_egress.report.coverage import Coverage
from pytest_egress.report.facts import Declaration
from pytest_egress.report.html.markup import Markup, join, tag
from pytest_egress.report.run import Run
from pytest_egress.report.sheets import Sheet

__all__ = ["anchors", "contract_section", "coverage_section"]

_STATES = {
    "all": "every port exercised",
    "some": "some ports exercised",
    "none": "not exercised",
}
_PLACE = re.compile(r"(.*):(\d+):(\d+)", re.DOTALL)


def sheets_of_run(run: Run) -> list[Sheet]:
    """Every document once, by file and line; a policy makes no other text."""
    found = dict.fromkeys(sheet for contract in run.contracts for sheet in contract.sheets)
    return sorted(found, key=lambda sheet: (sheet.file, sheet.line))


def anchors(run: Run) -> dict[Position, str]:
    """The anchor of each place that something is declared by or warned of."""
    files = {file: i for i, file in enumerate(dict.fromkeys(s.file for s in sheets_of_run(run)))}
    lines: dict[str, set[int]] = defaultdict(set)
    for sheet in sheets_of_run(run):
        lines[sheet.file] |= set(range(sheet.line, sheet.line + sheet.text.count("\n") + 1))
    places = {place for finding in run.findings for place in finding.declared_by}
    places |= {_position(it.place) for it in run.declared}
    places |= {it.position for it in run.bypasses if it.position is not None}
    places |= {it.position for contract in run.contracts for it in contract.warnings}
    return {
        place: f"f{files[place.file]}-{place.line}"
        for place in places
        if place.file in files and place.line in lines[place.file]
    }


def coverage_section(coverage: Coverage, places: dict[Position, str]) -> Markup:
    """The declared hosts and ports, those that lack a test first."""
    rows = []
    for state, found in (
        ("never called", coverage.never_called),
        ("never opened", coverage.never_opened),
        ("exercised", coverage.exercised),
    ):
        for it in found:
            anchor = places.get(_position(it.place))
            place = tag("a", it.place, href=f"#{anchor}") if anchor else it.place
            rows.append(
                tag(
                    "tr",
                    tag("td", state, class_=f"state {state.replace(' ', '-')}"),
                    tag("td", tag("code", f"{it.host}:{it.port}")),
                    tag("td", it.protocol or "?"),
                    tag("td", place),
                )
            )
    for target, tests in coverage.undeclared:
        rows.append(
            tag(
                "tr",
                tag("td", "not declared", class_="state not-declared"),
                tag("td", tag("code", target)),
                tag("td", ""),
                tag("td", ", ".join(tests[:3]) + (" ..." if len(tests) > 3 else "")),
            )
        )
    head = tag("tr", *(tag("th", it, scope="col") for it in ("state", "host", "protocol", "where")))
    caption = f"{len(coverage.exercised)} of {coverage.total} declared hosts and ports exercised"
    return tag(
        "section",
        tag("h2", "Coverage"),
        tag(
            "div",
            tag(
                "table",
                tag("caption", caption),
                tag("thead", head),
                tag("tbody", *rows),
                class_="coverage",
            ),
            class_="scroll",
            tabindex=0,
            role="group",
            aria_label="coverage",
        ),
        id="coverage",
        aria_label="Coverage",
    )


def contract_section(run: Run, places: dict[Position, str]) -> Markup:
    """The text of the contract, declared hosts marked by what became of them."""
    marks = _marks(run.coverage)
    warnings: dict[tuple[str, int], list[Problem]] = defaultdict(list)
    for problem in dict.fromkeys(it for contract in run.contracts for it in contract.warnings):
        warnings[problem.position.file, problem.position.line].append(problem)
    files: dict[str, list[Markup]] = defaultdict(list)
    named = {(it.file, it.line): anchor for it, anchor in places.items()}
    for sheet in sheets_of_run(run):
        files[sheet.file].append(_sheet(sheet, marks, warnings, named))
    parts = [
        tag(
            "details",
            tag("summary", tag("code", file)),
            *sheets,
            class_="file",
            open=len(files) < 9,
        )
        for file, sheets in files.items()
    ]
    legend = [tag("li", text, class_=f"mark {state}") for state, text in _STATES.items()]
    legend.append(tag("li", "warned of", class_="mark warned"))
    return tag(
        "section",
        tag("h2", "Contract"),
        tag("ul", *legend, class_="legend"),
        *parts,
        id="contract",
        aria_label="Contract",
    )


def _marks(coverage: Coverage) -> dict[tuple[str, int], str]:
    """By file and line: whether all, some or none of what it declares was exercised."""
    states: dict[tuple[str, int], set[bool]] = defaultdict(set)

    def note(found: tuple[Declaration, ...], exercised: bool) -> None:
        for it in found:
            place = _position(it.place)
            states[place.file, place.line].add(exercised)

    note(coverage.exercised, True)
    note(coverage.never_called, False)
    note(coverage.never_opened, False)
    return {
        place: "some" if len(seen) > 1 else "all" if True in seen else "none"
        for place, seen in states.items()
    }


def _sheet(
    sheet: Sheet,
    marks: dict[tuple[str, int], str],
    warnings: dict[tuple[str, int], list[Problem]],
    named: dict[tuple[str, int], str],
) -> Markup:
    lines = sheet.text.split("\n")
    numbers = "\n".join(str(sheet.line + i) for i in range(len(lines)))
    text: list[Markup | str] = []
    told: list[Markup] = []
    for number, line in enumerate(lines, sheet.line):
        place = sheet.file, number
        found = warnings.get(place, ())
        state = marks.get(place, "")
        classes = " ".join(filter(None, ("mark", state, "warned" if found else "")))
        if state or found or place in named:
            anchor = named.pop(place, None)  # texts of fixtures share a name: the first has it
            said = "; ".join(filter(None, (_STATES.get(state, ""), *(it.message for it in found))))
            line = tag(  # noqa: PLW2901 - the same line, marked
                "span", line or " ", class_=classes, id=anchor, title=said or None
            )
        text += [line, "\n"]
        told += [_warning(it) for it in found]
    return join(
        [
            tag(
                "div",
                tag("pre", numbers, class_="numbers", aria_hidden="true"),
                tag("pre", *text[:-1], class_="yaml"),
                class_="sheet scroll",
                tabindex=0,
                role="group",
                aria_label=f"{sheet.file} from line {sheet.line}",
            ),
            tag("ul", *told, class_="warnings") if told else "",
        ]
    )


def _warning(problem: Problem) -> Markup:
    where = tag("code", str(problem.position))
    return tag("li", where, f" {problem.message} ", tag("code", problem.rule))


def _position(place: str) -> Position:
    found = _PLACE.fullmatch(place)
    if found is None:
        return Position(place)
    return Position(found[1], int(found[2]), int(found[3]))
