"""The outside under test, which must have no errors and leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_egress.upstream import Outside


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    """A started outside."""
    with _watched(Outside(tmp_path / "outside")) as started:
        yield started


@pytest.fixture
def folded(tmp_path: Path) -> Iterator[Outside]:
    """An outside on a system that has only 127.0.0.1."""
    with _watched(Outside(tmp_path / "folded", distinct_addresses=False)) as started:
        yield started


class _watched:  # noqa: N801  used as a context manager only
    def __init__(self, outside: Outside) -> None:
        self.outside = outside

    def __enter__(self) -> Outside:
        self.before = set(threading.enumerate())  # another test's backend may be alive
        self.outside.start()
        return self.outside

    def __exit__(self, *_: object) -> None:
        self.outside.stop()
        assert self.outside.errors == []
        left = set(threading.enumerate()) - self.before
        mine = [thread for thread in left if "pytest-egress" in thread.name]
        for thread in mine:
            thread.join(1)  # it may be on its last line
        assert not [thread for thread in mine if thread.is_alive()]
