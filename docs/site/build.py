"""Build the documentation's pages: ``python docs/site/build.py [DIRECTORY]`` (default: build/docs).

The README is the first page, and its list of pages is the navigation: each ``###`` heading below
"Documentation" is a group, each link in it a page. Links to files that are no page (sources,
licence) become plain text. A warning is an error: a link or an anchor that leads nowhere, a page
that is not listed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def pages() -> dict[Path, str]:
    """Every page's file, and its name on the site."""
    found = {ROOT / "README.md": "index.md", ROOT / "CHANGELOG.md": "changes.md"}
    for path in sorted(ROOT.glob("examples/*/README.md")):
        found[path] = f"example-{path.parent.name}.md"
    for path in sorted(ROOT.glob("docs/*.md")):
        found[path] = path.name
    return found


def lay_out(directory: Path) -> None:
    """Write the pages as Sphinx reads them, links turned to their names on the site."""
    known = pages()
    for path, name in known.items():
        text = outside_of_fences(path.read_text("utf-8"), partial(relink, page=path, known=known))
        if name == "index.md":
            text += "".join(navigation(path.read_text("utf-8"), known))
        elif name.startswith("example-"):
            text = f"---\norphan: true\n---\n{text}"  # reached by a link, where there is one
        directory.joinpath(name).write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "docs/site/conf.py", directory)


def outside_of_fences(text: str, change: Callable[[str], str]) -> str:
    """Change what is not in a fenced block."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join((*parts, change(text[end:])))


def relink(text: str, page: Path, known: Mapping[Path, str]) -> str:
    """The links of a page's text, as they are on the site."""

    def changed(link: re.Match[str]) -> str:
        label, target = link.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return link[0]
        name = known.get((page.parent / path).resolve())
        if name is None:
            return label
        return f"[{label}]({name}{'#' if anchor else ''}{anchor})"

    return _LINK.sub(changed, text)


def navigation(readme: str, known: Mapping[Path, str]) -> Iterator[str]:
    """One table of contents for each group of the README's list."""
    listed = readme.partition("\n## Documentation\n")[2].partition("\n## ")[0]
    for group in listed.split("\n### ")[1:]:
        caption, _, links = group.partition("\n")
        yield f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n"
        for _, target in _LINK.findall(links):
            yield f"{known[ROOT / target]}\n"
        yield "```\n"


def main(arguments: list[str]) -> int:
    """Lay the pages out and run Sphinx."""
    output = Path(arguments[0] if arguments else ROOT / "build/docs").resolve()
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "source")
        source.mkdir()
        lay_out(source)
        command = [sys.executable, "-m", "sphinx", "-E", "-n", "-W", "--keep-going", "-q"]
        command += ["-d", str(Path(name, "doctrees")), "-b", "html", str(source), str(output)]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
