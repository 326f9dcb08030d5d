"""The report as a person meets it: drawn, filtered, walked through by keyboard, printed."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.report.html.page import WHOLE, html_of
from pytest_egress.report.run import Run
from tests.report.runs import RUN, case_of, finding, run_of

MANY = 5000
WAIT = 30.0  # seconds at most, where something is waited for
SECONDS = 2.0  # of computing, until a report of 5,000 outcomes is open
VERDICTS = ("REACHABLE", "BLOCKED", "UNREACHABLE", "UNDECLARED")

# What is read by people needs this contrast (WCAG 2.2, 1.4.3), and its parts are what is measured.
CONTRAST = 4.5
MEASURE = """
const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const light = (c) => {
  const [r, g, b] = c.map((v) => v / 255).map((v) =>
    v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const c = rgb(getComputedStyle(at).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((it) => it.nodeType === 3 && it.data.trim());
  if (!own || !element.checkVisibility() || element.closest("svg, noscript, script")) continue;
  const a = light(rgb(getComputedStyle(element).color)), b = light(behind(element));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  found.push([ratio, element.className + ": " + element.textContent.slice(0, 40)]);
}
return found.sort((x, y) => x[0] - y[0]);
"""


class Page:
    """A report that is open in the browser."""

    def __init__(self, browser: Any, path: Path, run: Run) -> None:
        path.write_text(html_of(run), encoding="utf-8")
        self.browser = browser
        browser.get_log("browser")
        browser.execute_cdp_cmd("Performance.enable", {})
        self._before = self._metric("ProcessTime")
        browser.get(path.as_uri())

    def _metric(self, name: str) -> float:
        found = self.browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return float(next(it["value"] for it in found if it["name"] == name))

    def processor_time(self) -> float:
        """Seconds that the page's process has computed since the page began to open."""
        return self._metric("ProcessTime") - self._before

    def all(self, selector: str) -> list[Any]:
        """The elements that fit."""
        return list(self.browser.find_elements("css selector", selector))

    def keys(self, *keys: str) -> None:
        """Type on what has the focus."""
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    def ask(self, script: str) -> Any:
        """What a script says in the page."""
        return self.browser.execute_script(script)

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait for what the page does in a task of its own; on a loaded machine that takes time."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, WAIT).until(lambda _: condition())

    @property
    def rows(self) -> list[Any]:
        """The rows that are shown."""
        return [row for row in self.all("#rows > .row") if row.is_displayed()]

    def verdicts(self) -> list[str]:
        """Those of the rows that are shown."""
        return [row.get_attribute("data-verdict") for row in self.rows]

    def console(self) -> list[str]:
        """What went wrong, in the browser's words: a refused resource or script too."""
        return [entry["message"] for entry in self.browser.get_log("browser")]


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Page:
    """The report of a run with a bit of everything."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return Page(browser, tmp_path / "report.html", RUN)


def media(page: Page, scheme: str, kind: str = "screen", width: int = 0) -> None:
    """Look at it in light or dark, on a screen or on paper, as wide as that."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"media": kind, "features": features}
    )
    if width:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_it_opens_without_a_word_on_the_console(page: Page) -> None:
    """Nothing is fetched, nothing refused, nothing thrown; hostile texts are texts."""
    assert len(page.rows) == 6
    for row in page.all("#rows > .row > summary"):
        row.click()
    page.wait_for(lambda: len([it for it in page.all("svg.way") if it.is_displayed()]) == 6)
    assert page.all("img, iframe") == []
    assert page.ask("return performance.getEntriesByType('resource').length") == 0
    assert page.console() == []


def test_a_script_that_is_not_ours_does_not_run(page: Page) -> None:
    """Even if a text did break out, the page's policy would stop it."""
    page.ask(
        "const it = document.createElement('script'); it.textContent = 'window.hurt = 1';"
        "document.body.append(it);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hurt = 1\">');"
    )
    assert page.ask("return window.hurt === undefined")
    assert any("Content Security Policy" in line for line in page.console())


def test_filter(page: Page) -> None:
    """By words, by verdict, by what failed; what is shown is counted."""
    field = page.all("#filter")[0]
    field.send_keys("example.com rates")
    assert page.verdicts() == ["UNREACHABLE"]
    assert page.all("#shown")[0].text == "1 of 6"
    field.clear()
    field.send_keys("x")
    field.send_keys("\ue003")  # backspace
    assert len(page.rows) == 6
    blocked, failed = (
        page.all('[data-verdict="BLOCKED"].chips *, button[data-verdict="BLOCKED"]')[0],
        page.all("button[data-failed]")[0],
    )
    blocked.click()
    assert page.verdicts() == ["BLOCKED"]
    assert blocked.get_attribute("aria-pressed") == "true"
    blocked.click()
    failed.click()
    assert page.verdicts() == ["UNDECLARED", "INCONCLUSIVE", "UNRESOLVED", "UNREACHABLE"]
    assert page.console() == []


def test_keyboard(page: Page) -> None:
    """Everything can be done without a mouse."""
    page.keys("/")
    assert page.ask("return document.activeElement.id") == "filter"
    page.keys("weather", "\ue015")  # arrow down
    assert page.verdicts() == ["REACHABLE", "BLOCKED"]
    summary = page.browser.switch_to.active_element
    assert summary.tag_name == "summary"
    page.keys("\ue007")  # enter
    assert page.rows[0].get_attribute("open") is not None
    page.keys("j")
    assert page.ask("return document.activeElement.closest('.row').dataset.verdict") == "BLOCKED"
    page.keys("k", "k")
    assert page.ask("return document.activeElement.closest('.row').dataset.verdict") == "REACHABLE"
    page.keys("\ue00c")  # escape
    assert len(page.rows) == 6
    page.keys("x")
    assert all(row.get_attribute("open") is not None for row in page.rows)
    page.keys("x")
    assert not any(row.get_attribute("open") is not None for row in page.rows)
    assert page.console() == []


def test_tab_reaches_everything(page: Page) -> None:
    """From the first link to the last file of the contract, each with a visible focus."""
    reached = []
    for _ in range(40):
        page.keys("\ue004")  # tab
        found = page.ask(
            "const it = document.activeElement; const style = getComputedStyle(it);"
            "return [it.tagName.toLowerCase(), it.id || it.className || it.textContent,"
            " style.outlineStyle]"
        )
        if found[0] == "body":
            break
        assert found[2] != "none", found
        reached.append(found[0])
    assert reached.count("summary") >= 6 + 3 + 1
    assert {"a", "input", "button", "summary", "div"} <= set(reached)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(page: Page, scheme: str) -> None:
    """Text against what is behind it, in light and dark, with every row open."""
    media(page, scheme)
    page.keys("x")
    found = page.ask(MEASURE)
    assert len(found) > 100
    assert found[0][0] >= CONTRAST, found[:5]
    dark = page.ask("return getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(17, 21, 27)") is (scheme == "dark")


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_sticks_out(page: Page, width: int) -> None:
    """The page itself never scrolls sideways; ways and contract do by themselves."""
    media(page, "light", width=width)
    page.keys("x")
    assert page.ask("return document.documentElement.scrollWidth") <= width


def test_printing_opens_what_failed(page: Page) -> None:
    """On paper the controls are gone and failures are there; afterwards all is as before."""
    page.ask(
        "window.counts = []; addEventListener('beforeprint', () => setTimeout(() => 0)); return 1"
    )
    page.ask(
        "addEventListener('beforeprint', () => window.counts.push("
        "document.querySelectorAll('.row[open]').length))"
    )
    answer = page.browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(answer["data"]).startswith(b"%PDF")
    assert page.ask("return window.counts") == [4]
    assert page.all(".row[open]") == []
    media(page, "light", "print")
    assert not page.all(".controls")[0].is_displayed()
    media(page, "light")


def test_a_link_leads_to_the_line(page: Page) -> None:
    """From a target to the line of the contract that declares it."""
    [link] = page.all('.row[data-verdict="REACHABLE"] dd a')
    page.all('.row[data-verdict="REACHABLE"] > summary')[0].click()
    link.click()
    assert page.ask("return document.querySelector(':target').textContent") == "  - api.weather.com"


def test_many_outcomes_open_fast(browser: Any, tmp_path: Path) -> None:
    """By the processor time of the page's process: how busy the machine is says nothing."""
    cases = [
        case_of(
            f"tests/test_{i // 50}.py::test_{i}",
            "failed" if i % 50 == 0 else "passed",
            finding(VERDICTS[i % 4], f"h{i}.example.com"),
        )
        for i in range(MANY)
    ]
    page = Page(browser, tmp_path / "many.html", run_of(*cases))
    opened = page.processor_time()
    assert 0 < opened <= SECONDS
    page.all("#filter")[0].send_keys("h4999.example")
    assert page.all("#shown")[0].text == f"1 of {MANY}"
    assert page.processor_time() - opened <= SECONDS
    page.keys("\ue015", "\ue007")  # arrow down, enter
    row = page.browser.switch_to.active_element.find_element("xpath", "..")
    assert WHOLE < MANY
    # Browsers tell that a row was opened in a task of its own: then it is filled.
    page.wait_for(lambda: row.find_elements("css selector", "svg.way"))
    assert page.console() == []
