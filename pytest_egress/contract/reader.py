"""YAML text to documents that know where each of their values stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pytest_egress.contract.nodes import (
    Flaw,
    compose_all,
    depth_exceeds,
    expansion,
    find,
    plain,
)
from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.source import Source

__all__ = ["MAX_BYTES", "Document", "decode", "explain", "read_documents", "too_large"]

MAX_BYTES = 32 * 1024 * 1024
_MAX_DEPTH = 100
_MAX_VALUES = 100_000
_SUSPECT_OPENERS = 100
_SUSPECT_BLOCKS = re.compile(r"[ \t\-?:]{100}")
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_INDENTED_WRONG = re.compile(r"[ ]*(\t|[ \t]*[\u00a0\u2000-\u200b\u202f\u3000])[ \t\u00a0]*\S")
_TEMPLATE = re.compile(r"\{\{|\{%|\$\{")
_BEFORE = re.compile(r"(?:[ \t]*(?:---)?[ \t]*\r?\n)*")
_NULLS = frozenset(["", "~", "null", "Null", "NULL"])


class Document:
    """One YAML document: its plain value, and the positions of its parts.

    The node tree is let go after validation and composed again from the text when a position
    is asked for later: five thousand kept trees would cost 100 MB.
    """

    __slots__ = ("_index", "_known", "_root", "_span", "source", "value")

    def __init__(
        self, source: Source, root: Any, value: Any, index: int, span: tuple[int, int]
    ) -> None:
        self.source = source
        self.value = value
        self._root = root
        self._index = index
        self._span = span
        self._known: dict[tuple[tuple[str | int, ...], bool], Position] | None = None

    def release(self) -> None:
        """Let the node tree go."""
        self._root = None

    def position(self, path: tuple[str | int, ...], *, key: bool = False) -> Position:
        """The position of the value at ``path``, of its key with ``key``.

        Where the path leads nowhere it is the position of the nearest parent's key; an empty
        value has its key's position.
        """
        if self._root is not None:
            return self._find(self._root, 0, path, key=key)
        if self._known is None:
            self._known = {}
        if (path, key) not in self._known:
            # A thousand objects may clash with this one: it is composed once for all of them.
            self._known[path, key] = self._find(*self._composed(), path, key=key)
        return self._known[path, key]

    def _find(self, node: Any, offset: int, path: tuple[str | int, ...], *, key: bool) -> Position:
        place = parent = node
        for depth, step in enumerate(path):
            found = find(node, step)
            if found is None:
                place = parent
                break
            parent, node = found
            empty = node.id == "scalar" and node.value == "" and node.tag == "?"
            wants_key = key and depth == len(path) - 1
            place = parent if empty or wants_key else node
        return self.source.position(place.start_mark.index + offset)

    def span(self, path: tuple[str | int, ...]) -> tuple[int, int]:
        """The characters that the value at ``path``, which exists, takes up; before `release`."""
        node = self._root
        for step in path:
            _, node = find(node, step) or (None, node)
        return node.start_mark.index, node.end_mark.index

    def preamble(self) -> str:
        """What stands between the document before and this one: markers and comments."""
        return self.source.text[self._span[0] : self._root.start_mark.index]

    def excerpt(self) -> tuple[Position, str]:
        """Its text, the marker before it left out, and the place where that begins."""
        begin, end = self._span
        text = self.source.text[begin:end]
        start = _BEFORE.match(text)
        skipped = start.end() if start else 0
        return self.source.position(begin + skipped), text[skipped:].rstrip()

    def is_empty(self) -> bool:
        """Whether the document says nothing at all (only comments, ``null`` or ``{}``)."""
        return self.value is None or self.value == {}

    def _composed(self) -> tuple[Any, int]:
        """The tree again, and what to add to its indices; the source keeps the last one."""
        import yaml

        kept = self.source.composed
        if kept is None or kept[0] != self._index:
            begin, end = self._span
            try:
                root = next(compose_all(self.source.text[begin:end]))
            except yaml.YAMLError:
                # a document that leans on what stands before it (``...``, %TAG)
                begin = 0
                root = next(islice(compose_all(self.source.text), self._index, None))
            kept = self.source.composed = (self._index, root, begin)
        return kept[1], kept[2]


def decode(data: bytes, file: str) -> str | Problem:
    """The text of a file's bytes, or the one reason why there is none."""
    if len(data) > MAX_BYTES:
        return too_large(len(data), file)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _error(Position(file), "yaml/encoding", "the file is UTF-16: save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8-sig", "replace")
        if b"\0" in data[:8192]:
            return _binary(file)
        message = f"byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8"
        place = Source(file, good + "?").position(len(good))
        return _error(place, "yaml/encoding", message)
    return text


def too_large(size: int, file: str) -> Problem:
    """The problem of a file that is larger than any contract."""
    message = (
        f"the file has {size} bytes, more than the {MAX_BYTES} that are read: "
        "is it a contract? Split it, or name the right file"
    )
    return _error(Position(file), "file/too-large", message)


def read_documents(source: Source, problems: list[Problem]) -> Iterator[Document]:
    """The documents of a text, one at a time; what cannot be read is appended to ``problems``.

    A document with a flaw of its own is left out and the next one is read; where the text stops
    being YAML the reading ends.
    """
    import yaml

    refused = _refuse_text(source)
    if refused is not None:
        problems.append(refused)
        return
    anchors = "&" in source.text
    begin = 0
    try:
        for index, root in enumerate(compose_all(source.text)):
            flaws: list[Flaw] = []
            bomb = expansion(root, _MAX_VALUES) if anchors else None
            if bomb is not None:
                flaws.append(bomb)
            value = plain(root, flaws) if bomb is None else None
            if flaws:
                problems.extend(_flawed(source, flaws))
            else:
                yield Document(source, root, value, index, (begin, root.end_mark.index))
            begin = root.end_mark.index
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax_problem(source, error))
    except yaml.YAMLError as error:
        problems.append(_error(source.position(0), "yaml/syntax", str(error)))


