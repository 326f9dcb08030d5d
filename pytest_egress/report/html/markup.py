"""HTML that cannot be broken out of: every text is escaped unless it was made here."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["Markup", "data", "join", "raw", "tag"]

_VOID = frozenset({"input", "meta", "path", "rect"})  # of SVG: drawn by their attributes alone
# Controls that a page may not hold, and those that reorder what is read.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_DANGEROUS = re.compile("<(?=[/!sS])")


class Markup(str):
    """Text that is HTML already. Only this module makes it."""

    __slots__ = ()


def _escaped(text: str) -> str:
    return html.escape(_UNSEEN.sub(lambda it: f"\\u{ord(it[0]):04x}", text), quote=True)


def raw(text: str) -> Markup:
    """A text of the package's own, such as its style sheet, as it is."""
    return Markup(text)


def join(parts: Iterable[Markup | str]) -> Markup:
    """The parts behind one another; those that are no markup are escaped."""
    return Markup("".join(it if isinstance(it, Markup) else _escaped(it) for it in parts))


def tag(name: str, /, *children: Markup | str, **attributes: Any) -> Markup:
    """An element.

    Args:
        name: its name; one of the package's own, never a text of the run.
        children: markup, or text to be escaped.
        attributes: ``class_`` is ``class``, underscores are hyphens; None and False leave the
            attribute out, True writes it without a value.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        written.append(f" {label}" if value is True else f' {label}="{_escaped(str(value))}"')
    opened = f"<{name}{''.join(written)}>"
    if name in _VOID:
        return Markup(opened if name in {"input", "meta"} else f"{opened[:-1]}/>")
    return Markup(f"{opened}{join(children)}</{name}>")


def data(value: Any) -> Markup:
    """A value as JSON for a ``script`` element of that type.

    Nothing in it can end the element or begin a comment or another one: that takes ``</``, ``<!``
    or ``<s``, which JSON can write otherwise.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(_DANGEROUS.sub("\\\\u003c", text))
