"""A run as one HTML file that needs nothing else: no network, no server, no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib.resources import files

from pytest_egress.contract.position import Position
from pytest_egress.report.coverage import Coverage
from pytest_egress.report.html.bypass import bypass_section
from pytest_egress.report.html.contract import anchors, contract_section, coverage_section
from pytest_egress.report.html.markup import Markup, data, raw, tag
from pytest_egress.report.html.rows import GLYPHS, Row, badge, detail, rows_of, summary
from pytest_egress.report.run import Run

__all__ = ["html_of"]

#: So many rows are in the page whole; of the rest the details are made when they are opened.
WHOLE = 200
_MOST_FAILURES = 200
_BAR = 240  # pixels


def html_of(run: Run) -> str:
    """The page."""
    style, script = _own("report.css"), _own("report.js")
    rows, places = rows_of(run), anchors(run)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"pytest-egress {run.version}"),
        tag("title", f"Egress report: {_verdict(run)}"),
        tag("style", raw(style)),
    )
    body = tag(
        "body",
        tag("a", "Skip to the targets", class_="skip", href="#targets"),
        _header(run),
        tag("main", *_main(run, rows, places), id="main"),
        _footer(),
        *_later(rows[WHOLE:], places),
        tag("script", raw(script)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _verdict(run: Run) -> str:
    failed = sum(test.failed for test in run.tests)
    if failed:
        return f"{failed} of {len(run.tests)} {'test' if len(run.tests) == 1 else 'tests'} failed"
    return f"{len(run.tests)} {'test' if len(run.tests) == 1 else 'tests'}, none failed"


def _header(run: Run) -> Markup:
    links = [
        tag("a", text, href=f"#{name}")
        for name, text in (
            ("targets", "Targets"),
            ("failures", "Failures"),
            ("bypass", "Ways around"),
            ("coverage", "Coverage"),
            ("contract", "Contract"),
        )
        if (name != "failures" or any(test.failed for test in run.tests))
        and (name != "bypass" or run.bypasses)
    ]
    told = [run.backend or "no pod", run.started, f"{run.seconds:.1f} s", f"version {run.version}"]
    return tag(
        "header",
        tag("h1", "Egress report ", tag("span", _verdict(run), class_="sum")),
        tag("p", " · ".join(told), class_="of-run"),
        tag("nav", *links, aria_label="Sections"),
    )


def _main(run: Run, rows: list[Row], places: dict[Position, str]) -> Iterator[Markup]:
    coverage = run.coverage
    yield _overview(run, coverage)
    yield _targets(rows, places)
    if any(test.failed for test in run.tests):
        yield _failures(run)
    if run.bypasses:
        yield bypass_section(run.bypasses, places)
    yield coverage_section(coverage, places)
    yield contract_section(run, coverage, places)


def _overview(run: Run, coverage: Coverage) -> Markup:
    tests = ", ".join(f"{count} {name}" for name, count in sorted(run.outcomes.items()))
    others = ", ".join(f"{count} {name}" for name, count in run.others)
    verdicts = run.verdicts
    bars = [(verdict.lower(), verdicts[verdict]) for verdict in GLYPHS if verdicts[verdict]]
    legend = [
        tag("li", badge(verdict), f" {verdicts[verdict]}")
        for verdict in GLYPHS
        if verdicts[verdict]
    ]
    files = dict.fromkeys(file for contract in run.contracts for file in contract.files)
    policies = list(dict.fromkeys(contract.policy for contract in run.contracts))
    warnings = dict.fromkeys(it for contract in run.contracts for it in contract.warnings)
    return tag(
        "section",
        _card(
            "Tests",
            str(len(run.tests)),
            tag("p", tests or "none had a pod"),
            tag("p", f"without a pod: {others}") if others else "",
        ),
        _card(
            "Findings",
            str(sum(verdicts.values())),
            _bar(bars),
            tag("ul", *legend, class_="verdicts"),
        ),
        _card(
            "Coverage",
            f"{coverage.percent:.0f} %",
            _bar(
                [
                    ("all", len(coverage.exercised)),
                    ("rest", coverage.total - len(coverage.exercised)),
                ]
            ),
            tag("p", f"{len(coverage.exercised)} of {coverage.total} declared hosts and ports"),
            tag("p", f"{len(coverage.undeclared)} called though nothing declares them")
            if coverage.undeclared
            else "",
        ),
        _card(
            "Contract",
            policies[0] if policies else "none",
            tag("p", f"in some tests {', '.join(policies[1:])}") if policies[1:] else "",
            tag("p", f"{len(files)} {'file' if len(files) == 1 else 'files'}"),
            tag("p", f"{len(warnings)} {'warning' if len(warnings) == 1 else 'warnings'}"),
        ),
        class_="cards",
        aria_label="Overview",
    )


def _card(title: str, number: str, *more: Markup | str) -> Markup:
    return tag("div", tag("h2", title), tag("p", number, class_="number"), *more, class_="card")


def _bar(shares: list[tuple[str, int]]) -> Markup:
    """A bar of shares; the words beside it say the same."""
    total = sum(count for _, count in shares)
    parts, at = [], 0.0
    for name, count in shares:
        width = _BAR * count / total if total else 0.0
        parts.append(tag("rect", x=round(at, 2), y=0, width=round(width, 2), height=8, class_=name))
        at += width
    return tag(
        "svg",
        *parts,
        class_="bar",
        viewBox=f"0 0 {_BAR} 8",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _targets(rows: list[Row], places: dict[Position, str]) -> Markup:
    seen = dict.fromkeys(row.finding.verdict for row in rows)
    chips = [
        tag("button", badge(it), type="button", data_verdict=it, aria_pressed="false")
        for it in GLYPHS
        if it in seen
    ]
    chips.append(
        tag("button", "✕ failed tests", type="button", data_failed=True, aria_pressed="false")
    )
    controls = tag(
        "div",
        tag("label", "Filter", for_="filter"),
        tag(
            "input",
            id="filter",
            type="search",
            placeholder="host, test, cluster, reason ...",
            autocomplete="off",
            spellcheck="false",
            aria_keyshortcuts="/",
        ),
        tag("div", *chips, class_="chips", role="group", aria_label="Verdicts"),
        tag("output", f"{len(rows)} of {len(rows)}", id="shown", for_="filter", role="status"),
        class_="controls",
        role="search",
        hidden=True,  # the script shows it: without one it does nothing
    )
    items = [
        tag(
            "details",
            summary(row),
            tag("div", detail(row, places) if i < WHOLE else "", class_="body"),
            class_="row failed" if row.failed else "row",
            data_text=row.text,
            data_verdict=row.finding.verdict,
        )
        for i, row in enumerate(rows)
    ]
    note = tag("p", "No test has probed or called anything.", class_="empty") if not rows else ""
    return tag(
        "section",
        tag("h2", "Targets"),
        controls,
        note,
        tag("div", *items, id="rows"),
        id="targets",
        aria_label="Targets",
    )


def _failures(run: Run) -> Markup:
    failed = [test for test in run.tests if test.failed]
    parts = [
        tag(
            "details",
            tag(
                "summary",
                tag("span", test.outcome, class_=f"outcome {test.outcome}"),
                " ",
                tag("code", test.id),
                tag("span", f" {test.file}:{test.line}", class_="from"),
            ),
            tag("pre", test.message, class_="words", tabindex=0, aria_label="failure"),
            class_="failure",
        )
        for test in failed[:_MOST_FAILURES]
    ]
    more = len(failed) - _MOST_FAILURES
    if more > 0:
        parts.append(tag("p", f"and {more} more"))
    return tag("section", tag("h2", "Failures"), *parts, id="failures", aria_label="Failures")


def _footer() -> Markup:
    keys = (("/", "filter"), ("j", "next"), ("k", "previous"), ("Enter", "open"), ("x", "open all"))
    told = [tag("span", tag("kbd", key), f" {what}") for key, what in keys]
    return tag("footer", *told, tag("span", tag("kbd", "Esc"), " clear"), id="keys", hidden=True)


def _later(rows: list[Row], places: dict[Position, str]) -> Iterator[Markup]:
    """The details of the rows that are not in the page whole, as inert text."""
    if not rows:
        return
    yield tag(
        "noscript",
        tag("p", f"The details of {len(rows)} targets need JavaScript; the JSON report has them."),
    )
    yield tag(
        "script",
        data([str(detail(row, places)) for row in rows]),
        type="application/json",
        id="later",
        data_first=WHOLE,
    )
