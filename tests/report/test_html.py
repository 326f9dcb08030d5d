"""The HTML report: its structure, what it tells, and that no text can break out of it."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_egress.report.html.markup import Markup, data, tag
from pytest_egress.report.html.page import WHOLE, html_of
from pytest_egress.report.html.path import picture
from pytest_egress.report.run import Run
from pytest_egress.report.steps import Step
from tests.report.pages import Element, parse
from tests.report.runs import HOSTILE, RUN, SHEETS, case_of, finding, run_of

SEEN = HOSTILE.replace("\u2028", "\u2028")


def page_of(run: Run) -> Element:
    """The page of a run, held to the rules of every page."""
    return parse(html_of(run))


PAGE = page_of(RUN)


def test_each_target_has_a_row() -> None:
    """Those of failed tests first; a verdict is told by a word, not by colour alone."""
    rows = PAGE.find("details", class_="row")
    assert [row.attributes["data-verdict"] for row in rows] == [
        *("UNDECLARED", "INCONCLUSIVE", "UNRESOLVED", "UNREACHABLE", "REACHABLE", "BLOCKED")
    ]
    assert [bool(row.fits({"class_": "failed"})) for row in rows] == [True] * 4 + [False] * 2
    for row in rows:
        [summary] = row.find("summary")
        assert row.attributes["data-verdict"] in summary.text
    weather = rows[4]
    assert "from shop/app=checkout" in weather.text
    assert "tests/test_a.py::test_weather" in weather.text
    assert [link.attributes["href"] for link in weather.find("a")] == ["#f0-9"]
    assert "✕ 1 of 1 test failed" in rows[0].text


def test_each_row_has_its_way() -> None:
    """As a picture with the deciding step marked, and in words for who does not see it."""
    for row in PAGE.find("details", class_="row"):
        [way] = row.find("svg", class_="way")
        assert way.attributes["role"] == "img"
        proven = row.attributes["data-verdict"] != "INCONCLUSIVE"
        assert len(way.find("g", class_="decided")) == proven
        assert (" decided: " in way.attributes["aria-label"]) == proven
        assert len(way.find("g", class_="step")) == 5


def test_texts_of_the_run_are_nothing_but_text() -> None:
    """A host name, a test's id, a reason and a comment in the contract try to be more."""
    row = PAGE.find("details", class_="row")[0]
    assert row.find("span", class_="target")[0].text == f"https://{SEEN}:443/"
    assert row.find("p", class_="why")[0].text == SEEN
    assert f"tests/test_b.py::test_hostile[{SEEN}]" in row.find("code")[0].text
    assert SEEN.replace("\u2028", "") in PAGE.find("pre", class_="yaml")[0].text
    scripts = PAGE.find("script")
    assert len(scripts) == 1
    assert "alert" not in scripts[0].text


def test_overview_and_failures() -> None:
    """Numbers of tests, findings and coverage; what failed, with pytest's words."""
    cards = [card.text for card in PAGE.find("div", class_="card")]
    assert cards[0] == "Tests51 error, 2 failed, 1 passed, 1 skippedwithout a pod: 3 passed"
    assert "Findings6" in cards[1]
    assert "40 %" in cards[2]
    assert "REGISTRY_ONLY" in cards[3]
    [failures] = PAGE.find("section", id="failures")
    assert len(failures.find("details")) == 3
    assert "assert <UNREACHABLE ...>.reachable" in failures.text
    assert PAGE.find("title")[0].text == "Egress report: 3 of 5 tests failed"


def test_contract_has_line_marks() -> None:
    """Beside each host what became of it, and each warning at its line."""
    [section] = PAGE.find("section", id="contract")
    marks = {it.attributes.get("id"): it for it in section.find("span", class_="mark")}
    assert marks["f0-9"].fits({"class_": "some"})
    assert marks["f0-9"].text == "  - api.weather.com"
    assert "some ports exercised" in marks["f0-9"].attributes["title"]
    numbers, yaml = section.find("pre", class_="numbers")[0], section.find("pre", class_="yaml")[0]
    assert numbers.text.split("\n")[0] == "2"
    assert len(numbers.text.split("\n")) == len(yaml.text.split("\n"))
    assert "tr0ub4dor" not in section.text
    assert len(SHEETS.warnings) == 2
    assert "lint/location-unset" in section.find("ul", class_="warnings")[0].text


