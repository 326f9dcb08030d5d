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
_MOST_OPEN = 2000  # lines
_MOST_ROWS = 100
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
    lacking = [
        *(_declared("never called", it, places) for it in coverage.never_called),
        *(_declared("never opened", it, places) for it in coverage.never_opened),
        *(
            _cells("not declared", target, "", ", ".join(tests[:3]) + (" ..." * (len(tests) > 3)))
            for target, tests in coverage.undeclared
        ),
    ]
    exercised = [_declared("exercised", it, places) for it in coverage.exercised]
    caption = f"{len(coverage.exercised)} of {coverage.total} declared hosts and ports exercised"
    if len(exercised) <= _MOST_ROWS:
        tables = [_table(caption, [*lacking, *exercised])]
    else:
        more = tag("summary", f"{len(exercised)} exercised")
        tables = [_table(caption, lacking)] if lacking else [tag("p", caption)]
        tables.append(tag("details", more, _table("Exercised", exercised), class_="file"))
    return tag("section", tag("h2", "Coverage"), *tables, id="coverage", aria_label="Coverage")


def _table(caption: str, rows: list[Markup]) -> Markup:
    head = tag("tr", *(tag("th", it, scope="col") for it in ("state", "host", "protocol", "where")))
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", head),
        tag("tbody", *rows),
        class_="coverage",
    )
    return tag("div", table, class_="scroll", tabindex=0, role="group", aria_label=caption)


def _declared(state: str, it: Declaration, places: dict[Position, str]) -> Markup:
    anchor = places.get(_position(it.place))
    place = tag("a", it.place, href=f"#{anchor}") if anchor else it.place
    return _cells(state, f"{it.host}:{it.port}", it.protocol or "?", place)


def _cells(state: str, host: str, protocol: str, where: Markup | str) -> Markup:
    return tag(
        "tr",
        tag("td", state, class_=f"state {state.replace(' ', '-')}"),
        tag("td", tag("code", host)),
        tag("td", protocol),
        tag("td", where),
    )


def contract_section(run: Run, coverage: Coverage, places: dict[Position, str]) -> Markup:
    """The text of the contract, declared hosts marked by what became of them."""
    marks = _marks(coverage)
    warnings: dict[tuple[str, int], list[Problem]] = defaultdict(list)
    for problem in dict.fromkeys(it for contract in run.contracts for it in contract.warnings):
        warnings[problem.position.file, problem.position.line].append(problem)
    named = {(it.file, it.line): anchor for it, anchor in places.items()}
    files: dict[str, list[Sheet]] = defaultdict(list)
    for sheet in sheets_of_run(run):
        files[sheet.file].append(sheet)
    lines = sum(sheet.text.count("\n") + 1 for sheets in files.values() for sheet in sheets)
    parts = [
        tag(
            "details",
            tag("summary", tag("code", file)),
            _text(sheets, marks, warnings, named),
            class_="file",
            open=lines <= _MOST_OPEN,  # what is closed is not laid out
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


def _text(
    sheets: list[Sheet],
    marks: dict[tuple[str, int], str],
    warnings: dict[tuple[str, int], list[Problem]],
    named: dict[tuple[str, int], str],
) -> Markup:
    """The documents of a file as one text; few elements, as contracts may be long."""
    numbers: list[str] = []
    text: list[Markup | str] = []
    plain: list[str] = []  # lines without a mark: escaped in one go
    told: list[Markup] = []
    for sheet in sheets:
        if numbers:
            numbers.append("")
            plain.append("")
        for number, line in enumerate(sheet.text.split("\n"), sheet.line):
            numbers.append(str(number))
            place = sheet.file, number
            found = warnings.pop(place, ())
            state = marks.get(place, "")
            if not (state or found or place in named):
                plain.append(line)
                continue
            text += ["\n".join([*plain, ""])] if plain else []
            plain = []
            said = "; ".join(filter(None, (_STATES.get(state, ""), *(it.message for it in found))))
            classes = " ".join(filter(None, ("mark", state, "warned" if found else "")))
            anchor = named.pop(place, None)  # texts of fixtures share a name: the first has it
            text += [tag("span", line or " ", class_=classes, id=anchor, title=said or None), "\n"]
            told += map(_warning, found)
    text.append("\n".join(plain))
    return join(
        [
            tag(
                "div",
                tag("pre", "\n".join(numbers), class_="numbers", aria_hidden="true"),
                tag("pre", *text, class_="yaml"),
                class_="sheet scroll",
                tabindex=0,
                role="group",
                aria_label=f"text of {sheets[0].file}",
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
