"""The pages of the documentation, taken apart: fenced blocks, tables, inline code, links, headings.

A fenced block whose first line is a comment with a path (``# egress/weather.yaml``) is the file at
that path. A page without a contract of its own means the one of the README. A ``python`` block
without a path is a test file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCS", "PAGES", "README", "ROOT", "Block", "Page"]

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.(?:py|toml|ya?ml))\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        language: what stands behind the opening fence.
        text: what is between the fences.
        line: the line of the opening fence, from 1.
    """

    language: str
    text: str
    line: int

    @property
    def path(self) -> str:
        """The file that the block is; empty when its first line names none."""
        match = _FILE.match(self.text)
        return match[1] if match else ""


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path from the top of the project."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """What it holds."""
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """What it holds outside of fenced blocks."""
        return _FENCE.sub("", self.text)

    def blocks(self, language: str = "") -> list[Block]:
        """Its fenced blocks, of one language or of all."""
        text = self.text
        found = (
            Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)
            for match in _FENCE.finditer(text)
        )
        return [block for block in found if language in {"", block.language}]

    def files(self) -> dict[str, str]:
        """The files that its blocks are, by path, test files left out."""
        own = {block.path: block.text for block in self.blocks() if block.path}
        return {path: text for path, text in own.items() if "test_" not in path}

    def section(self, heading: str) -> str:
        """The prose below a heading, up to the next one of any level."""
        below = rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)"
        match = re.search(below, self.prose, re.MULTILINE | re.DOTALL)
        if match is None:
            raise AssertionError(f"{self.name} has no heading {heading!r}")
        return match[1]

    def rows(self, *columns: str) -> list[dict[str, str]]:
        """The rows of the table with exactly these columns."""
        lines = self.prose.splitlines()
        header = "| " + " | ".join(columns) + " |"
        if header not in lines:
            raise AssertionError(f"{self.name} has no table {header}")
        start = lines.index(header) + 2
        return list(_rows(lines[start:], columns))

    def code(self) -> list[str]:
        """Its inline code."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    def links(self) -> list[str]:
        """The targets of its links."""
        return re.findall(r"\]\(([^)\s]+)\)", self.prose)

    def anchors(self) -> set[str]:
        """The anchors of its headings, as GitHub makes them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {
            re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-") for text in headings
        }


def _rows(lines: list[str], columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    for line in lines:
        if not line.startswith("|"):
            return
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != len(columns):
            raise AssertionError(f"expected {len(columns)} cells: {line}")
        yield dict(zip(columns, cells, strict=True))


README = Page(ROOT / "README.md")
DOCS = {path.stem: Page(path) for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = [
    README,
    Page(ROOT / "CHANGELOG.md"),
    *(Page(path) for path in sorted((ROOT / "examples").glob("*/README.md"))),
    *DOCS.values(),
]
