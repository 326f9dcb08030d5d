"""Every Python block is a green test, or a file that such a test needs."""

from __future__ import annotations

import re

import pytest

from tests.docs.conftest import Write
from tests.docs.pages import PAGES, Block, Page

_TEST = re.compile(r"^def test_", re.MULTILINE)


def _tests(page: Page) -> list[Block]:
    return [block for block in page.blocks("python") if _TEST.search(block.text)]


@pytest.mark.parametrize("page", [page for page in PAGES if _tests(page)], ids=lambda p: p.name)
def test_examples_are_green(
    pytester: pytest.Pytester, clean_environment: None, write_files: Write, page: Page
) -> None:
    """Each test of a page passes under the contract that the page shows."""
    write_files(pytester.path, page)
    blocks = _tests(page)
    for block in blocks:
        target = pytester.path / (block.path or f"test_line_{block.line}.py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text, encoding="utf-8")
    result = pytester.runpytest("-p", "no:cacheprovider", "-W", "error")
    number = sum(len(_TEST.findall(block.text)) for block in blocks)
    result.assert_outcomes(passed=number)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_is_left_out(page: Page) -> None:
    """A Python block has tests, or a path that says what it is; YAML can be read."""
    import yaml

    for block in page.blocks():
        if block.language == "python":
            compile(block.text, f"{page.name}:{block.line}", "exec")
            assert block.path or _TEST.search(block.text), f"{page.name}:{block.line}"
        elif block.language == "yaml":
            assert list(yaml.safe_load_all(block.text)), f"{page.name}:{block.line}"
        else:
            assert block.language in {"console", "dockerfile", "groovy", "ini", "toml"}, (
                f"{page.name}:{block.line}"
            )
