"""The documentation as pages: how they are laid out, and what fails the build."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import DOCS, ROOT


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/site/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = _load("build")
needs_sphinx = pytest.mark.skipif(
    importlib.util.find_spec("furo") is None, reason="the tox environment docs-build has Sphinx"
)


def test_links() -> None:
    """Pages link to pages by their names on the site; what is no page keeps its text."""
    text = (
        "[a](docs/verdicts.md#proof) [b](LICENSE) [c](https://d.example) [e](#f) [g](CHANGELOG.md)"
    )
    assert build.relink(text, ROOT / "README.md", build.pages()) == (
        "[a](verdicts.md#proof) b [c](https://d.example) [e](#f) [g](changes.md)"
    )
    back = build.relink("[r](../README.md)", ROOT / "docs/verdicts.md", build.pages())
    assert back == "[r](index.md)"


def test_fences_are_left_alone() -> None:
    """What looks like a link in an example is none."""
    text = "a\n```python\na\n```\na\n"
    assert build.outside_of_fences(text, str.upper) == "A\n```python\na\n```\nA\n"


def test_navigation_has_every_page_once(tmp_path: Path) -> None:
    """The README's list is the navigation; examples that it does not list are orphans."""
    build.lay_out(tmp_path)
    index = (tmp_path / "index.md").read_text("utf-8")
    listed = [
        line
        for tree in index.split("```{toctree}")[1:]
        for line in tree.partition("```")[0].splitlines()
        if line.endswith(".md")
    ]
    assert len(listed) == len(set(listed))
    assert {f"{name}.md" for name in DOCS} | {"changes.md"} <= set(listed)
    assert (tmp_path / "example-orders-node.md").read_text("utf-8").startswith("---\norphan: true")


@needs_sphinx
@pytest.mark.parametrize(
    ("flaw", "told"),
    [
        ("[a](verdicts.md#nowhere)", "local id not found"),
        ("# Verdicts\n\n#### too deep", "Non-consecutive header level"),
    ],
)
def test_flaws_fail_the_build(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    flaw: str,
    told: str,
) -> None:
    """An anchor that leads nowhere is told and fails it."""
    lay_out = build.lay_out

    def with_flaw(directory: Path) -> None:
        lay_out(directory)
        page = directory / "verdicts.md"
        page.write_text(f"{page.read_text('utf-8')}\n{flaw}\n", encoding="utf-8")

    monkeypatch.setattr(build, "lay_out", with_flaw)
    assert build.main([str(tmp_path / "site")]) != 0
    assert told in capfd.readouterr().err


@needs_sphinx
def test_site(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It builds without a word, and each page is there."""
    assert build.main([str(tmp_path)]) == 0
    streams = capfd.readouterr()
    assert (streams.out, streams.err) == ("", "")
    for name in build.pages().values():
        assert tmp_path.joinpath(name).with_suffix(".html").stat().st_size > 1000