def test_coverage_lists_what_lacks_a_test_first() -> None:
    """Each host on each port, with the line that declares it."""
    [table] = PAGE.find("table", class_="coverage")
    states = [cell.text for cell in table.find("td", class_="state")]
    assert states == ["never called", *["never opened"] * 2, "not declared", *["exercised"] * 2]
    assert table.find("caption")[0].text == "2 of 5 declared hosts and ports exercised"


def test_what_is_operated_has_a_name() -> None:
    """Buttons, input, scrolled regions: by keyboard and with a screen reader."""
    for button in PAGE.find("button"):
        assert button.attributes["type"] == "button"
        assert button.attributes["aria-pressed"] == "false"
        assert button.text
    [field] = PAGE.find("input")
    assert [it.text for it in PAGE.find("label", for_=field.attributes["id"])] == ["Filter"]
    for element in PAGE.walk():
        if element.attributes.get("tabindex") == "0":
            assert element.attributes["aria-label"]
    assert PAGE.find("html")[0].attributes["lang"] == "en"


def test_a_run_without_anything_is_a_page() -> None:
    """No tests, no contract."""
    page = page_of(run_of(contracts=()))
    assert "No test has probed or called anything." in page.text
    assert page.find("details", class_="row") == []


def test_alike_findings_share_a_row() -> None:
    """A hundred equal probes of one test, and those of another."""
    found = [finding() for _ in range(100)]
    page = page_of(
        run_of(case_of("a.py::x", "passed", *found), case_of("a.py::y", "passed", found[0]))
    )
    [row] = page.find("details", class_="row")
    assert [it.text for it in row.find("li")] == ["passed a.py::x, 100 times", "passed a.py::y"]


def test_details_of_many_rows_come_later() -> None:
    """They wait as text, in the order of the rows."""
    cases = [
        case_of(f"t.py::{i}", "passed", finding("BLOCKED", f"h{i:04}.example", reason=HOSTILE))
        for i in range(WHOLE + 2)
    ]
    page = page_of(run_of(*cases))
    rows = page.find("details", class_="row")
    assert [len(row.find("svg")) for row in rows] == [1] * WHOLE + [0, 0]
    [later] = page.find("script", id="later")
    waiting = json.loads(later.text)
    assert [f"h{WHOLE + i:04}.example" in text for i, text in enumerate(waiting)] == [True, True]
    assert "<img" not in later.text
    assert len(page.find("noscript")) == 1


def test_each_proxy_has_a_lane() -> None:
    """What a gateway did stands below what the sidecar did."""
    steps = [
        Step("dns", "", "api.weather.com"),
        *(Step(kind, "sidecar", kind) for kind in ("listener", "route", "cluster")),
        *(Step(kind, "egress.istio-system", kind) for kind in ("listener", "route", "cluster")),
        Step("upstream", "", "198.18.0.1:443", state="decided"),
    ]
    root = parse(html_of(RUN))  # the rules hold for the page, the picture is looked at alone
    assert root.find("svg")
    drawn = str(picture(steps, "REACHABLE"))
    assert drawn.count('class="proxy"') == 2
    assert "egress.istio-system" in drawn
    assert drawn.count("<rect") == 8
    assert drawn.count("<path") == 7


class _Texts(HTMLParser):
    """Every text and attribute, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.values: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [value for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text())
def test_any_text_stays_one(text: str) -> None:
    """As content and as an attribute it is what it was, controls made visible."""
    read = _Texts()
    read.feed(tag("p", text, title=text))
    read.close()
    assert read.tags == ["p"]
    plain = text.encode("utf-8", "replace").decode()
    if plain.isprintable() and plain == text:
        assert read.text == text
        assert read.values == [text]
    assert "\u202e" not in read.text


@given(st.text())
def test_any_value_stays_in_its_script(text: str) -> None:
    """As JSON in a script element."""
    page = f"<script>{data([text, '</script>', '<!--<script>'])}</script><p>"
    read = _Texts()
    read.feed(page)
    read.close()
    assert read.tags == ["script", "p"]
    assert json.loads(read.text)[0] == text


@pytest.mark.parametrize("text", ["<!--", "<script", "</", "<SCRIPT", "]]>"])
def test_dangerous_beginnings_are_written_otherwise(text: str) -> None:
    """What changes a parser's state inside of a script never stands there."""
    written = data(text)
    assert isinstance(written, Markup)
    assert json.loads(written) == text
    assert "<" not in written
