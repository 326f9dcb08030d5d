"""``pytest-egress clean`` removes what dead runs have left, and nothing else."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pytest_egress.backends import registry
from pytest_egress.backends.ownership import Leftover, Owner, labels
from pytest_egress.backends.private import PrivateDirectory
from pytest_egress.cli import main
from pytest_egress.errors import BackendError

Found = Callable[[], list[Leftover]]


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for temporary files that no other run uses, with a short path."""
    with tempfile.TemporaryDirectory(prefix="e", dir="/tmp") as base:
        monkeypatch.setattr(tempfile, "tempdir", base)
        yield Path(base)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Found], None]:
    """Registers a backend ``boxes`` with what its runs have left."""

    def add(found: Found) -> None:
        kind = registry.Kind("boxes", "", leftovers=f"{__name__}:told")
        monkeypatch.setattr(registry, "_KINDS", {"boxes": kind})
        monkeypatch.setitem(globals(), "told", lambda get: found())

    return add


@pytest.mark.usefixtures("temporary")
def test_directories(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of dead runs go, that of a run that goes on stays; a dry run removes nothing."""
    alive = PrivateDirectory()
    dead = alive.path.with_name(f"{alive.path.name}dead")
    dead.mkdir()
    (dead / "owner.lock").touch()
    try:
        assert main(["clean", "--dry-run", "--backend=local"]) == 0
        assert capsys.readouterr().out == f"to remove directory {dead}\n"
        assert dead.exists()
        assert main(["clean", "--backend=local"]) == 0
        assert capsys.readouterr() == (f"removed directory {dead}\n", "1 removed, 0 left\n")
        assert not dead.exists()
        assert alive.path.exists()
    finally:
        alive.close()


def test_what_stays(backend: Callable[[Found], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Each with the reason, and the option that removes it."""
    mine = Owner.of(labels())
    assert mine
    dead = dataclasses.replace(mine, started="1")
    removed: list[str] = []

    def found() -> list[Leftover]:
        things = {
            "alive": (mine, False),
            "dead": (dead, False),
            "kept": (dead, True),
            "elsewhere": (dataclasses.replace(mine, host="ci-7-12345678"), False),
        }
        return [
            Leftover("box", name, owner, kept, partial(removed.append, name))
            for name, (owner, kept) in things.items()
        ]

    backend(found)
    assert main(["clean", "--backend=boxes"]) == 0
    out, error = capsys.readouterr()
    assert out.splitlines() == [
        f"left box alive: {mine} goes on",
        f"removed box dead of {mine}",
        "left box kept: it is to be kept; --kept removes it",
        f"left box elsewhere: process {mine.pid} of ci-7 may go on there; --foreign removes it",
    ]
    assert error == "1 removed, 3 left\n"
    assert removed == ["dead"]
    assert main(["clean", "--backend=boxes", "--kept", "--foreign"]) == 0
    assert removed == ["dead", "dead", "kept", "elsewhere"]


def test_what_cannot_be_done(
    backend: Callable[[Found], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A thing that cannot be removed leaves the others; a place that cannot be asked is told."""

    def refuse() -> None:
        raise BackendError("the box is locked", next_step="find the key")

    backend(lambda: [Leftover("box", name, None, False, refuse) for name in "ab"])
    assert main(["clean", "--backend=boxes"]) == 3
    out, error = capsys.readouterr()
    assert out == "left box a: it cannot be removed\nleft box b: it cannot be removed\n"
    assert error.count("the box is locked\nnext step: find the key") == 2

    def absent() -> list[Leftover]:
        raise BackendError("no engine answers")

    backend(absent)
    assert main(["clean", "--backend=boxes"]) == 3
    assert "boxes: cannot look: no engine answers" in capsys.readouterr().err
    assert main(["clean", "--dry-run"]) == 0  # nobody has asked for it
    assert main(["clean", "--backend=boxs"]) == 2
    assert "did you mean boxes?" in capsys.readouterr().err