def _refuse_text(source: Source) -> Problem | None:
    """What is looked for before a parser sees the text."""
    text = source.text
    if len(text) > MAX_BYTES:
        return too_large(len(text), source.file)
    found = _UNPRINTABLE.search(text)
    if found is not None:
        if found[0] == "\0":
            return _binary(source.file)
        message = (
            f"character U+{ord(found[0]):04X} is not allowed in YAML: remove it, "
            'or write it as an escape in double quotes ("\\x..")'
        )
        return _error(source.position(found.start()), "yaml/character", message)
    # The composer recurses in C: a text that could nest deeply is measured first.
    suspect = _SUSPECT_BLOCKS.search(text) is not None or any(
        part.count("[") + part.count("{") > _SUSPECT_OPENERS for part in text.split("\n---")
    )
    too_deep = depth_exceeds(text, _MAX_DEPTH) if suspect else None
    if too_deep is None:
        return None
    message = f"nested more than {_MAX_DEPTH} levels deep: no Istio resource needs that"
    return _error(source.position(too_deep), "yaml/depth", message)


def _syntax_problem(source: Source, error: Any) -> Problem:
    """One message for a text that is no YAML, at the place where a reader has to look."""
    mark = error.problem_mark or error.context_mark
    if "alias" in str(error.context):
        mark = error.context_mark  # the asterisk
    index = mark.index if mark is not None else 0
    start = error.context_mark.index if error.context_mark is not None else index
    template = _template_near(source, start, index)
    if template is not None:
        return template
    wrong = _wrong_indentation(source, index)
    if wrong is not None:
        return wrong
    what = str(error.problem or error.context or "cannot be read")
    if error.context and error.problem:
        what = f"{error.problem} ({error.context})"
    return _error(source.position(index), "yaml/syntax", f"not YAML: {what}. {_mend(what)}")


def _mend(what: str) -> str:
    if "mapping values are not allowed" in what:
        return "Indent the line as its neighbours, or quote a value that contains ': '"
    if "alias" in what:
        return "Quote a value that begins with '*': '*.example.com'"
    if "cannot start any token" in what:
        return "Quote a value that begins with @, ` or %"
    if "quoted scalar" in what or "escape" in what:
        return "Close the quotes; in double quotes a backslash is written twice"
    if "document start" in what:
        return "Put '---' between two documents"
    return "Check the indentation, brackets and quotes of this line and the one before"


def explain(source: Source, problem: Problem) -> Problem:
    """The deeper reason of a problem: a template that was not rendered, odd indentation."""
    line = source.line(problem.position.line)
    found = _TEMPLATE.search(line)
    if found is not None and not line.lstrip().startswith("#"):
        place = Position(source.file, problem.position.line, found.start() + 1)
        return _error(place, "yaml/template", _template_message(found[0], source.file))
    odd = _INDENTED_WRONG.match(line)
    if odd is not None:
        return _odd_indentation(source.file, problem.position.line, odd)
    return problem


def _wrong_indentation(source: Source, index: int) -> Problem | None:
    """A tab or no-break space that indents the line at ``index`` or the one before."""
    last = source.position(index).line
    for number in range(max(last - 1, 1), last + 1):
        odd = _INDENTED_WRONG.match(source.line(number))
        if odd is not None:
            return _odd_indentation(source.file, number, odd)
    return None


def _odd_indentation(file: str, line: int, odd: re.Match[str]) -> Problem:
    character = odd[1][-1]
    name = "a tab" if character == "\t" else f"a special space (U+{ord(character):04X})"
    message = f"the line is indented with {name}: YAML indents with spaces only"
    return _error(Position(file, line, odd.end(1)), "yaml/indentation", message)


def _template_near(source: Source, start: int, index: int) -> Problem | None:
    first = source.text.rfind("\n", 0, start) + 1
    end = source.text.find("\n", index)
    near = source.text[first : end if end >= 0 else None]
    found = _TEMPLATE.search(near)
    if found is None or (found[0] == "${" and "\n" in near[found.start() :]):
        return None  # "${" is ordinary in many texts: it is blamed on its own line only
    place = source.position(first + found.start())
    return _error(place, "yaml/template", _template_message(found[0], source.file))


def _template_message(opening: str, file: str) -> str:
    if opening == "{{":
        folders = file.replace("\\", "/").split("/")
        chart = "/".join(folders[: folders.index("templates")]) if "templates" in folders else ""
        how = f"helm template {chart or '.'} | pytest-egress validate -"
    else:
        how = "with the tool that fills it in"
    return f'"{opening}" is a template, not a value: render the file first ({how}) and give that'


def _flawed(source: Source, flaws: list[Flaw]) -> list[Problem]:
    found = [_error(source.position(f.at), f.rule, f.message) for f in flaws]
    explained = [explain(source, problem) for problem in found]
    return list(dict.fromkeys(explained))


def _binary(file: str) -> Problem:
    message = "the file is binary (it contains a NUL byte): give the YAML text"
    return _error(Position(file), "yaml/binary", message)


def _error(position: Position, rule: str, message: str) -> Problem:
    return Problem("error", message, position, rule)
