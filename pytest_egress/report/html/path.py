"""The way of a call as a picture: one box for each step, one lane for each proxy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_egress.report.html.markup import Markup, join, tag
from pytest_egress.report.steps import Step

__all__ = ["picture"]

_WIDTH, _HEIGHT, _GAP, _LANE = 184, 62, 26, 92
_LETTERS = 22  # of the names' type that fit into a box
_NAMES = {"chain": "filter chain"}
_GLYPHS = {"passed": "✓", "missed": "·"}


def picture(steps: Sequence[Step], verdict: str) -> Markup:
    """An SVG of the steps; a title and a label say the same in words.

    Args:
        steps: from the lookup to the upstream.
        verdict: colours the step that decided.
    """
    lanes = _lanes(steps)
    boxes: list[Markup] = []
    before: tuple[int, int] | None = None
    for row, lane in enumerate(lanes):
        proxy = next((step.proxy for step in lane if step.proxy), "")
        first = next((i for i, step in enumerate(lane) if step.proxy), 0)
        offset = 0 if row == 0 else 1  # behind the lookup, below the sidecar's listener
        y = row * _LANE + 18
        if proxy:
            x = (first + offset) * (_WIDTH + _GAP)
            boxes.append(tag("text", proxy, class_="proxy", x=x, y=y - 6))
        for column, step in enumerate(lane):
            x = (column + offset) * (_WIDTH + _GAP)
            if before is not None:
                boxes.append(_arrow(before, (x, y), missed=step.state == "missed"))
            boxes.append(_box(step, x, y))
            before = x, y
    width = max(len(lane) + (1 if row else 0) for row, lane in enumerate(lanes))
    size = width * (_WIDTH + _GAP) - _GAP, (len(lanes) - 1) * _LANE + 18 + _HEIGHT + 2
    return tag(
        "svg",
        *boxes,
        class_=f"way {verdict.lower()}",
        viewBox=f"-1 0 {size[0] + 2} {size[1]}",
        width=size[0] + 2,
        height=size[1],
        role="img",
        aria_label=in_words(steps, verdict),
    )


def in_words(steps: Iterable[Step], verdict: str) -> str:
    """The way as a sentence, for those who do not see it."""
    parts = []
    for step in steps:
        name = " ".join(filter(None, (_NAMES.get(step.kind, step.kind), step.name or "none")))
        if step.state == "decided":
            name += f" decided: {verdict}"
        elif step.state == "missed":
            name += " (not reached)"
        parts.append(name)
    return ", ".join(parts)


def _lanes(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps of the first proxy with the lookup, those of each further one by themselves."""
    lanes: list[list[Step]] = [[]]
    proxy = ""
    for step in steps:
        if step.proxy and proxy and step.proxy != proxy:
            lanes.append([])
        proxy = step.proxy or proxy
        lanes[-1].append(step)
    return lanes


def _arrow(start: tuple[int, int], end: tuple[int, int], *, missed: bool) -> Markup:
    (x, y), (to_x, to_y) = start, end
    middle = _HEIGHT // 2
    if y == to_y:
        line = f"M{x + _WIDTH} {y + middle}H{to_x - 1}"
        head = f"M{to_x - 6} {y + middle - 4}l5 4-5 4"
    else:  # down to the next lane, between the two rows
        turn, down = y + _HEIGHT + 8, to_x + _WIDTH // 2
        line = f"M{x + _WIDTH // 2} {y + _HEIGHT}V{turn}H{down}V{to_y - 1}"
        head = f"M{down - 4} {to_y - 6}l4 5 4-5"
    return tag("path", d=line + head, class_="to missed" if missed else "to")


def _box(step: Step, x: int, y: int) -> Markup:
    kind = _NAMES.get(step.kind, step.kind)
    name, rest = _cut(step.name or "-")
    detail = rest or _shortened(step.detail)
    parts = [
        tag("title", ": ".join(filter(None, (kind, step.name, step.detail)))),
        tag("rect", x=x, y=y, width=_WIDTH, height=_HEIGHT, rx=5),
        tag("text", kind, class_="kind", x=x + 10, y=y + 17),
        tag("text", name, class_="name", x=x + 10, y=y + 35),
    ]
    mark = "◆ decided" if step.state == "decided" else _GLYPHS[step.state]
    parts.append(tag("text", mark, class_="mark", x=x + _WIDTH - 9, y=y + 17))
    if detail:
        parts.append(tag("text", detail, class_="name" if rest else "detail", x=x + 10, y=y + 52))
    return tag("g", join(parts), class_=f"step {step.state}")


def _cut(name: str) -> tuple[str, str]:
    """A name on two lines where it is too long for one."""
    if len(name) <= _LETTERS:
        return name, ""
    at = max((name.rfind(it, 0, _LETTERS) for it in "|.:-_, /"), default=-1) + 1
    at = at if at > _LETTERS // 3 else _LETTERS
    return name[:at], _shortened(name[at:])


def _shortened(text: str) -> str:
    """A text of one line; its end tells more than its middle."""
    if len(text) <= _LETTERS:
        return text
    return f"{text[: _LETTERS - 11]}…{text[-10:]}"
