"""The ways around the sidecar in the HTML report: what is open, and who stops it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_egress.bypass.bypass import Bypass
from pytest_egress.contract.position import Position
from pytest_egress.report.html.markup import Markup, tag

__all__ = ["bypass_section"]

_STATES = {True: ("open", "never-called"), None: ("unknown", ""), False: ("closed", "exercised")}
_SHOWN = {
    "proxy": "a real Envoy",
    "kernel": "the kernel, with Istio's rules",
    "rules": "Istio's rules, read",
}


def bypass_section(found: Sequence[Bypass], places: Mapping[Position, str]) -> Markup:
    """Each way that was tried, the open ones first."""
    columns = ("state", "way", "tried", "why", "shown by", "stopped by")
    head = tag("tr", *(tag("th", it, scope="col") for it in columns))
    rows = [_row(it, places) for it in found]
    count = sum(it.open is True for it in found)
    table = tag(
        "table",
        tag("caption", f"{count} of {len(found)} ways are open. Advice: no test fails for it"),
        tag("thead", head),
        tag("tbody", *rows),
        class_="coverage",
    )
    return tag(
        "section",
        tag("h2", "Ways around the sidecar"),
        tag("div", table, class_="scroll", tabindex=0, role="group", aria_label="ways around"),
        id="bypass",
        aria_label="Ways around the sidecar",
    )


def _row(it: Bypass, places: Mapping[Position, str]) -> Markup:
    state, kind = _STATES[it.open]
    where: Markup | str = ""
    if it.position is not None:
        anchor = places.get(it.position)
        where = tag("a", str(it.position), href=f"#{anchor}") if anchor else str(it.position)
    return tag(
        "tr",
        tag("td", state, class_=f"state {kind}"),
        tag("td", it.way),
        tag("td", tag("code", it.target)),
        tag("td", it.reason, " " if where else "", where),
        tag("td", _SHOWN[it.shown_by]),
        tag("td", it.enforced_by if it.open is not False else ""),
    )
