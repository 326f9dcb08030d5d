"""A page taken apart by Python's own parser, and the rules that any page of ours keeps."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

__all__ = ["Element", "parse"]

_VOID = {"input", "meta"}


@dataclass(slots=True)
class Element:
    """One element with its attributes, its children and texts in their order."""

    name: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """This element and all below it."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def find(self, name: str = "", **wanted: str) -> list[Element]:
        """Those below, by name and by attributes; of ``class_`` one of the classes will do."""
        return [it for it in self.walk() if name in {"", it.name} and it.fits(wanted)]

    def fits(self, wanted: dict[str, str]) -> bool:
        """Whether it has these attributes."""
        for key, value in wanted.items():
            label = key.rstrip("_").replace("_", "-")
            mine = self.attributes.get(label)
            if mine is None or (mine != value and (label != "class" or value not in mine.split())):
                return False
        return True

    @property
    def text(self) -> str:
        """All text below it."""
        return "".join(it if isinstance(it, str) else it.text for it in self.children)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        element = self.open.pop()
        assert element.name == tag, f"<{element.name}> ended by </{tag}>"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def parse(page: str) -> Element:
    """The page; what is not closed, closed twice or left behind fails."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == [reader.root]
    _keeps_to_itself(reader.root)
    return reader.root


def _keeps_to_itself(root: Element) -> None:
    """No other file, no script or style beside our own, and every link leads somewhere."""
    [policy] = [it for it in root.find("meta") if "http-equiv" in it.attributes]
    allowed = policy.attributes["content"]
    assert allowed.startswith("default-src 'none'; ")
    assert "unsafe" not in allowed
    for element in root.walk():
        for name, value in element.attributes.items():
            assert not name.startswith("on"), element
            assert name not in {"style", "src", "srcset", "action", "data", "xlink:href"}, element
            assert name != "href" or value.startswith("#"), element
        assert element.name not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        if element.name in {"script", "style"} and "type" not in element.attributes:
            digest = hashlib.sha256(element.text.encode()).digest()
            assert f"'sha256-{base64.b64encode(digest).decode()}'" in allowed
            assert "http" not in element.text
            assert "@import" not in element.text
            assert "url(" not in element.text
    ids = [it.attributes["id"] for it in root.walk() if "id" in it.attributes]
    assert len(ids) == len(set(ids))
    for element in root.walk():
        if "href" in element.attributes:
            assert element.attributes["href"][1:] in ids, element.attributes["href"]
        if "for" in element.attributes:
            assert element.attributes["for"] in ids
