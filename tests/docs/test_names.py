"""Everything public is documented, and everything that is linked to is there."""

from __future__ import annotations

import re

import pytest

import pytest_egress
from pytest_egress import (
    Egress,
    EgressError,
    Outcome,
    Outcomes,
    Request,
    Resolution,
    Share,
    Shares,
    Upstream,
    Upstreams,
)
from pytest_egress.particulars import Timings, UpstreamAddress
from pytest_egress.upstream import ClientCertificate
from tests.docs.pages import DOCS, PAGES, ROOT, Page

_GUIDE = DOCS["writing-tests"]
_ATTRIBUTES: dict[type, tuple[str, ...]] = {Egress: ("backend", "contract", "workload")}


def _documented(*pages: Page) -> str:
    """The code of pages: inline, and in Python blocks."""
    parts = [part for page in pages for part in page.code()]
    parts += [block.text for page in pages for block in page.blocks("python")]
    return "\n".join(parts)


@pytest.mark.parametrize("name", pytest_egress.__all__)
def test_public_name_is_documented(name: str) -> None:
    """Each name that the package exports stands in the documentation as code."""
    assert re.search(rf"\b{name}\b", _documented(*DOCS.values()))


@pytest.mark.parametrize(
    "owner",
    [
        ClientCertificate,
        Egress,
        Outcome,
        Outcomes,
        Request,
        Resolution,
        Share,
        Shares,
        Timings,
        Upstream,
        UpstreamAddress,
        Upstreams,
    ],
)
def test_public_members_are_documented(owner: type) -> None:
    """Each method is shown as a call, each property as one, in the guide."""
    text = _documented(_GUIDE, DOCS["verdicts"])
    ours = [vars(kind) for kind in owner.__mro__ if kind.__module__.startswith("pytest_egress")]
    members = {n for names in ours for n in names if not n.startswith("_")}
    members.update(_ATTRIBUTES.get(owner, ()))
    assert len(members) > 1
    missing = [n for n in members if not re.search(rf"(?<![\w]){n}\(|\.{n}\b", text)]
    assert not missing


def test_errors_are_documented() -> None:
    """Each error of the tree has its row."""
    rows = {row["error"].strip("`") for row in _GUIDE.rows("error", "means")}
    tree = {EgressError.__name__, *(error.__name__ for error in EgressError.__subclasses__())}
    assert rows == tree - {"ProbeOptionError"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Page) -> None:
    """Each link within the project leads to a file, and to a heading of it."""
    for link in page.links():
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), link
        if anchor:
            assert anchor in Page(target).anchors(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths(page: Page) -> None:
    """Each path of the project that is mentioned exists."""
    tops = ("pytest_egress/", "tests/conformance", "examples/", "benchmarks/", ".ci/")
    for code in page.code():
        if code.startswith(tops):
            assert ROOT.joinpath(code).exists(), code


def test_every_page_is_linked_from_the_readme() -> None:
    """A reader of the README finds every page."""
    linked = {(ROOT / link).resolve() for link in PAGES[0].links()}
    assert {page.path for page in PAGES[1:]} <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_layout(page: Page) -> None:
    """One title, prose of at most 120 characters a line, no blanks at the ends."""
    lines = page.text.splitlines()
    assert lines[0].startswith("# ")
    assert page.text.endswith("\n")
    assert not page.text.endswith("\n\n")
    for number, line in enumerate(lines, 1):
        assert line == line.rstrip(), f"{page.name}:{number}"
    for line in page.prose.splitlines():
        assert line.startswith("|") or len(line) <= 120, line
